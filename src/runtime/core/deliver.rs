//! How messages get into mailboxes: from an ingress, from a function, or back from the store.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::idempotency::{Answer, Outcome};
use super::keys::{ANSWERS, AddressKey, GATEWAYS, INBOX, MessageId, after_prefix, id_hash};
use super::mailbox::{Mailbox, Message, Waiting};
use super::{Activity, Arrival, Core, Failure, GATEWAY, Output, Refusal, wire};
use crate::storage::{Rows as _, StorageError, Store, Table, Write};

impl Core {
    /// An ingress brings a message: it is staged, or refused and nothing is left of it.
    pub(super) fn arrive(&mut self, arrival: Arrival, out: &mut Vec<Output>) {
        let ticket = arrival.ticket;
        let known = match self.known_answer(&arrival) {
            Ok(known) => known,
            Err(refusal) => return out.push(Output::Refused(ticket, refusal)),
        };
        if let Some(outcome) = known {
            let output = match outcome {
                Outcome::Accepted => Output::Replayed(ticket, None),
                Outcome::Pending(gateway) => Output::Attached(ticket, gateway),
                Outcome::Answered(value) => Output::Replayed(ticket, Some(value)),
            };
            return self.hold(self.behind_all(), output, out);
        }
        if let Err(refusal) = self.admit(&arrival.target) {
            return out.push(Output::Refused(ticket, refusal));
        }

        let caller = arrival
            .gateway
            .as_deref()
            .map(|gateway| AddressKey::new(GATEWAY.0, GATEWAY.1, gateway));
        let id = self.next_id();
        let invocation = wire::invocation(caller.as_ref(), Some(&arrival.argument));
        let mut writes = Vec::with_capacity(3);
        writes.push(Write::put(
            INBOX,
            arrival.target.row(&id.encode()),
            invocation.clone(),
        ));
        if let Some(key) = arrival.key {
            writes.extend(self.forgotten_gateway(&key.row));
            let outcome = match arrival.gateway {
                Some(gateway) => {
                    writes.push(Write::put(GATEWAYS, gateway.clone(), key.row.clone()));
                    Outcome::Pending(gateway)
                }
                None => Outcome::Accepted,
            };
            let answer = Answer {
                hash: id_hash(arrival.target.id()),
                digest: key.digest,
                until: key.until,
                outcome,
            };
            writes.push(Write::put(ANSWERS, key.row, answer.encode()));
        }
        let position = self.store.stage(writes);
        self.hold(position, Output::Accepted(ticket), out);
        self.deliver(
            Message {
                target: arrival.target,
                id,
                invocation,
                position,
            },
            out,
        );
    }

    /// What became of the first message with the same idempotency key.
    fn known_answer(&self, arrival: &Arrival) -> Result<Option<Outcome>, Refusal> {
        let Some(key) = &arrival.key else {
            return Ok(None);
        };
        let row = self
            .store
            .get(ANSWERS, &key.row)
            .map_err(|error| Refusal::Storage(error.to_string()))?;
        match row.as_ref().and_then(Answer::decode) {
            Some(answer) if answer.until <= self.now => Ok(None),
            Some(answer) if answer.digest != key.digest => Err(Refusal::KeyReused),
            Some(answer) => Ok(Some(answer.outcome)),
            None => Ok(None),
        }
    }

    /// A call whose key has expired and is used anew will not have its answer kept.
    fn forgotten_gateway(&self, row: &[u8]) -> Option<Write> {
        let before = self.store.get(ANSWERS, row).ok().flatten()?;
        match Answer::decode(&before)?.outcome {
            Outcome::Pending(gateway) => Some(Write::delete(GATEWAYS, gateway)),
            _ => None,
        }
    }

    /// Whether an ingress may add a message for `target`.
    fn admit(&self, target: &AddressKey) -> Result<(), Refusal> {
        let (namespace, name, _) = target.parts();
        let binding = self
            .bindings
            .function(namespace, name)
            .ok_or(Refusal::UnknownFunction)?;
        if self.backlog >= self.settings.max_backlog {
            return Err(Refusal::Full {
                what: format!("{} messages are waiting in the runtime", self.backlog),
            });
        }
        let waiting = self.mailboxes.get(target).map_or(0, Mailbox::queued);
        if binding.max_backlog > 0 && waiting >= binding.max_backlog {
            return Err(Refusal::Full {
                what: format!("{waiting} messages are waiting at this address"),
            });
        }
        Ok(())
    }

