//! All addresses with work, and their total counts. The counts are derived from the mailboxes and written only here.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

use super::counts::Counts;
use super::indices::{Slot, TypeId};
use super::keys::AddressKey;
use super::mailbox::Mailbox;

/// No mailbox was found for an address; a new one will be placed here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vacant(u64);

/// The mailboxes of a core by address, with their counts: of all, and by function type.
///
/// An address is hashed once, when a message for it arrives; from then on its slot is passed along.
#[derive(Debug)]
pub(super) struct Mailboxes {
    /// Randomly keyed, so that colliding ids cannot be constructed.
    hasher: RandomState,
    /// The first address of each hash.
    first: HashMap<u64, Slot, BuildHasherDefault<Hashed>>,
    entries: Vec<Option<Entry>>,
    free: Vec<Slot>,
    all: Counts,
    by_type: Vec<Counts>,
    /// Messages of one type beyond which it has used up its share.
    quota: u64,
    /// Messages of all types, each counted up to its share.
    within_quotas: u64,
    /// Types that have used up their share.
    full_types: usize,
}

#[derive(Debug)]
struct Entry {
    address: AddressKey,
    hash: u64,
    /// The next address with the same hash.
    next: Option<Slot>,
    mailbox: Mailbox,
}

/// Uses the hashes as they are.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only hashes are passed through");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

const HELD: &str = "an address that waits, calls or fails has a mailbox";

impl Mailboxes {
    /// No mailboxes yet. The share of each function type is `quota` messages.
    pub(super) fn new(quota: u64) -> Self {
        Self {
            hasher: RandomState::new(),
            first: HashMap::default(),
            entries: Vec::new(),
            free: Vec::new(),
            all: Counts::default(),
            by_type: Vec::new(),
            quota,
            within_quotas: 0,
            full_types: 0,
        }
    }

    /// Messages that count against the common limit: those of a type beyond its share do not.
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

    /// The total counts.
    pub(super) const fn counts(&self) -> Counts {
        self.all
    }

    /// The counts of one type.
    pub(super) fn of_type(&self, type_id: TypeId) -> Counts {
        self.by_type
            .get(type_id.index())
            .copied()
            .unwrap_or_default()
    }

    /// The slot of `address`, or where it will be.
    pub(super) fn find(&self, address: &AddressKey) -> Result<Slot, Vacant> {
        let hash = self.hasher.hash_one(address);
        let mut next = self.first.get(&hash).copied();
        while let Some(slot) = next {
            let entry = self.entry(slot);
            if entry.address == *address {
                return Ok(slot);
            }
            next = entry.next;
        }
        Err(Vacant(hash))
    }

    /// The mailbox of `address`, if it has work.
    pub(super) fn get(&self, address: &AddressKey) -> Option<&Mailbox> {
        let slot = self.find(address).ok()?;
        Some(self.of(slot))
    }

    /// The mailbox in `slot`, if there is one.
    pub(super) fn at(&self, slot: Slot) -> Option<&Mailbox> {
        let entry = self.entries.get(slot.index())?.as_ref()?;
        Some(&entry.mailbox)
    }

    /// The mailbox of an address that has work.
    ///
    /// # Panics
    /// If it has none.
    pub(super) fn of(&self, slot: Slot) -> &Mailbox {
        &self.entry(slot).mailbox
    }

    /// The address of a mailbox.
    ///
    /// # Panics
    /// See [`of`](Self::of).
    pub(super) fn address(&self, slot: Slot) -> &AddressKey {
        &self.entry(slot).address
    }

    fn entry(&self, slot: Slot) -> &Entry {
        let entry = self.entries.get(slot.index()).and_then(Option::as_ref);
        entry.expect(HELD)
    }

    fn entry_mut(&mut self, slot: Slot) -> &mut Entry {
        let entry = self.entries.get_mut(slot.index()).and_then(Option::as_mut);
        entry.expect(HELD)
    }

