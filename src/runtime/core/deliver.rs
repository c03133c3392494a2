//! Delivers messages to mailboxes: from an ingress, from a function, or from the store.

use std::ops::ControlFlow;

use super::idempotency::{Outcome, StoredAnswer, is_unkept};
use super::indices::Slot;
use super::keys::{ANSWERS, AddressKey, GATEWAYS, INBOX, MessageId, after_prefix, id_hash};
use super::mailbox::{Mailbox, Waiting};
use super::mailboxes::Vacant;
use super::message::Message;
use super::rows::{answer_of, each_row, message_row, unreadable};
use super::{Activity, Arrival, Core, Failure, GATEWAY, Output, Refusal, wire};
use crate::storage::Write;

impl Core {
    /// Handles a message from an ingress: it is staged, or refused without leaving anything behind.
    pub(super) fn arrive(&mut self, arrival: Arrival, out: &mut Vec<Output>) {
        let ticket = arrival.ticket;
        let kept = match self.kept_for(&arrival) {
            Ok(kept) => kept,
            Err(refusal) => return out.push(Output::Refused(ticket, refusal)),
        };
        if let Some(answer) = kept.as_ref().filter(|answer| answer.until > self.now) {
            if arrival
                .key
                .as_ref()
                .is_some_and(|key| key.digest != answer.digest)
            {
                return out.push(Output::Refused(ticket, Refusal::KeyReused));
            }
            let outcome = answer.outcome.clone();
            let output = match outcome {
                Outcome::Accepted => Output::Replayed(ticket, None),
                Outcome::Pending(gateway) => Output::Attached(ticket, gateway),
                Outcome::Answered(value) => Output::Replayed(ticket, Some(value)),
            };
            return self.hold(self.behind_all(), output, out);
        }
        let place = self.mailboxes.find(&arrival.target);
        if let Err(refusal) = self.check_quotas(&arrival.target, place) {
            return out.push(Output::Refused(ticket, refusal));
        }

        let gateway = arrival.gateway.as_deref();
        let caller = gateway.map(|gateway| (GATEWAY.0, GATEWAY.1, gateway));
        let id = self.next_id();
        let (key, invocation) = message_row(&arrival.target, id, caller, &arrival.argument);
        let mut writes = Vec::with_capacity(if arrival.key.is_some() { 4 } else { 1 });
        writes.push(Write::put(INBOX, key, invocation.clone()));
        if let Some(key) = arrival.key {
            // If a call's key has expired and is used again, the answer of the old call is not stored.
            if let Some(Outcome::Pending(gateway)) = kept.map(|answer| answer.outcome) {
                writes.push(Write::delete(GATEWAYS, gateway));
            }
            let outcome = match arrival.gateway {
                Some(gateway) => {
                    debug_assert!(!is_unkept(&gateway), "its answer is kept");
                    writes.push(Write::put(GATEWAYS, gateway.clone(), key.row.clone()));
                    Outcome::Pending(gateway)
                }
                None => Outcome::Accepted,
            };
            let answer = StoredAnswer {
                hash: id_hash(arrival.target.id()),
                digest: key.digest,
                until: key.until,
                outcome,
            };
            writes.push(Write::put(ANSWERS, key.row, answer.encode()));
        }
        let position = self.store.stage(writes);
        self.hold(position, Output::Accepted(ticket), out);
        let message = Message {
            target: arrival.target,
            id,
            invocation,
            position,
        };
        self.deliver_to(place, message, out);
    }

    /// The stored answer of the first message with the same idempotency key, even if it has expired.
    fn kept_for(&self, arrival: &Arrival) -> Result<Option<StoredAnswer>, Refusal> {
        let Some(key) = &arrival.key else {
            return Ok(None);
        };
        answer_of(&self.store, &key.row).map_err(|failure| Refusal::Storage(failure.to_string()))
    }

    /// Delivers the messages of a batch of a source.
    pub(super) fn deliver_all(&mut self, messages: Vec<Message>, out: &mut Vec<Output>) {
        for message in messages {
            self.deliver(message, out);
        }
    }

