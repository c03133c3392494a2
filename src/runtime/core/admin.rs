//! What operators do and see: changes of state, addresses that are resumed, what waits where; and the sweep of expired rows.

use bytes::Bytes;

use super::idempotency::{Answer, Outcome};
use super::keys::{ANSWERS, AddressKey, GATEWAYS, PARKED, SPECS, STATE};
use super::mailbox::Mailbox;
use super::state::{StateRow, StateSpec};
use super::{Activity, Core, Failure, Output, Ticket};
use crate::storage::{Rows as _, StorageError, Table, Write};
use crate::timestamp::Timestamp;

/// A change that an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminChange {
    /// Writes (`Some`: an encoded `TypedValue`) or removes a state.
    SetState {
        /// Whose state.
        address: AddressKey,
        /// Which one.
        name: String,
        /// The encoded `TypedValue`; `None` removes it.
        value: Option<Bytes>,
    },
    /// Tries a parked or waiting address again, now.
    Resume(AddressKey),
}

/// What waits at an address, for people to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueView {
    /// The address.
    pub address: AddressKey,
    /// What it is doing.
    pub activity: Activity,
    /// Messages that wait, besides those in flight; a lower bound while they are in the store only.
    pub waiting: u64,
    /// Messages of the batch that is in flight or failed.
    pub in_flight: usize,
    /// Failures in a row.
    pub failures: u32,
    /// The text of the last failure.
    pub last_failure: Option<String>,
}

/// Where the sweep goes on.
#[derive(Debug, Default)]
pub(super) struct SweepPosition {
    state: Bytes,
    answers: Bytes,
}

impl QueueView {
    fn of(address: &AddressKey, mailbox: &Mailbox) -> Self {
        Self {
            address: address.clone(),
            activity: mailbox.activity,
            waiting: mailbox.waiting(),
            in_flight: mailbox.batch.len(),
            failures: mailbox.failures,
            last_failure: mailbox.last_failure.clone(),
        }
    }
}

impl Core {
    /// What waits at one address; `None` when nothing does, or it is not known yet.
    pub fn queue(&self, address: &AddressKey) -> Option<QueueView> {
        let mailbox = self.mailboxes.get(address)?;
        Some(QueueView::of(address, mailbox))
    }

    /// Addresses with something to do, at most `limit`, those with failures first.
    pub fn queues(&self, limit: usize) -> Vec<QueueView> {
        let mailboxes = self.mailboxes.iter();
        let mut views: Vec<_> = mailboxes
            .map(|(address, mailbox)| QueueView::of(address, mailbox))
            .collect();
        views.sort_by(|a, b| {
            (b.failures, b.waiting, &a.address).cmp(&(a.failures, a.waiting, &b.address))
        });
        views.truncate(limit);
        views
    }

    /// The encoded `TypedValue` of a state, as a call at `now` would carry it; `None` when there is none, or no longer.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn state(
        &self,
        address: &AddressKey,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<Bytes>, StorageError> {
        let row = self.store.get(STATE, &address.row(name.as_bytes()))?;
        let Some(row) = row.as_ref().and_then(StateRow::decode) else {
            return Ok(None);
        };
        let spec = self.declared(address.type_prefix(), name)?;
        let is_over = spec.is_some_and(|spec| spec.ttl.is_over(row.stamp, now));
        Ok((!is_over).then_some(row.value))
    }

    /// Makes an operator's change, or keeps it until the address's call has returned.
    pub(super) fn change(&mut self, ticket: Ticket, change: AdminChange, out: &mut Vec<Output>) {
        match change {
            AdminChange::Resume(_) if self.draining => {
                let result = Err("the runtime is going down".to_owned());
                out.push(Output::Changed(ticket, result));
            }
            AdminChange::Resume(address) => {
                let result = self.resume(&address, out);
                self.hold(self.behind_all(), Output::Changed(ticket, result), out);
            }
            AdminChange::SetState { ref address, .. } => {
                let in_flight = self
                    .mailboxes
                    .get_mut(address)
                    .filter(|mailbox| matches!(mailbox.activity, Activity::InFlight(_)));
                match in_flight {
                    Some(mailbox) => mailbox.changes.push((ticket, change)),
                    None => self.changed(vec![(ticket, change)], out),
                }
            }
        }
    }

