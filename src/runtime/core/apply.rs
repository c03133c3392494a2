//! What comes back from a call: effects to be committed, states to be registered, or a failure.

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};

use super::function_types::Acquaintance;
use super::idempotency::{Answer, Outcome};
use super::keys::{
    ANSWERS, AddressKey, GATEWAYS, INBOX, MessageId, OUTBOX, PARKED, SPECS, STATE, TIMERS, TOKENS,
    TimerKey, egress_prefix, id_hash, token_key,
};
use super::mailbox::Message;
use super::state::{StateRow, StateSpec, type_conflict, type_name_of_state};
use super::timers::Timer;
use super::{
    Activity, CallId, Core, EgressBinding, Failure, GATEWAY, Output, Parked, Verdict, wire,
};
use crate::protocol::reqreply::from_function::persisted_value_mutation::MutationType;
use crate::protocol::reqreply::from_function::{
    DelayedInvocation, EgressMessage, IncompleteInvocationContext, Invocation, InvocationResponse,
    PersistedValueMutation, Response,
};
use crate::protocol::reqreply::{self, FromFunction};
use crate::storage::{Position, Rows as _, Write};

/// The batch fails with the last of so many incomplete answers in a row without a new state.
const STALE_HANDSHAKES: u32 = 10;

/// The effects of one reply, gathered before anything is staged, so that a reply that fails half-way leaves no trace.
#[derive(Default)]
struct Effects {
    writes: Vec<Write>,
    messages: Vec<(AddressKey, MessageId, Bytes)>,
    /// How many of them a function sent to this core, and to others.
    local: u64,
    remote: u64,
    answers: Vec<(String, Bytes)>,
    records: Vec<(Bytes, MessageId, Bytes)>,
    warnings: Vec<String>,
    armed: Vec<TimerKey>,
    cancelled: Vec<TimerKey>,
    /// Tokens that this reply armed or cancelled.
    tokens: HashMap<Bytes, Option<(TimerKey, AddressKey)>>,
}

impl Core {
    /// A call came back. An answer to a call that is not in flight has no effect.
    pub(super) fn answered(
        &mut self,
        call: CallId,
        result: Result<FromFunction, Failure>,
        out: &mut Vec<Output>,
    ) {
        let Some(address) = self.calls.remove(&call) else {
            return;
        };
        match result.map(|reply| reply.response) {
            Ok(Some(Response::IncompleteInvocationContext(missing))) => {
                self.handshake(&address, missing, out)
            }
            Ok(Some(Response::InvocationResult(result))) => self.apply(&address, result, out),
            Ok(None) => self.apply(&address, InvocationResponse::default(), out),
            Err(failure) => self.fail(&address, failure, out),
        }
    }

    /// The function asks for states: they are registered, and the same batch is sent again with them.
    fn handshake(
        &mut self,
        address: &AddressKey,
        missing: IncompleteInvocationContext,
        out: &mut Vec<Output>,
    ) {
        match self.register(address, missing) {
            Ok(()) => {
                self.meet(address, out);
                self.call(address, true, out);
            }
            Err(failure) => self.fail(address, failure, out),
        }
    }

    fn register(
        &mut self,
        address: &AddressKey,
        missing: IncompleteInvocationContext,
    ) -> Result<(), Failure> {
        let Some(mailbox) = self.mailboxes.get_mut(address) else {
            return Ok(());
        };
        let kind = self.types.get_mut(mailbox.type_id);
        let mut found_new = false;
        for wire_spec in missing.missing_values {
            let spec = StateSpec::from_wire(wire_spec)?;
            if let Some(known) = kind.state(&spec.name) {
                spec.succeeds(known, false)?;
                continue;
            }
            let mut key = BytesMut::from(&kind.prefix[..]);
            key.put_slice(spec.name.as_bytes());
            let (key, row) = (key.freeze(), spec.encode());
            let before = self.store.get(SPECS, &key)?;
            if let Some(before) = before
                .as_ref()
                .and_then(|row| StateSpec::decode(&spec.name, row))
            {
                spec.succeeds(&before, true)?;
            }
            if before.as_ref() != Some(&row) {
                self.store.stage(vec![Write::put(SPECS, key, row)]);
            }
            kind.states.push(spec);
            found_new = true;
        }
        if found_new {
            mailbox.stale_handshakes = 0;
            return Ok(());
        }
        // A batch that is sent again goes without states: that answer brings nothing new, and is in order once.
        mailbox.stale_handshakes += 1;
        let in_order = u32::from(mailbox.failures > 0);
        if mailbox.stale_handshakes >= STALE_HANDSHAKES + in_order {
            return Err(Failure::new(format!(
                "the function answered {STALE_HANDSHAKES} times in a row that values are missing and named none that it was not given; it may declare other values with each call"
            )));
        }
        Ok(())
    }