    /// Delivers a staged message to its address.
    pub(super) fn deliver(&mut self, message: Message, out: &mut Vec<Output>) {
        let place = self.mailboxes.find(&message.target);
        self.deliver_to(place, message, out);
    }

    /// The same, with the known slot of its mailbox.
    fn deliver_to(&mut self, place: Result<Slot, Vacant>, message: Message, out: &mut Vec<Output>) {
        self.note_arrival(message.id);
        let slot = self.opened(place, message.target);
        let windows = self.settings.windows;
        let memory_is_full = self.memory_is_full(self.mailboxes.of(slot).type_id());
        let waiting = Waiting {
            id: message.id,
            count: wire::count(&message.invocation).unwrap_or(1),
            invocation: message.invocation,
            position: message.position,
        };
        let activity = self.mailboxes.change(slot, |mailbox| {
            mailbox.push(waiting, memory_is_full, windows);
            mailbox.activity()
        });
        if activity == Activity::Idle {
            self.start(slot, out);
        }
    }

    /// Delivers a staged message, whose content stays in the store until it is needed.
    pub(super) fn deliver_stored(&mut self, message: Message, out: &mut Vec<Output>) {
        self.note_arrival(message.id);
        let slot = self.open_stored(message.target);
        self.start(slot, out);
    }

    /// The mailbox of `address`, created if it has none.
    fn opened(&mut self, place: Result<Slot, Vacant>, address: AddressKey) -> Slot {
        let vacant = match place {
            Ok(slot) => return slot,
            Err(vacant) => vacant,
        };
        let mut mailbox = Mailbox::new(self.types.of(&address, &*self.bindings));
        // Messages from before the start come first, and may not have been read yet.
        if self.recovery.is_parked(&address) {
            mailbox.park();
        } else if self.recovery.may_hold(&address) {
            mailbox.note_stored();
        }
        self.mailboxes.insert(vacant, address, mailbox)
    }

    /// The mailbox of an address that has messages in the store.
    pub(super) fn open_stored(&mut self, address: AddressKey) -> Slot {
        let slot = self.opened(self.mailboxes.find(&address), address);
        self.mailboxes.change(slot, Mailbox::note_stored);
        slot
    }

    /// From here on the message counts as waiting.
    pub(super) fn note_arrival(&mut self, id: MessageId) {
        if let Some(last) = self.arrived.get_mut(usize::from(id.core())) {
            *last = id.number;
        }
    }

    /// Whether a message is staged, but has not arrived at this core yet.
    fn is_on_its_way(&self, id: MessageId) -> bool {
        id.boot == self.boot
            && self
                .arrived
                .get(usize::from(id.core()))
                .is_some_and(|last| id.number > *last)
    }

    /// Reads the messages of `address` that are in the store only. Its window must be empty.
    pub(super) fn load(&mut self, slot: Slot) -> Result<(), Failure> {
        let windows = self.settings.windows;
        let prefix = self.mailboxes.address(slot).to_bytes();
        let position = self.behind_all();
        let (mut loaded, mut messages, mut bytes, mut more) = (Vec::new(), 0, 0, false);
        let mut damaged = None;
        let end = after_prefix(&prefix);
        each_row(
            &self.store,
            INBOX,
            &prefix,
            end.as_deref(),
            windows.page,
            |key, invocation| {
                let id = key.get(prefix.len()..).and_then(MessageId::decode);
                let Some((id, count)) = id.zip(wire::count(&invocation)) else {
                    damaged = Some(key.clone());
                    return ControlFlow::Break(());
                };
                if self.is_on_its_way(id) {
                    return ControlFlow::Continue(());
                }
                if messages >= u64::try_from(windows.messages).unwrap_or(u64::MAX)
                    || bytes >= windows.bytes
                {
                    more = true;
                    return ControlFlow::Break(());
                }
                let waiting = Waiting {
                    id,
                    invocation,
                    count,
                    position,
                };
                messages += u64::from(count);
                bytes += waiting.size();
                loaded.push(waiting);
                ControlFlow::Continue(())
            },
        )?;
        if let Some(key) = damaged {
            return Err(unreadable(INBOX, &key));
        }
        self.mailboxes
            .change(slot, |mailbox| mailbox.load(loaded, more));
        Ok(())
    }
}