    /// Makes changes of addresses whose calls have returned.
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
                let spec = self.declared(address.type_prefix(), name)?;
                if let Some(spec) = spec.as_ref().filter(|spec| spec.typename != typename) {
                    return Err(super::state::type_conflict(name, &spec.typename, &typename));
                }
                // What nobody has declared yet may turn out to expire; a stamp does no harm where it does not.
                let stamp = spec.is_none_or(|spec| spec.ttl.is_on()).then_some(self.now);
                Write::put(STATE, key, StateRow { stamp, value }.encode())
            }
        };
        self.store.stage(vec![write]);
        Ok(())
    }

    /// What functions of a type declared of a state, in this run or an earlier one.
    fn declared(&self, type_prefix: &[u8], name: &str) -> Result<Option<StateSpec>, StorageError> {
        let key = [type_prefix, name.as_bytes()].concat();
        let row = self.store.get(SPECS, &key)?;
        Ok(row.and_then(|row| StateSpec::decode(name, &row)))
    }

    fn resume(&mut self, address: &AddressKey, out: &mut Vec<Output>) -> Result<(), String> {
        let activity = self.mailboxes.get(address).map(|mailbox| mailbox.activity);
        if self.recovery.is_parked(address) {
            self.recovery.resume(address);
            self.store
                .stage(vec![Write::delete(PARKED, address.as_bytes().clone())]);
            let mailbox = self.open_stored(address);
            mailbox.activity = Activity::Idle;
            mailbox.failures = 0;
            self.start(address, out);
            return Ok(());
        }
        match activity {
            Some(Activity::BacksOff(_)) => {
                self.retry(address, out);
                Ok(())
            }
            Some(_) => Err(format!(
                "{} is neither parked nor waiting for a retry",
                address.to_address()
            )),
            None => Err(format!("nothing waits at {}", address.to_address())),
        }
    }

    /// Deletes expired values and answers, a page of rows at a time.
    pub(super) fn sweep(&mut self, out: &mut Vec<Output>) {
        if let Err(failure) = self.sweep_state().and_then(|()| self.sweep_answers()) {
            out.push(Output::Warning(failure.to_string()));
        }
    }

    fn sweep_state(&mut self) -> Result<(), Failure> {
        let from = std::mem::take(&mut self.sweep.state);
        let (rows, next) = self.page(STATE, &from)?;
        self.sweep.state = next;
        let mut writes = Vec::new();
        for (key, row) in rows {
            let Some((address, name)) = AddressKey::split(&key) else {
                continue;
            };
            let Some(stamp) = StateRow::decode(&row).and_then(|row| row.stamp) else {
                continue;
            };
            let busy = self
                .mailboxes
                .get(&address)
                .is_some_and(|mailbox| mailbox.activity != Activity::Idle);
            if busy || self.owner_of(address.id()) != self.settings.index {
                continue;
            }
            let spec = self.declared(address.type_prefix(), &String::from_utf8_lossy(&name))?;
            if spec.is_some_and(|spec| spec.ttl.is_over(Some(stamp), self.now)) {
                writes.push(Write::delete(STATE, key));
            }
        }
        self.delete(writes);
        Ok(())
    }

    fn sweep_answers(&mut self) -> Result<(), Failure> {
        let from = std::mem::take(&mut self.sweep.answers);
        let (rows, next) = self.page(ANSWERS, &from)?;
        self.sweep.answers = next;
        let mut writes = Vec::new();
        for (key, row) in rows {
            let Some(answer) = Answer::decode(&row) else {
                continue;
            };
            if answer.until > self.now || self.owner_of_hash(answer.hash) != self.settings.index {
                continue;
            }
            writes.push(Write::delete(ANSWERS, key));
            if let Outcome::Pending(gateway) = answer.outcome {
                writes.push(Write::delete(GATEWAYS, gateway));
            }
        }
        self.delete(writes);
        Ok(())
    }

    fn delete(&self, writes: Vec<Write>) {
        if !writes.is_empty() {
            self.store.stage(writes);
        }
    }

    /// A page of rows, and the key after it; an empty key when the table has ended.
    fn page(&self, table: Table, from: &[u8]) -> Result<(Vec<(Bytes, Bytes)>, Bytes), Failure> {
        let page = self.settings.windows.page;
        let mut rows = self.store.scan(table, from, None, page + 1)?;
        let next = if rows.len() > page {
            rows.pop().map(|(key, _)| key)
        } else {
            None
        };
        Ok((rows, next.unwrap_or_default()))
    }
}