    /// Changes the mailbox of an address that has work.
    ///
    /// # Panics
    /// See [`of`](Self::of).
    pub(super) fn change<T>(&mut self, slot: Slot, change: impl FnOnce(&mut Mailbox) -> T) -> T {
        let mailbox = &mut self.entry_mut(slot).mailbox;
        let before = mailbox.counts();
        let changed = change(mailbox);
        let (type_id, after) = (mailbox.type_id(), mailbox.counts());
        self.replace(type_id, before, after);
        changed
    }

    /// Adds the mailbox of an address for which none was found.
    pub(super) fn insert(
        &mut self,
        Vacant(hash): Vacant,
        address: AddressKey,
        mailbox: Mailbox,
    ) -> Slot {
        debug_assert!(self.find(&address).is_err(), "an address has one mailbox");
        let (type_id, counts) = (mailbox.type_id(), mailbox.counts());
        let slot = self.free.pop().unwrap_or_else(|| {
            let next = u32::try_from(self.entries.len()).expect("memory holds fewer addresses");
            self.entries.push(None);
            Slot(next)
        });
        let next = self.first.insert(hash, slot);
        let entry = Entry {
            address,
            hash,
            next,
            mailbox,
        };
        let place = self.entries.get_mut(slot.index());
        *place.expect("a free slot is in the table") = Some(entry);
        self.replace(type_id, Counts::default(), counts);
        slot
    }

    /// Removes an address without work.
    pub(super) fn remove(&mut self, slot: Slot) {
        let entry = self.entries.get_mut(slot.index()).and_then(Option::take);
        let Entry {
            hash,
            next,
            mailbox,
            ..
        } = entry.expect(HELD);
        debug_assert_eq!(mailbox.counts(), Counts::default(), "nothing is left to do");
        self.free.push(slot);
        match (self.first.get(&hash).copied(), next) {
            (Some(first), None) if first == slot => {
                self.first.remove(&hash);
            }
            (Some(first), Some(next)) if first == slot => {
                self.first.insert(hash, next);
            }
            (first, _) => self.unchain(first, slot, next),
        }
    }

    /// Links the entry before `slot` to `next`.
    fn unchain(&mut self, first: Option<Slot>, slot: Slot, next: Option<Slot>) {
        let mut before = first.expect("its hash is in the table");
        loop {
            let entry = self.entry_mut(before);
            match entry.next {
                Some(one) if one == slot => {
                    entry.next = next;
                    return;
                }
                one => before = one.expect("it is in the chain of its hash"),
            }
        }
    }

    /// All addresses with work, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&AddressKey, &Mailbox)> {
        let entries = self.entries.iter().flatten();
        entries.map(|entry| (&entry.address, &entry.mailbox))
    }

    /// Their number.
    #[cfg(any(test, feature = "simulation"))]
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
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

impl Slot {
    /// The first of all.
    #[cfg(test)]
    pub(super) const FIRST: Self = Self(0);

    fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::super::function_types::FunctionTypes;
    use super::super::{Bindings, EgressBinding, FunctionBinding};
    use super::*;

    #[derive(Debug)]
    struct Nothing;

    impl Bindings for Nothing {
        fn function(&self, _: &str, _: &str) -> Option<FunctionBinding> {
            None
        }

        fn egress(&self, _: &str, _: &str) -> Option<EgressBinding> {
            None
        }
    }

    #[test]
    fn addresses_with_one_hash_are_distinguished_and_leave_in_any_order() {
        let address = |n: usize| AddressKey::new("a", "f", &n.to_string());
        let type_id = FunctionTypes::default().of(&address(0), &Nothing);
        for gone in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]] {
            let mut mailboxes = Mailboxes::new(9);
            let slots =
                [0, 1, 2].map(|n| mailboxes.insert(Vacant(7), address(n), Mailbox::new(type_id)));
            assert_eq!(mailboxes.len(), 3);
            for n in gone {
                let slot = slots[n];
                assert_eq!(mailboxes.address(slot), &address(n));
                mailboxes.remove(slot);
                assert!(mailboxes.at(slot).is_none());
            }
            assert!(mailboxes.first.is_empty());
            let again = mailboxes.insert(Vacant(7), address(5), Mailbox::new(type_id));
            assert!(slots.contains(&again), "a slot is used again");
        }
    }
}
