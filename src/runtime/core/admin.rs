//! Operator commands and views: changes of state, resumed addresses, waiting messages.

use std::cmp::Reverse;

use bytes::Bytes;

use super::keys::{AddressKey, MessageId, OUTBOX, PARKED, SET_ASIDE, STATE};
use super::mailbox::Mailbox;
use super::state::StateRow;
use super::watch::Given;
use super::{Activity, AdminChange, Core, Failure, Output, Ticket};
use crate::storage::{Rows as _, StorageError, Write};
use crate::time::Timestamp;

/// The queue of an address, as shown to operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueView {
    /// The address.
    pub address: AddressKey,
    /// Its activity.
    pub activity: Activity,
    /// Waiting messages, without those in flight; a lower bound while they are in the store only.
    pub waiting: u64,
    /// Messages of the batch that is in flight or failed.
    pub in_flight: usize,
    /// Failures in a row.
    pub failures: u32,
    /// The text of the last failure.
    pub last_failure: Option<String>,
}

impl QueueView {
    fn of(address: &AddressKey, mailbox: &Mailbox) -> Self {
        Self {
            address: address.clone(),
            activity: mailbox.activity(),
            waiting: mailbox.waits(),
            in_flight: mailbox.batch_messages(),
            failures: mailbox.failures(),
            last_failure: mailbox.last_failure().map(str::to_owned),
        }
    }
}

impl Core {
    /// The queue of one address; `None` if nothing waits there, or if that is not known yet.
    pub fn queue(&self, address: &AddressKey) -> Option<QueueView> {
        let mailbox = self.mailboxes.get(address)?;
        Some(QueueView::of(address, mailbox))
    }

    /// At most `limit` addresses with work, those with failures first.
    pub fn queues(&self, limit: usize) -> Vec<QueueView> {
        if limit == 0 {
            return Vec::new();
        }
        let rank = |(address, mailbox): &(&AddressKey, &Mailbox)| {
            (
                Reverse((mailbox.failures(), mailbox.waits())),
                (*address).clone(),
            )
        };
        let mut all: Vec<_> = self.mailboxes.iter().collect();
        // Sorting a whole long list to show a short one would delay messages.
        if all.len() > limit {
            all.select_nth_unstable_by_key(limit - 1, rank);
            all.truncate(limit);
        }
        all.sort_unstable_by_key(rank);
        let views = all.into_iter();
        views
            .map(|(address, mailbox)| QueueView::of(address, mailbox))
            .collect()
    }

    /// The encoded `TypedValue` of a state, as a call at `now` would contain it; `None` if there is none, or if it has expired.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn state(
        &self,
        address: &AddressKey,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<Bytes>, StorageError> {
        let key = address.row(name.as_bytes());
        let Some(row) = self.store.get(STATE, &key)? else {
            return Ok(None);
        };
        let row = StateRow::decode(&row).ok_or_else(|| StorageError::senseless(STATE, &key))?;
        let (namespace, function, _) = address.parts();
        let spec = self.declared((namespace, function), name)?;
        let is_over = spec.is_some_and(|spec| spec.ttl.is_over(row.stamp, now));
        Ok((!is_over).then_some(row.value))
    }

    /// Applies an operator's change, or keeps it until the address's current call has returned.
    pub(super) fn change(&mut self, ticket: Ticket, change: AdminChange, out: &mut Vec<Output>) {
        match change {
            AdminChange::Resume(_) if self.draining => {
                let result = Err("the runtime is stopping".to_owned());
                out.push(Output::Changed(ticket, result));
            }
            AdminChange::Resume(address) => {
                let result = self.resume(&address, out);
                self.hold(self.behind_all(), Output::Changed(ticket, result), out);
            }
            AdminChange::ForgetDeclaration {
                namespace,
                name,
                value,
            } => {
                self.forget_declaration((&namespace, &name), &value);
                self.hold(self.behind_all(), Output::Changed(ticket, Ok(())), out);
            }
            AdminChange::TakeBack { egress, id, again } => {
                let result = self.take_back(egress, id, again, out);
                self.hold(self.behind_all(), Output::Changed(ticket, result), out);
            }
            AdminChange::SetState { ref address, .. } => {
                let is_out =
                    |mailbox: &Mailbox| matches!(mailbox.activity(), Activity::InFlight(_));
                let slot = self.mailboxes.find(address).ok();
                match slot.filter(|slot| is_out(self.mailboxes.of(*slot))) {
                    Some(slot) => self
                        .mailboxes
                        .change(slot, |mailbox| mailbox.defer(ticket, change)),
                    None => self.changed(vec![(ticket, change)], out),
                }
            }
        }
    }