    /// The states of the type are known: addresses that waited for that go on.
    fn meet(&mut self, address: &AddressKey, out: &mut Vec<Output>) {
        let Some(mailbox) = self.mailboxes.get(address) else {
            return;
        };
        let kind = self.types.get_mut(mailbox.type_id);
        if kind.acquaintance == Acquaintance::Known {
            return;
        }
        kind.acquaintance = Acquaintance::Known;
        for waiting in std::mem::take(&mut kind.queue) {
            self.start_if(&waiting, Activity::AwaitsType, out);
        }
    }

    /// Applies the effects of a batch in one commit.
    fn apply(&mut self, address: &AddressKey, result: InvocationResponse, out: &mut Vec<Output>) {
        let out_egress = result.outgoing_egresses.len();
        let mut effects = match self.gather(address, result) {
            Ok(effects) => effects,
            Err(failure) => return self.fail(address, failure, out),
        };
        self.meet(address, out);
        let Some(mailbox) = self.mailboxes.get_mut(address) else {
            return;
        };
        let batch = std::mem::take(&mut mailbox.batch);
        mailbox.activity = Activity::Idle;
        mailbox.failures = 0;
        mailbox.stale_handshakes = 0;
        mailbox.last_failure = None;
        let changes = std::mem::take(&mut mailbox.changes);
        let counters = &mut self.types.get_mut(mailbox.type_id).counters;
        counters.invocations += 1;
        counters.incoming += u64::try_from(batch.len()).unwrap_or_default();
        counters.out_egress += u64::try_from(out_egress).unwrap_or_default();
        counters.out_local += effects.local;
        counters.out_remote += effects.remote;

        for message in &batch {
            self.memory_bytes = self.memory_bytes.saturating_sub(message.size());
            effects
                .writes
                .push(Write::delete(INBOX, address.row(&message.id.encode())));
        }
        self.backlog = self
            .backlog
            .saturating_sub(u64::try_from(batch.len()).unwrap_or_default());
        self.active = self.active.saturating_sub(batch.len());

        let position = self.store.stage(effects.writes);
        for key in effects.armed {
            self.timers.armed(key);
        }
        for key in effects.cancelled {
            self.timers.cancelled(key);
        }
        out.extend(effects.warnings.into_iter().map(Output::Warning));
        for (gateway, value) in effects.answers {
            self.hold(position, Output::Answer(gateway, value), out);
        }
        for (egress, id, record) in effects.records {
            self.hold(
                position,
                Output::Egress {
                    egress,
                    id,
                    record,
                    position,
                },
                out,
            );
        }
        // What the address sent to itself queues behind what waits already, and joins the batch after the next.
        self.changed(changes, out);
        self.start(address, out);
        for (target, id, invocation) in effects.messages {
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

    /// Hands a staged message to the core it belongs to.
    pub(super) fn hand_on(&mut self, message: Message, out: &mut Vec<Output>) {
        let owner = self.owner_of(message.target.id());
        if owner == self.settings.index {
            self.local.push_back(message);
        } else {
            out.push(Output::Forward(owner, message));
        }
    }

    /// Turns a reply into effects, in the order in which StateFun applies them. Nothing is changed yet.
    fn gather(
        &mut self,
        address: &AddressKey,
        result: InvocationResponse,
    ) -> Result<Effects, Failure> {
        let mut effects = Effects::default();
        effects
            .writes
            .reserve(result.outgoing_messages.len() + result.state_mutations.len() + 4);
        for message in result.outgoing_messages {
            self.gather_message(address, message, &mut effects)?;
        }
        for delayed in result.delayed_invocations {
            if delayed.is_cancellation_request {
                self.gather_cancellation(address, &delayed, &mut effects)?;
            } else {
                self.gather_delayed(address, delayed, &mut effects)?;
            }
        }
        for record in result.outgoing_egresses {
            self.gather_record(address, record, &mut effects)?;
        }
        for mutation in result.state_mutations {
            self.gather_mutation(address, mutation, &mut effects)?;
        }
        Ok(effects)
    }

    fn gather_message(
        &mut self,
        sender: &AddressKey,
        message: Invocation,
        effects: &mut Effects,
    ) -> Result<(), Failure> {
        let target = target(message.target);
        let (namespace, name, id) = target.parts();
        if (namespace, name) == GATEWAY {
            let value = own(message.argument);
            if effects.answers.iter().all(|(answered, _)| answered != id) {
                effects.writes.extend(self.kept_answer(id, &value)?);
            }
            effects.answers.push((id.to_owned(), value));
            return Ok(());
        }
        if self.bindings.function(namespace, name).is_none() {
            return Err(Failure::unbound_function(namespace, name));
        }
        if self.owner_of(id) == self.settings.index {
            effects.local += 1;
        } else {
            effects.remote += 1;
        }
        self.push_message(sender, target, message.argument, effects);
        Ok(())
    }

    fn push_message(
        &mut self,
        sender: &AddressKey,
        target: AddressKey,
        argument: Option<Bytes>,
        effects: &mut Effects,
    ) {
        // One that is not there is sent as an empty one.
        let argument = argument.unwrap_or_default();
        let id = self.next_id();
        let invocation = wire::invocation(Some(sender), Some(&argument));
        effects.writes.push(Write::put(
            INBOX,
            target.row(&id.encode()),
            invocation.clone(),
        ));
        effects.messages.push((target, id, invocation));
    }

    /// The first answer to a call with an idempotency key is kept in the commit that gives it.
    pub(super) fn kept_answer(&self, gateway: &str, value: &Bytes) -> Result<Vec<Write>, Failure> {
        let Some(row) = self.store.get(GATEWAYS, gateway.as_bytes())? else {
            return Ok(Vec::new());
        };
        let gateway_row = Bytes::copy_from_slice(gateway.as_bytes());
        let mut writes = vec![Write::delete(GATEWAYS, gateway_row)];
        let kept = self.store.get(ANSWERS, &row)?;
        if let Some(mut answer) = kept.as_ref().and_then(Answer::decode)
            && answer.outcome == Outcome::Pending(gateway.to_owned())
        {
            answer.outcome = Outcome::Answered(value.clone());
            writes.push(Write::put(ANSWERS, row, answer.encode()));
        }
        Ok(writes)
    }

    fn gather_delayed(
        &mut self,
        sender: &AddressKey,
        delayed: DelayedInvocation,
        effects: &mut Effects,
    ) -> Result<(), Failure> {
        let Ok(delay) = u64::try_from(delayed.delay_in_ms) else {
            let text = format!(
                "a delayed message has the negative delay {} ms",
                delayed.delay_in_ms
            );
            let original = format!("{text} (IllegalArgumentException on Flink)");
            return Err(
                Failure::new(format!("{text}; send it with 0 or more")).or_on_statefun(original)
            );
        };
        let timer = Timer {
            target: target(delayed.target),
            sender: sender.clone(),
            token: delayed.cancellation_token,
            invocation: wire::invocation(Some(sender), Some(&delayed.argument.unwrap_or_default())),
        };
        let (namespace, name, _) = timer.target.parts();
        if self.bindings.function(namespace, name).is_none() && (namespace, name) != GATEWAY {
            effects.warnings.push(format!(
                "{} has armed a delayed message to {}, and no function is bound to that type: it will wait there when it is due",
                sender.to_address(),
                timer.target.to_address(),
            ));
        }
        let due = self.now + std::time::Duration::from_millis(delay);
        let key = TimerKey {
            due,
            id: self.next_id(),
            hash: id_hash(sender.id()),
        };
        if !timer.token.is_empty() {
            let token = token_key(sender.id(), &timer.token);
            if let Some((pending, other)) = self.pending(&token, effects)? {
                return Err(Failure::fatal(format!(
                    "Trying to associate a message with cancellation token {} and timestamp {due}, but a message with the same cancellation token exists and with a timestamp {} (armed by {}; tokens are shared by all function types of an id: put the type into the token)",
                    timer.token,
                    pending.due,
                    other.to_address(),
                )));
            }
            let mut row = BytesMut::from(&key.encode()[..]);
            row.put_slice(sender.as_bytes());
            effects
                .writes
                .push(Write::put(TOKENS, token.clone(), row.freeze()));
            effects.tokens.insert(token, Some((key, sender.clone())));
        }
        effects
            .writes
            .push(Write::put(TIMERS, key.encode(), timer.encode()));
        effects.armed.push(key);
        Ok(())
    }

    fn gather_cancellation(
        &self,
        sender: &AddressKey,
        delayed: &DelayedInvocation,
        effects: &mut Effects,
    ) -> Result<(), Failure> {
        if delayed.cancellation_token.is_empty() {
            return Err(Failure::new(
                "Can not handle a cancellation request without a cancellation token.",
            ));
        }
        let token = token_key(sender.id(), &delayed.cancellation_token);
        let Some((key, _)) = self.pending(&token, effects)? else {
            return Ok(());
        };
        effects.writes.push(Write::delete(TOKENS, token.clone()));
        effects.writes.push(Write::delete(TIMERS, key.encode()));
        effects.tokens.insert(token, None);
        effects.cancelled.push(key);
        Ok(())
    }

    /// The pending timer of a token, as this reply leaves it so far.
    fn pending(
        &self,
        token: &Bytes,
        effects: &Effects,
    ) -> Result<Option<(TimerKey, AddressKey)>, Failure> {
        if let Some(changed) = effects.tokens.get(token) {
            return Ok(changed.clone());
        }
        let Some(row) = self.store.get(TOKENS, token)? else {
            return Ok(None);
        };
        let sender = row
            .get(24..)
            .map(|rest| row.slice_ref(rest))
            .and_then(|rest| AddressKey::split(&rest));
        Ok(TimerKey::decode(&row).zip(sender.map(|(sender, _)| sender)))
    }

    fn gather_record(
        &mut self,
        sender: &AddressKey,
        record: EgressMessage,
        effects: &mut Effects,
    ) -> Result<(), Failure> {
        let (namespace, name) = (&record.egress_namespace, &record.egress_type);
        match self.bindings.egress(namespace, name) {
            Some(EgressBinding::Outbox) => {}
            Some(EgressBinding::Function(function)) => {
                let target = AddressKey::new(function.namespace(), function.name(), sender.id());
                self.push_message(sender, target, record.argument, effects);
                return Ok(());
            }
            None => return Err(Failure::unbound_egress(namespace, name)),
        }
        let egress = egress_prefix(namespace, name);
        let id = self.next_id();
        let value = own(record.argument);
        let mut key = BytesMut::from(&egress[..]);
        key.put_slice(&id.encode());
        effects
            .writes
            .push(Write::put(OUTBOX, key.freeze(), value.clone()));
        effects.records.push((egress, id, value));
        Ok(())
    }

    fn gather_mutation(
        &self,
        address: &AddressKey,
        mutation: PersistedValueMutation,
        effects: &mut Effects,
    ) -> Result<(), Failure> {
        let kind = MutationType::try_from(mutation.mutation_type)
            .map_err(|_| unrecognised(mutation.mutation_type))?;
        let spec = self
            .mailboxes
            .get(address)
            .and_then(|mailbox| self.types.get(mailbox.type_id).state(&mutation.state_name))
            .ok_or_else(|| {
                Failure::new(format!(
                    "Accessing a non-existing function state: {}. This can happen if you forgot to declare this state using the language SDKs.",
                    mutation.state_name
                ))
            })?;
        let key = address.row(spec.name.as_bytes());
        let write = match kind {
            MutationType::Delete => Write::delete(STATE, key),
            MutationType::Modify => {
                let (typename, value) =
                    wire::stored_value(mutation.state_value.as_ref()).map_err(|error| {
                        Failure::new(format!(
                            "the value of state `{}` is not a TypedValue: {error}",
                            spec.name
                        ))
                    })?;
                let usual = type_name_of_state(&typename)?;
                if usual != spec.typename {
                    return Err(type_conflict(&spec.name, &spec.typename, &usual));
                }
                let value = if usual == typename {
                    value
                } else {
                    wire::retyped(value, &usual)
                };
                let stamp = spec.ttl.is_on().then_some(self.now);
                Write::put(STATE, key, StateRow { stamp, value }.encode())
            }
        };
        effects.writes.push(write);
        Ok(())
    }

    /// The batch of `address` failed: it waits and is sent again, or the address is parked, and others go on; or nothing is called any
    /// more. Its messages stay where they are.
    pub(super) fn fail(&mut self, address: &AddressKey, failure: Failure, out: &mut Vec<Output>) {
        let failure = self.settings.failure.worded(failure);
        let Some(mailbox) = self.mailboxes.get_mut(address) else {
            return;
        };
        mailbox.failures += 1;
        mailbox.stale_handshakes = 0;
        mailbox.last_failure = Some(failure.to_string());
        let (attempt, invocations) = (mailbox.failures, mailbox.batch.len());
        let held = mailbox.held();
        let changes = std::mem::take(&mut mailbox.changes);
        let type_id = mailbox.type_id;
        let verdict = self.settings.failure.verdict(&failure, attempt, self.now);
        if verdict == Verdict::Parked {
            self.park(address, attempt, failure.to_string());
        } else {
            self.draining |= verdict == Verdict::Stopped;
            let retry_at = verdict.retry_at().unwrap_or(self.now);
            mailbox.activity = Activity::BacksOff(retry_at);
            self.active = self.active.saturating_sub(held);
            self.backoffs.insert((retry_at, address.clone()));
        }

        let kind = self.types.get_mut(type_id);
        kind.counters.failures += 1;
        // Another address of the type makes the first call instead.
        if kind.acquaintance == Acquaintance::Asking(address.clone()) {
            kind.acquaintance = Acquaintance::New;
            let next = kind.queue.pop_front();
            self.give_turn(next);
        }
        self.changed(changes, out);
        out.push(Output::Failed {
            address: address.clone(),
            failure,
            attempt,
            invocations,
            verdict,
        });
    }

    /// Sets an address aside: its messages stay in the store, memory forgets them.
    fn park(&mut self, address: &AddressKey, attempts: u32, reason: String) -> Position {
        if let Some(mailbox) = self.mailboxes.get_mut(address) {
            self.memory_bytes = self.memory_bytes.saturating_sub(mailbox.held_bytes());
            self.active = self.active.saturating_sub(mailbox.active());
            mailbox.stored = mailbox.backlog();
            mailbox.batch.clear();
            mailbox.waiting.clear();
            mailbox.waiting_bytes = 0;
            mailbox.activity = Activity::Parked;
        }
        let parked = Parked {
            since: self.now,
            attempts,
            reason,
        };
        self.recovery.park(address.clone());
        self.store.stage(vec![Write::put(
            PARKED,
            address.as_bytes().clone(),
            parked.encode(),
        )])
    }
}

fn unrecognised(mutation_type: i32) -> Failure {
    Failure::new(format!(
        "Received an UNRECOGNIZED PersistedValueMutation type. This may be caused by a mismatch or incompatibility with the remote function SDK version and the Stateful Functions version. (type {mutation_type})"
    ))
}

/// Bytes of their own: what is kept must not keep the whole reply in memory.
fn own(bytes: Option<Bytes>) -> Bytes {
    bytes
        .map(|bytes| Bytes::copy_from_slice(&bytes))
        .unwrap_or_default()
}

fn target(address: Option<reqreply::Address>) -> AddressKey {
    let address = address.unwrap_or_default();
    AddressKey::new(&address.namespace, &address.r#type, &address.id)
}
