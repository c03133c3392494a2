//! The effects of a reply, as rows to write and messages to pass on. Nothing is changed before all of them are collected, so that
//! a reply that fails half-way leaves no trace.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::idempotency::{Outcome, is_unkept};
use super::indices::{Slot, TypeId};
use super::keys::{
    ANSWERS, AddressKey, GATEWAYS, INBOX, MessageId, OUTBOX, STATE, TIMERS, TOKENS, TimerKey,
    egress_prefix, id_hash, token_key,
};
use super::rows::{answer_of, message_row, unreadable};
use super::state::{StateRow, type_conflict, type_name_of_state};
use super::timers::Timer;
use super::watch::{self, Change};
use super::{Core, EgressBinding, Failure, GATEWAY, wire};
use crate::protocol::reqreply;
use crate::protocol::reqreply::from_function::persisted_value_mutation::MutationType;
use crate::protocol::reqreply::from_function::{
    DelayedInvocation, EgressMessage, Invocation, InvocationResponse, PersistedValueMutation,
};
use crate::storage::{Rows as _, Write};

/// The effects of one reply.
#[derive(Default)]
pub(super) struct Effects {
    writes: Vec<Write>,
    /// Bytes of the keys and values in `writes`.
    bytes: usize,
    /// Messages to functions, in order, with the core of each.
    pub(super) messages: Vec<(u8, AddressKey, MessageId, Bytes)>,
    /// How many of them go to this core, and to others.
    pub(super) local: u64,
    pub(super) remote: u64,
    /// Messages to callers outside: gateway and value.
    pub(super) answers: Vec<(String, Bytes)>,
    /// The callers in `answers`, once there are several.
    answered: HashSet<String>,
    /// Egress records: egress, id and value.
    pub(super) records: Vec<(Bytes, MessageId, Bytes)>,
    pub(super) warnings: Vec<String>,
    pub(super) armed: Vec<TimerKey>,
    pub(super) cancelled: Vec<TimerKey>,
    /// Changed watched values.
    pub(super) watched: Vec<Change>,
    /// Tokens that this reply armed or cancelled.
    tokens: HashMap<Bytes, Option<(TimerKey, AddressKey)>>,
}

/// The address that replied.
struct Sender {
    slot: Slot,
    address: AddressKey,
    type_id: TypeId,
}

impl Effects {
    fn write(&mut self, write: Write) {
        self.bytes += write.key.len() + write.value.as_ref().map_or(0, Bytes::len);
        self.writes.push(write);
    }

    /// Adds an answer, and returns whether it is the first to its caller.
    fn answer(&mut self, gateway: &str, value: Bytes) -> bool {
        // Nearly all replies have at most one answer.
        if let [(first, _)] = &self.answers[..] {
            self.answered.insert(first.clone());
        }
        let is_first = self.answers.is_empty() || self.answered.insert(gateway.to_owned());
        self.answers.push((gateway.to_owned(), value));
        is_first
    }

    /// All rows to stage.
    pub(super) fn take_writes(&mut self) -> Vec<Write> {
        std::mem::take(&mut self.writes)
    }
}

impl Core {
    /// Turns a reply into effects, in the order in which StateFun applies them, without changing anything yet.
    pub(super) fn gather(
        &mut self,
        slot: Slot,
        result: InvocationResponse,
    ) -> Result<Effects, Failure> {
        let limits = self.settings.answers;
        let sender = &Sender {
            slot,
            address: self.mailboxes.address(slot).clone(),
            type_id: self.mailboxes.of(slot).type_id(),
        };
        limits.check(&result)?;
        let mut effects = Effects::default();
        // Rows of the batch's messages and of declarations come to them.
        effects
            .writes
            .reserve(result.outgoing_messages.len() + result.state_mutations.len() + 4);
        for message in result.outgoing_messages {
            self.gather_message(sender, message, &mut effects)?;
            limits.check_bytes(effects.bytes)?;
        }
        for delayed in result.delayed_invocations {
            if delayed.is_cancellation_request {
                self.gather_cancellation(&sender.address, &delayed, &mut effects)?;
            } else {
                self.gather_delayed(sender, delayed, &mut effects)?;
            }
            limits.check_bytes(effects.bytes)?;
        }
        for record in result.outgoing_egresses {
            self.gather_record(sender, record, &mut effects)?;
            limits.check_bytes(effects.bytes)?;
        }
        for mutation in result.state_mutations {
            self.gather_mutation(sender, mutation, &mut effects)?;
            limits.check_bytes(effects.bytes)?;
        }
        Ok(effects)
    }