    /// Applies changes of addresses whose calls have returned.
    pub(super) fn changed(&mut self, changes: Vec<(Ticket, AdminChange)>, out: &mut Vec<Output>) {
        for (ticket, change) in changes {
            let AdminChange::SetState {
                address,
                name,
                value,
            } = change
            else {
                continue;
            };
            let result = self
                .set_state(&address, &name, value)
                .map_err(|failure| failure.to_string());
            self.hold(self.behind_all(), Output::Changed(ticket, result), out);
        }
    }

    fn set_state(
        &self,
        address: &AddressKey,
        name: &str,
        value: Option<Bytes>,
    ) -> Result<(), Failure> {
        let key = address.row(name.as_bytes());
        let write = match value {
            None => Write::delete(STATE, key),
            Some(value) => {
                let (typename, value) =
                    super::wire::stored_value(Some(&value)).map_err(|error| {
                        Failure::new(format!("the value is not a TypedValue: {error}"))
                    })?;
                let (namespace, function, _) = address.parts();
                let spec = self.declared((namespace, function), name)?;
                if let Some(spec) = spec.as_ref().filter(|spec| spec.typename != typename) {
                    return Err(super::state::type_conflict(name, &spec.typename, &typename));
                }
                // A value that is not declared yet may turn out to expire; otherwise the time stamp does no harm.
                let stamp = spec.is_none_or(|spec| spec.ttl.is_on()).then_some(self.now);
                Write::put(STATE, key, StateRow { stamp, value }.encode())
            }
        };
        self.tell(&self.watched(name, &write, &Given::Unread)?);
        self.store.stage(vec![write]);
        Ok(())
    }

    /// A damaged record can be deleted, too. One that is sent again gets a new id: its target system may count the old one as arrived.
    fn take_back(
        &mut self,
        egress: Bytes,
        id: MessageId,
        again: Option<Bytes>,
        out: &mut Vec<Output>,
    ) -> Result<(), String> {
        let row = |id: MessageId| [&egress[..], &id.encode()].concat();
        if matches!(self.store.get(SET_ASIDE, &row(id)), Ok(None)) {
            return Err("no record with this id is set aside".to_owned());
        }
        let mut writes = vec![Write::delete(SET_ASIDE, row(id))];
        let Some(record) = again else {
            self.store.stage(writes);
            return Ok(());
        };
        let id = self.next_id();
        writes.push(Write::put(OUTBOX, row(id), record.clone()));
        let position = self.store.stage(writes);
        let output = Output::Egress {
            egress,
            id,
            record,
            sender: Bytes::new(),
            position,
        };
        self.hold(position, output, out);
        Ok(())
    }

    fn resume(&mut self, address: &AddressKey, out: &mut Vec<Output>) -> Result<(), String> {
        if self.recovery.is_parked(address) {
            self.recovery.resume(address);
            self.store
                .stage(vec![Write::delete(PARKED, address.to_bytes())]);
            let slot = self.open_stored(address.clone());
            self.mailboxes.change(slot, |mailbox| {
                mailbox.set_activity(Activity::Idle);
                mailbox.forgive();
            });
            self.start(slot, out);
            return Ok(());
        }
        let Ok(slot) = self.mailboxes.find(address) else {
            return Err(format!("nothing waits at {}", address.to_address()));
        };
        match self.mailboxes.of(slot).activity() {
            Activity::BacksOff(_) => {
                self.retry(slot, out);
                Ok(())
            }
            _ => Err(format!(
                "{} is neither parked nor waiting for a retry",
                address.to_address()
            )),
        }
    }
}
