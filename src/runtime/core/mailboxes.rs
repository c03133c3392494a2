//! All addresses with something to do, and what they hold together. The counts follow from the mailboxes: nobody else writes them.

use std::collections::HashMap;

use super::counts::Counts;
use super::function_types::TypeId;
use super::keys::AddressKey;
use super::mailbox::Mailbox;

/// The mailboxes of a core by address, with their counts: of all, and by function type.
#[derive(Debug)]
pub(super) struct Mailboxes {
    by_address: HashMap<AddressKey, Mailbox>,
    all: Counts,
    by_type: Vec<Counts>,
    /// Messages of one type beyond which it has used up its share.
    quota: u64,
    /// Messages of all types, of each its share at most.
    within_quotas: u64,
    /// Types that have used up their share.
    full_types: usize,
}

impl Mailboxes {
    /// No mailboxes yet. The share of each function type is `quota` messages.
    pub(super) fn new(quota: u64) -> Self {
        Self {
            by_address: HashMap::new(),
            all: Counts::default(),
            by_type: Vec::new(),
            quota,
            within_quotas: 0,
            full_types: 0,
        }
    }

    /// Messages that count against the bound of all: what a type has beyond its share does not.
    pub(super) const fn within_quotas(&self) -> u64 {
        self.within_quotas
    }

    /// Whether some type has used up its share.
    pub(super) const fn has_full_types(&self) -> bool {
        self.full_types > 0
    }

    /// Whether this type has.
    pub(super) fn is_full(&self, type_id: TypeId) -> bool {
        self.of_type(type_id).backlog >= self.quota
    }

    /// What all of them hold.
    pub(super) const fn counts(&self) -> Counts {
        self.all
    }

    /// What those of one type hold.
    pub(super) fn of_type(&self, type_id: TypeId) -> Counts {
        self.by_type
            .get(type_id.index())
            .copied()
            .unwrap_or_default()
    }

    /// The mailbox of `address`; `None` when there is nothing to do.
    pub(super) fn get(&self, address: &AddressKey) -> Option<&Mailbox> {
        self.by_address.get(address)
    }

    /// The mailbox of an address that has something to do.
    ///
    /// # Panics
    /// When it has none: whoever waits, calls or fails is in the table.
    pub(super) fn of(&self, address: &AddressKey) -> &Mailbox {
        self.by_address
            .get(address)
            .expect("an address with something to do has a mailbox")
    }

    /// Changes the mailbox of an address that has something to do.
    ///
    /// # Panics
    /// As [`of`](Self::of).
    pub(super) fn change<T>(
        &mut self,
        address: &AddressKey,
        change: impl FnOnce(&mut Mailbox) -> T,
    ) -> T {
        let mailbox = self
            .by_address
            .get_mut(address)
            .expect("an address with something to do has a mailbox");
        let before = mailbox.counts();
        let changed = change(mailbox);
        let (type_id, after) = (mailbox.type_id(), mailbox.counts());
        self.replace(type_id, before, after);
        changed
    }

    /// Adds the mailbox of an address that had nothing to do.
    pub(super) fn insert(&mut self, address: AddressKey, mailbox: Mailbox) {
        let (type_id, counts) = (mailbox.type_id(), mailbox.counts());
        let before = self.by_address.insert(address, mailbox);
        debug_assert!(before.is_none(), "an address has one mailbox");
        self.replace(type_id, Counts::default(), counts);
    }

    /// Forgets an address that has nothing left to do.
    pub(super) fn remove(&mut self, address: &AddressKey) {
        let mailbox = self.by_address.remove(address);
        debug_assert!(
            mailbox.is_some_and(|mailbox| mailbox.counts() == Counts::default()),
            "nothing is left to do"
        );
    }

    /// All addresses with something to do, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&AddressKey, &Mailbox)> {
        self.by_address.iter()
    }

    /// How many there are.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn len(&self) -> usize {
        self.by_address.len()
    }

    fn replace(&mut self, type_id: TypeId, before: Counts, after: Counts) {
        if before == after {
            return;
        }
        let index = type_id.index();
        if self.by_type.len() <= index {
            self.by_type.resize(index + 1, Counts::default());
        }
        let of_type = self.by_type.get_mut(index).expect("it was made above");
        let waited = of_type.backlog;
        for counts in [&mut self.all, &mut *of_type] {
            *counts += after;
            *counts -= before;
        }
        let waits = of_type.backlog;
        self.within_quotas += waits.min(self.quota);
        self.within_quotas -= waited.min(self.quota);
        self.full_types += usize::from(waits >= self.quota);
        self.full_types -= usize::from(waited >= self.quota);
    }
}
