//! The results of calls: effects to commit, states to register, or a failure.

use bytes::Bytes;

use super::effects::Effects;
use super::function_types::StatesKnown;
use super::indices::Slot;
use super::keys::{INBOX, PARKED};
use super::mailbox::Mailbox;
use super::message::Message;
use super::{Activity, CallId, Core, Failure, Output, Parked, Verdict};
use crate::protocol::reqreply::FromFunction;
use crate::protocol::reqreply::from_function::{InvocationResponse, Response};
use crate::storage::{Position, Write};

impl Core {
    /// Handles the result of a call. An answer to a call that is not in flight has no effect.
    pub(super) fn answered(
        &mut self,
        call: CallId,
        result: Result<FromFunction, Failure>,
        out: &mut Vec<Output>,
    ) {
        let slot = call.slot;
        let activity = self.mailboxes.at(slot).map(Mailbox::activity);
        if activity != Some(Activity::InFlight(call)) {
            return;
        }
        self.calls -= 1;
        match result.map(|reply| reply.response) {
            Ok(Some(Response::IncompleteInvocationContext(missing))) => {
                self.handshake(slot, missing, out)
            }
            Ok(Some(Response::InvocationResult(result))) => self.apply(slot, result, out),
            Ok(None) => self.apply(slot, InvocationResponse::default(), out),
            Err(failure) => self.fail(slot, failure, out),
        }
    }

    /// Applies the effects of a batch in one commit.
    fn apply(&mut self, slot: Slot, result: InvocationResponse, out: &mut Vec<Output>) {
        let out_egress = result.outgoing_egresses.len();
        let mut effects = match self.gather(slot, result) {
            Ok(effects) => effects,
            Err(failure) => return self.fail(slot, failure, out),
        };
        self.note_states_known(slot, out);
        let mut writes = effects.take_writes();
        writes.extend(self.unsaved_specs(slot));
        let messages = self.mailboxes.of(slot).batch_messages();
        let closed = self.mailboxes.change(slot, Mailbox::applied);
        let address = self.mailboxes.address(slot);
        writes.extend(closed.batch.iter().map(|message| {
            let row = address.row(&message.id.encode());
            Write::delete(INBOX, row)
        }));

        let type_id = self.mailboxes.of(slot).type_id();
        let counters = &mut self.types.get_mut(type_id).counters;
        counters.invocations += 1;
        counters.incoming += u64::try_from(messages).unwrap_or_default();
        counters.out_egress += u64::try_from(out_egress).unwrap_or_default();
        counters.out_local += effects.local;
        counters.out_remote += effects.remote;

        self.tell(&effects.watched);
        let position = self.store.stage(writes);
        let sender = self.types.get(type_id).prefix.clone();
        self.hold_outside(&sender, &mut effects, position, out);
        // Messages that the address sent to itself queue behind the waiting ones, and join the batch after the next.
        self.changed(closed.changes, out);
        self.start(slot, out);
        for (owner, target, id, invocation) in effects.messages {
            let message = Message {
                target,
                id,
                invocation,
                position,
            };
            self.hand_to(owner, message, out);
        }
    }

    /// Outputs that are visible outside wait until their commit is durable.
    fn hold_outside(
        &mut self,
        sender: &Bytes,
        effects: &mut Effects,
        position: Position,
        out: &mut Vec<Output>,
    ) {
        for key in effects.armed.drain(..) {
            self.timers.armed(key);
        }
        for key in effects.cancelled.drain(..) {
            self.timers.cancelled(key);
        }
        out.extend(effects.warnings.drain(..).map(Output::Warning));
        for (gateway, value) in effects.answers.drain(..) {
            self.hold(position, Output::Answer(gateway, value), out);
        }
        for (egress, id, record) in effects.records.drain(..) {
            let output = Output::Egress {
                egress,
                id,
                record,
                sender: sender.clone(),
                position,
            };
            self.hold(position, output, out);
        }
    }

    /// Passes a staged message to its core.
    pub(super) fn hand_on(&mut self, message: Message, out: &mut Vec<Output>) {
        let owner = self.owner_of(message.target.id());
        self.hand_to(owner, message, out);
    }

    fn hand_to(&mut self, owner: u8, message: Message, out: &mut Vec<Output>) {
        if owner == self.settings.index {
            self.local.push_back(message);
        } else {
            out.push(Output::Forward(owner, message));
        }
    }

    /// The batch of `address` failed: it waits and is sent again, or the address is parked, and others continue; or nothing is called any
    /// more. Its messages stay stored.
    pub(super) fn fail(&mut self, slot: Slot, failure: Failure, out: &mut Vec<Output>) {
        let failure = self.settings.failure.worded(failure);
        let closed = self
            .mailboxes
            .change(slot, |mailbox| mailbox.failed(failure.to_string()));
        let mailbox = self.mailboxes.of(slot);
        let (type_id, attempt) = (mailbox.type_id(), mailbox.failures());
        let invocations = mailbox.batch_messages();
        let verdict = self.settings.failure.verdict(&failure, attempt, self.now);
        match verdict {
            Verdict::Parked => self.park(slot, attempt, failure.to_string()),
            Verdict::Retried(at) => self.back_off(slot, at),
            Verdict::Stopped => {
                self.draining = true;
                self.back_off(slot, self.now);
            }
        }

        let function_type = self.types.get_mut(type_id);
        function_type.counters.failures += 1;
        // Another address of the type makes the first call instead.
        if function_type.states_known == StatesKnown::Asking(slot) {
            function_type.states_known = StatesKnown::No;
            if let Some(next) = function_type.queue.pop_front() {
                self.queue_first(next);
            }
        }
        self.changed(closed.changes, out);
        out.push(Output::Failed {
            address: self.mailboxes.address(slot).clone(),
            failure,
            attempt,
            invocations,
            verdict,
        });
    }

    fn back_off(&mut self, slot: Slot, retry_at: crate::time::Timestamp) {
        self.mailboxes.change(slot, |mailbox| {
            mailbox.set_activity(Activity::BacksOff(retry_at));
        });
        self.backoffs.insert((retry_at, slot));
    }

    /// Parks an address: its messages stay in the store, and are removed from memory.
    fn park(&mut self, slot: Slot, attempts: u32, reason: String) {
        self.mailboxes.change(slot, Mailbox::park);
        let address = self.mailboxes.address(slot).clone();
        let parked = Parked {
            since: self.now,
            attempts,
            reason,
        };
        let row = Write::put(PARKED, address.to_bytes(), parked.encode());
        self.recovery.park(address);
        self.store.stage(vec![row]);
    }
}