    /// A staged message reaches its address.
    pub(super) fn deliver(&mut self, message: Message, out: &mut Vec<Output>) {
        self.note_arrival(message.id);
        let windows = self.settings.windows;
        let memory_is_full = self.memory_bytes >= self.settings.max_memory_bytes;
        let waiting = Waiting {
            id: message.id,
            invocation: message.invocation,
            position: message.position,
        };
        let bytes = waiting.size();
        let mailbox = self.open_mailbox(&message.target);
        let before = mailbox.active();
        let held = mailbox.push(waiting, memory_is_full, windows);
        let added = mailbox.active() - before;
        let idle = mailbox.activity == Activity::Idle;
        self.backlog += 1;
        self.active += added;
        if held {
            self.memory_bytes += bytes;
        }
        if idle {
            self.start(&message.target, out);
        }
    }

    /// The mailbox of `address`, made when there is none.
    pub(super) fn open_mailbox(&mut self, address: &AddressKey) -> &mut Mailbox {
        if !self.mailboxes.contains_key(address) {
            let mut mailbox = Mailbox::new(self.types.of(address));
            // What waits from before the start comes first, and may not have been read yet.
            if self.recovery.is_parked(address) {
                mailbox.activity = Activity::Parked;
            } else if self.recovery.may_hold(address) {
                mailbox.stored = 1;
                self.backlog += 1;
            }
            self.mailboxes.insert(address.clone(), mailbox);
        }
        self.mailboxes
            .get_mut(address)
            .expect("it was inserted above")
    }

    /// As `open_mailbox`, for an address that has messages in the store.
    pub(super) fn open_stored(&mut self, address: &AddressKey) -> &mut Mailbox {
        if self.open_mailbox(address).stored == 0 {
            self.backlog += 1;
        }
        let mailbox = self.open_mailbox(address);
        mailbox.stored = mailbox.stored.max(1);
        mailbox
    }

    /// From here on the message counts as one that waits.
    pub(super) fn note_arrival(&mut self, id: MessageId) {
        if let Some(last) = self.arrived.get_mut(usize::from(id.core())) {
            *last = id.number;
        }
    }

    /// Whether a message is staged, but was not handed to this core yet.
    fn is_on_its_way(&self, id: MessageId) -> bool {
        id.boot == self.boot
            && self
                .arrived
                .get(usize::from(id.core()))
                .is_some_and(|last| id.number > *last)
    }

    /// Reads the messages that wait for `address` in the store only. Its window must be empty.
    pub(super) fn load(&mut self, address: &AddressKey) -> Result<(), Failure> {
        let windows = self.settings.windows;
        let position = self.behind_all();
        let (mut loaded, mut bytes, mut more) = (Vec::new(), 0, false);
        let end = after_prefix(address.as_bytes());
        each_row(
            &self.store,
            INBOX,
            address.as_bytes(),
            end.as_deref(),
            windows.page,
            |key, invocation| {
                let Some(id) = key
                    .get(address.as_bytes().len()..)
                    .and_then(MessageId::decode)
                else {
                    return ControlFlow::Continue(());
                };
                if self.is_on_its_way(id) {
                    return ControlFlow::Continue(());
                }
                if loaded.len() >= windows.messages || bytes >= windows.bytes {
                    more = true;
                    return ControlFlow::Break(());
                }
                let waiting = Waiting {
                    id,
                    invocation,
                    position,
                };
                bytes += waiting.size();
                loaded.push(waiting);
                ControlFlow::Continue(())
            },
        )?;

        let Some(mailbox) = self.mailboxes.get_mut(address) else {
            return Ok(());
        };
        let count = u64::try_from(loaded.len()).unwrap_or(u64::MAX);
        let before = mailbox.stored;
        mailbox.stored = if more {
            before.saturating_sub(count).max(1)
        } else {
            0
        };
        mailbox.waiting_bytes += bytes;
        self.memory_bytes += bytes;
        self.active += loaded.len();
        // `stored` is a lower bound: what was found beyond it is counted now.
        self.backlog = (self.backlog + mailbox.stored + count).saturating_sub(before);
        mailbox.waiting.extend(loaded);
        Ok(())
    }
}

/// Visits the rows from `from` to `to` in order, page by page, until it is told to stop.
pub(super) fn each_row(
    store: &Store,
    table: Table,
    from: &[u8],
    to: Option<&[u8]>,
    page: usize,
    mut visit: impl FnMut(&Bytes, Bytes) -> ControlFlow<()>,
) -> Result<(), StorageError> {
    let mut from = from.to_vec();
    loop {
        let rows = store.scan(table, &from, to, page)?;
        let full = rows.len() == page;
        for (key, value) in rows {
            if visit(&key, value).is_break() {
                return Ok(());
            }
            from.clear();
            from.extend_from_slice(&key);
            from.push(0);
        }
        if !full {
            return Ok(());
        }
    }
}
