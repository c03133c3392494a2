//! Work that starts without an input: addresses with waiting messages after a start, failed batches, due timers.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;

use super::indices::Slot;
use super::keys::{AddressKey, INBOX, PARKED, TIMERS, TOKENS, TimerKey, after_prefix, token_key};
use super::mailbox::Attached;
use super::message::Message;
use super::rows::{Row, each_key, unreadable};
use super::timers::Timer;
use super::{Activity, Core, Failure, GATEWAY, MessageId, Output, owner, wire};
use crate::storage::{Rows as _, StorageError, Write};
use crate::time::Timestamp;

/// Wait before an unreadable store is read again.
const REST: Duration = Duration::from_secs(1);

/// How far messages stored before the start have been loaded, and which addresses are parked.
#[derive(Debug)]
pub(super) struct Recovery {
    /// Addresses from this key on may have messages that were not read yet; `None` if all were read.
    cursor: Option<Bytes>,
    parked: HashSet<AddressKey>,
    parked_are_known: bool,
    /// The store could not be read; it is read again at this time.
    rests_until: Option<Timestamp>,
}

impl Recovery {
    /// Nothing was read yet.
    pub(super) fn start() -> Self {
        Self {
            cursor: Some(Bytes::new()),
            parked: HashSet::new(),
            parked_are_known: false,
            rests_until: None,
        }
    }

    pub(super) const fn is_done(&self) -> bool {
        self.cursor.is_none()
    }

    /// Whether messages of `address` may wait in the store that were not read yet.
    pub(super) fn may_hold(&self, address: &AddressKey) -> bool {
        self.cursor
            .as_ref()
            .is_some_and(|cursor| address.to_bytes() >= *cursor)
    }

    pub(super) fn is_parked(&self, address: &AddressKey) -> bool {
        self.parked.contains(address)
    }

    pub(super) fn park(&mut self, address: AddressKey) {
        self.parked.insert(address);
    }

    pub(super) fn resume(&mut self, address: &AddressKey) {
        self.parked.remove(address);
    }
}

/// What follows a key in the store.
enum Next {
    /// An address with messages.
    Address(AddressKey),
    /// A row without an address.
    Damaged(Bytes),
    /// Nothing.
    End,
}

/// Timers that have fired, as one commit.
#[derive(Default)]
struct Fired {
    writes: Vec<Write>,
    messages: Vec<(AddressKey, MessageId, Bytes)>,
    answers: Vec<(String, Bytes)>,
    /// The failure that ended it early.
    failure: Option<Failure>,
    /// Unreadable delayed messages. They stay in the store, and others fire.
    damaged: Vec<Failure>,
}

impl Core {
    /// The store could not be read: nothing is loaded from it for a moment.
    fn rest(&mut self, failure: &Failure, out: &mut Vec<Output>) {
        self.recovery.rests_until = Some(self.now + REST);
        out.push(Output::Warning(failure.to_string()));
    }

    /// Until when the store is not read; `None` if it may be. A clock that steps back does not extend this.
    pub(super) fn rests(&self) -> Option<Timestamp> {
        let until = self.recovery.rests_until?;
        (self.now < until && until.since(self.now) <= REST).then_some(until)
    }

    /// Loads addresses with messages stored before the start, as many as memory may hold.
    pub(super) fn recover(&mut self, out: &mut Vec<Output>) {
        while !self.draining && !self.is_busy() && self.rests().is_none() {
            let Some(cursor) = self.recovery.cursor.clone() else {
                return;
            };
            match self.next_waiting(&cursor) {
                Ok(Next::Address(address)) => {
                    self.recovery.cursor = after_prefix(&address.to_bytes()).map(Bytes::from);
                    if self.owner_of(address.id()) != self.settings.index
                        || self.mailboxes.find(&address).is_ok()
                    {
                        continue;
                    }
                    let slot = self.open_stored(address);
                    self.start(slot, out);
                }
                Ok(Next::Damaged(key)) => {
                    out.push(Output::Warning(unreadable(INBOX, &key).to_string()));
                    self.recovery.cursor = Some([&key[..], &[0]].concat().into());
                }
                Ok(Next::End) => self.recovery.cursor = None,
                Err(failure) => return self.rest(&failure, out),
            }
        }
    }

    /// The first address from `cursor` on that has a message in the store.
    fn next_waiting(&self, cursor: &[u8]) -> Result<Next, Failure> {
        let first = match self.store.scan(INBOX, cursor, None, 1) {
            // It stops only its own address.
            Err(StorageError::DamagedRow { key, .. }) => Some(key),
            rows => rows?.into_iter().next().map(|(key, _)| key),
        };
        Ok(match first {
            None => Next::End,
            Some(key) => match AddressKey::split(&key) {
                Some((address, _)) => Next::Address(address),
                None => Next::Damaged(key),
            },
        })
    }

    /// Loads the parked addresses, which must be known before the first message comes.
    pub(super) fn knows_parked(&mut self, out: &mut Vec<Output>) -> bool {
        if !self.recovery.parked_are_known
            && self.rests().is_none()
            && let Err(failure) = self.read_parked()
        {
            self.rest(&failure, out);
        }
        self.recovery.parked_are_known
    }