    fn gather_message(
        &mut self,
        sender: &Sender,
        message: Invocation,
        effects: &mut Effects,
    ) -> Result<(), Failure> {
        let address = message.target.unwrap_or_default();
        if (&*address.namespace, &*address.r#type) == GATEWAY {
            let value = own(message.argument);
            if effects.answer(&address.id, value.clone()) {
                for write in self.kept_answer(&address.id, &value)? {
                    effects.write(write);
                }
            }
            return Ok(());
        }
        let target = target(&address);
        let bound = self.types.bound(&target, &*self.bindings);
        let unbound = || Failure::unbound_function(&address.namespace, &address.r#type);
        let (to, _) = bound.ok_or_else(unbound)?;
        self.types.note_feed(sender.type_id, to);
        if self.push_message(sender, target, message.argument, effects) {
            effects.local += 1;
        } else {
            effects.remote += 1;
        }
        Ok(())
    }

    /// Returns whether it stays in this core.
    fn push_message(
        &mut self,
        sender: &Sender,
        target: AddressKey,
        argument: Option<Bytes>,
        effects: &mut Effects,
    ) -> bool {
        // An absent one is sent as an empty one.
        let argument = argument.unwrap_or_default();
        let id = self.next_id();
        let owner = self.owner_of(target.id());
        let caller = Some(sender.address.parts());
        let (key, invocation) = message_row(&target, id, caller, &argument);
        effects.write(Write::put(INBOX, key, invocation.clone()));
        effects.messages.push((owner, target, id, invocation));
        owner == self.settings.index
    }

    /// Stores the first answer to a call with an idempotency key in the same commit.
    pub(super) fn kept_answer(&self, gateway: &str, value: &Bytes) -> Result<Vec<Write>, Failure> {
        if is_unkept(gateway) {
            return Ok(Vec::new());
        }
        let Some(row) = self.store.get(GATEWAYS, gateway.as_bytes())? else {
            return Ok(Vec::new());
        };
        let gateway_row = Bytes::copy_from_slice(gateway.as_bytes());
        let mut writes = vec![Write::delete(GATEWAYS, gateway_row)];
        let Some(mut answer) = answer_of(&self.store, &row)? else {
            return Ok(writes);
        };
        if answer.outcome == Outcome::Pending(gateway.to_owned()) {
            answer.outcome = Outcome::Answered(value.clone());
            writes.push(Write::put(ANSWERS, row, answer.encode()));
        }
        Ok(writes)
    }

    fn gather_delayed(
        &mut self,
        sender: &Sender,
        delayed: DelayedInvocation,
        effects: &mut Effects,
    ) -> Result<(), Failure> {
        let (feeds, sender) = (sender.type_id, &sender.address);
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
            target: target(&delayed.target.unwrap_or_default()),
            sender: sender.clone(),
            token: delayed.cancellation_token,
            invocation: wire::invocation(
                Some(sender.parts()),
                &delayed.argument.unwrap_or_default(),
            ),
        };
        let (namespace, name, _) = timer.target.parts();
        if let Some((to, _)) = self.types.bound(&timer.target, &*self.bindings) {
            self.types.note_feed(feeds, to);
        } else if (namespace, name) != GATEWAY {
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
            let mut row = key.encode().to_vec();
            sender.put_key(&mut row);
            effects.write(Write::put(TOKENS, token.clone(), row));
            effects.tokens.insert(token, Some((key, sender.clone())));
        }
        effects.write(Write::put(TIMERS, key.encode(), timer.encode()));
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
        effects.write(Write::delete(TOKENS, token.clone()));
        effects.write(Write::delete(TIMERS, key.encode()));
        effects.tokens.insert(token, None);
        effects.cancelled.push(key);
        Ok(())
    }

    /// The pending timer of a token, including the changes of this reply so far.
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
        match TimerKey::decode(&row).zip(sender) {
            Some((key, (sender, _))) => Ok(Some((key, sender))),
            None => Err(unreadable(TOKENS, token)),
        }
    }

    fn gather_record(
        &mut self,
        sender: &Sender,
        record: EgressMessage,
        effects: &mut Effects,
    ) -> Result<(), Failure> {
        let (namespace, name) = (&record.egress_namespace, &record.egress_type);
        match self.bindings.egress(namespace, name) {
            Some(EgressBinding::Outbox) => {}
            Some(EgressBinding::Function(function)) => {
                let id = sender.address.id();
                let target = AddressKey::new(function.namespace(), function.name(), id);
                if let Some((to, _)) = self.types.bound(&target, &*self.bindings) {
                    self.types.note_feed(sender.type_id, to);
                }
                self.push_message(sender, target, record.argument, effects);
                return Ok(());
            }
            None => return Err(Failure::unbound_egress(namespace, name)),
        }
        let egress = egress_prefix(namespace, name);
        let function_type = self.types.get_mut(sender.type_id);
        if !function_type.egresses.contains(&egress) {
            function_type.egresses.insert(egress.clone());
        }
        let id = self.next_id();
        let value = own(record.argument);
        let key = [&egress[..], &id.encode()].concat();
        effects.write(Write::put(OUTBOX, key, value.clone()));
        effects.records.push((egress, id, value));
        Ok(())
    }

    fn gather_mutation(
        &self,
        sender: &Sender,
        mutation: PersistedValueMutation,
        effects: &mut Effects,
    ) -> Result<(), Failure> {
        let mutation_type = MutationType::try_from(mutation.mutation_type)
            .map_err(|_| unrecognised(mutation.mutation_type))?;
        let function_type = self.types.get(sender.type_id);
        let spec = function_type
            .states
            .get(&mutation.state_name)
            .ok_or_else(|| {
                Failure::new(format!(
                    "Accessing a non-existing function state: {}. This can happen if you forgot to declare this state using the language SDKs.",
                    mutation.state_name
                ))
            })?;
        let key = sender.address.row(spec.name.as_bytes());
        let write = match mutation_type {
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
        let given = self.mailboxes.of(sender.slot).given();
        if let Some(change) = self.watched(&spec.name, &write, given)? {
            watch::add(&mut effects.watched, change);
        }
        effects.write(write);
        Ok(())
    }
}

fn unrecognised(mutation_type: i32) -> Failure {
    Failure::new(format!(
        "Received an UNRECOGNIZED PersistedValueMutation type. This may be caused by a mismatch or incompatibility with the remote function SDK version and the Stateful Functions version. (type {mutation_type})"
    ))
}

/// Copied bytes: kept data must not keep the whole reply in memory.
fn own(bytes: Option<Bytes>) -> Bytes {
    bytes
        .map(|bytes| Bytes::copy_from_slice(&bytes))
        .unwrap_or_default()
}

fn target(address: &reqreply::Address) -> AddressKey {
    AddressKey::new(&address.namespace, &address.r#type, &address.id)
}