    fn read_parked(&mut self) -> Result<(), Failure> {
        let parked = &mut self.recovery.parked;
        let page = self.settings.windows.page;
        each_key(&self.store, PARKED, &[], page, |key, _| {
            parked.extend(AddressKey::split(key).map(|(address, _)| address));
            ControlFlow::Continue(())
        })?;
        self.recovery.parked_are_known = true;
        Ok(())
    }

    /// Sends failed batches again whose wait is over: the same invocations, without states.
    pub(super) fn retry_due(&mut self, out: &mut Vec<Output>) {
        while self.may_call() {
            let Some((at, slot)) = self.backoffs.first().copied() else {
                return;
            };
            if at > self.now {
                return;
            }
            self.retry(slot, out);
        }
    }

    /// Tries an address again at once, if it has failed.
    pub(super) fn retry(&mut self, slot: Slot, out: &mut Vec<Output>) {
        let Activity::BacksOff(at) = self.mailboxes.of(slot).activity() else {
            return;
        };
        self.backoffs.remove(&(at, slot));
        self.mailboxes
            .change(slot, |mailbox| mailbox.set_activity(Activity::Idle));
        if self.mailboxes.of(slot).batch().is_empty() {
            return self.start(slot, out);
        }
        match self.binding(slot) {
            Ok(_) => self.call(slot, Attached::Nothing, out),
            Err(failure) => self.fail(slot, failure, out),
        }
    }

    /// Turns due timers into messages, one commit at a time. Further ones follow with the next input, because many
    /// overdue timers must not all be in memory at once.
    pub(super) fn fire_due(&mut self, out: &mut Vec<Output>) {
        if self.draining || self.is_busy() || self.rests().is_some() {
            return;
        }
        let fired = self.gather_due();
        if let Some(failure) = fired.failure {
            self.rest(&failure, out);
        }
        let damaged = fired.damaged.into_iter();
        out.extend(damaged.map(|damage| Output::Warning(damage.to_string())));
        if fired.writes.is_empty() {
            return;
        }
        let position = self.store.stage(fired.writes);
        for (gateway, value) in fired.answers {
            self.hold(position, Output::Answer(gateway, value), out);
        }
        for (target, id, invocation) in fired.messages {
            self.hand_on(
                Message {
                    target,
                    id,
                    invocation,
                    position,
                },
                out,
            );
        }
    }

    fn gather_due(&mut self) -> Fired {
        let mut fired = Fired::default();
        if let Err(failure) = self.read_timers() {
            fired.failure = Some(failure);
            return fired;
        }
        for _ in 0..self.settings.windows.fired_at_once {
            let Some(key) = self.timers.pop_due(self.now) else {
                break;
            };
            if let Err(failure) = self.fire(key, &mut fired) {
                if failure.is_damage() {
                    fired.damaged.push(failure);
                    continue;
                }
                // It stays in the store, and in the window.
                self.timers.armed(key);
                fired.failure = Some(failure);
                break;
            }
        }
        fired
    }

    /// Message in and token freed are one commit.
    fn fire(&mut self, key: TimerKey, fired: &mut Fired) -> Result<(), Failure> {
        let row = key.encode();
        let Some(stored) = self.store.get(TIMERS, &row)? else {
            return Ok(());
        };
        let timer = Timer::decode(&stored).ok_or_else(|| unreadable(TIMERS, &row))?;
        let (namespace, name, id) = timer.target.parts();
        if (namespace, name) == GATEWAY {
            let value = wire::argument(&timer.invocation);
            let value = value.map_err(|_| unreadable(TIMERS, &row))?;
            fired.writes.extend(self.kept_answer(id, &value)?);
            fired.answers.push((id.to_owned(), value));
        } else {
            let id = self.next_id();
            let key = timer.target.row(&id.encode());
            let put = Write::put(INBOX, key, timer.invocation.clone());
            fired.writes.push(put);
            let message = (timer.target, id, timer.invocation);
            fired.messages.push(message);
        }
        fired.writes.push(Write::delete(TIMERS, row));
        if !timer.token.is_empty() {
            let token = token_key(timer.sender.id(), &timer.token);
            fired.writes.push(Write::delete(TOKENS, token));
        }
        Ok(())
    }

    /// Reads the next page of timers when the window is empty.
    fn read_timers(&mut self) -> Result<(), Failure> {
        while let Some(from) = self.timers.unread_from() {
            let (mut page, mut horizon) = (Vec::new(), None);
            let (index, cores, limit) =
                (self.settings.index, self.settings.cores, self.timers.page());
            let rows = self.settings.windows.page;
            each_key(&self.store, TIMERS, &from.encode(), rows, |key, row| {
                let Some(key) = TimerKey::decode(key).filter(|_| row == Row::Sound) else {
                    return ControlFlow::Continue(());
                };
                if owner(key.hash, cores) != index {
                    return ControlFlow::Continue(());
                }
                if page.len() >= limit {
                    horizon = Some(key);
                    return ControlFlow::Break(());
                }
                page.push(key);
                ControlFlow::Continue(())
            })?;
            self.timers.refill(page, horizon);
        }
        Ok(())
    }
}
