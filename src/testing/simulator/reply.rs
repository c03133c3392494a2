//! The answers of the simulated function server: random effects, requests for missing values, or something impossible.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::model::{AddressIndex, Call, Id, Model, Outcome, Sender, Status};
use super::plan::{DELIVERED, DELIVERY, OUTBOX, Plan, TYPES, pick};
use super::request::{gateway, log, message, numbered, typed};
use crate::protocol::reqreply::from_function::expiration_spec::ExpireMode;
use crate::protocol::reqreply::from_function::persisted_value_mutation::MutationType;
use crate::protocol::reqreply::from_function::{
    DelayedInvocation, EgressMessage, ExpirationSpec, IncompleteInvocationContext, Invocation,
    InvocationResponse, PersistedValueMutation, PersistedValueSpec, Response,
};
use crate::protocol::reqreply::{Address, FromFunction};
use crate::random::Random;
use crate::runtime::core::GATEWAY;
use crate::time::Timestamp;

/// The lifetime of expiring values.
pub(super) const LIFE: u64 = 30;
/// The states that every function declares; the last two expire.
const STATES: [(&str, ExpireMode); 4] = [
    ("log", ExpireMode::None),
    ("note", ExpireMode::None),
    ("written", ExpireMode::AfterWrite),
    ("called", ExpireMode::AfterInvoke),
];
const TOKENS: [&str; 2] = ["x", "y"];

/// A reply, and what the core must make of it.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) wire: FromFunction,
    pub(super) meaning: Meaning,
}

/// What the core must make of a reply.
#[derive(Debug)]
pub(super) enum Meaning {
    /// The effects of each message, and the values that expire: written, or removed.
    Effects(Vec<(Id, Outcome)>, Vec<(&'static str, Option<Id>)>),
    /// States it asks for.
    Missing(Vec<String>),
    /// The batch fails, and nothing of the reply is kept.
    Refused,
}

/// Makes up the replies.
pub(super) struct Server<'a> {
    pub(super) plan: &'a Plan,
    pub(super) model: &'a mut Model,
    pub(super) random: &'a mut Random,
    pub(super) now: Timestamp,
    /// Nothing new is begun.
    pub(super) is_calm: bool,
}

/// A reply in the making.
#[derive(Default)]
struct Draft {
    response: InvocationResponse,
    /// Tokens of this id as the reply leaves them.
    tokens: BTreeMap<&'static str, Option<Id>>,
}

impl Server<'_> {
    pub(super) fn reply(&mut self, call: &Call, logged: &[Id]) -> Reply {
        let declared = if self.plan.steps_back {
            2
        } else {
            STATES.len()
        };
        let missing = STATES.into_iter().take(declared);
        let missing: Vec<_> = missing
            .filter(|(state, _)| !call.names.iter().any(|name| name == state))
            .collect();
        if !missing.is_empty() {
            return self.incomplete(&missing);
        }
        if !self.is_calm && self.random.chance(3) {
            return incomplete(&[STATES[0], STATES[1]]);
        }
        let mut draft = Draft::default();
        let mut outcomes = Vec::with_capacity(call.batch.len());
        for id in &call.batch {
            outcomes.push((*id, self.effects(call.index, *id, &mut draft)));
        }
        let cells = self.mutate(call, logged, &mut draft);
        let is_bad = !self.is_calm && self.random.chance(self.plan.bad_replies);
        if is_bad {
            self.spoil(call.index, &mut draft);
        }
        Reply {
            wire: FromFunction {
                response: Some(Response::InvocationResult(draft.response)),
            },
            meaning: if is_bad {
                Meaning::Refused
            } else {
                Meaning::Effects(outcomes, cells)
            },
        }
    }

    /// Mostly all missing states are requested, sometimes one at a time.
    fn incomplete(&mut self, missing: &[(&str, ExpireMode)]) -> Reply {
        let asked = if self.random.chance(20) {
            1
        } else {
            missing.len()
        };
        incomplete(missing.get(..asked).unwrap_or(missing))
    }

    /// What message `id` does at `index`.
    fn effects(&mut self, index: AddressIndex, id: Id, draft: &mut Draft) -> Outcome {
        let mut outcome = Outcome::default();
        self.answer(id, draft, &mut outcome);
        if self.random.chance(25) {
            self.record(id, draft, &mut outcome);
        }
        if self.is_calm {
            return outcome;
        }
        for _ in 0..self.random.below(3) {
            self.send(index, id, draft, &mut outcome);
        }
        if self.random.chance(20) {
            self.cancel(index, draft, &mut outcome);
        }
        if self.random.chance(35) {
            self.delay(index, id, draft, &mut outcome);
        }
        if self.random.chance(10) {
            self.cancel(index, draft, &mut outcome);
        }
        if self.random.chance(10) {
            self.deliver(index, id, draft, &mut outcome);
        }
        outcome
    }

    /// A new message, if there may still be one.
    fn child(
        &mut self,
        index: AddressIndex,
        target: AddressIndex,
        id: Id,
        outcome: &mut Outcome,
    ) -> Option<Id> {
        if self.model.entries.len() >= self.plan.messages {
            return None;
        }
        let child = self.model.add(target, Sender::Function(index), Some(id));
        outcome.children.push(child);
        Some(child)
    }

    fn somewhere(&mut self, index: AddressIndex) -> AddressIndex {
        match self.random.below(6) {
            0 => index,
            1 => {
                let kind = pick(self.random, TYPES.len());
                self.plan.beside(index, kind)
            }
            _ => pick(self.random, self.plan.addresses.len()),
        }
    }

    fn address(&self, index: AddressIndex) -> Option<Address> {
        let (namespace, name, id) = self.plan.addresses.get(index)?.parts();
        Some(address(namespace, name, id))
    }

    fn send(&mut self, index: AddressIndex, id: Id, draft: &mut Draft, outcome: &mut Outcome) {
        let target = self.somewhere(index);
        if let Some(child) = self.child(index, target, id, outcome) {
            draft.response.outgoing_messages.push(Invocation {
                target: self.address(target),
                argument: Some(message(child)),
            });
        }
    }

    fn delay(&mut self, index: AddressIndex, id: Id, draft: &mut Draft, outcome: &mut Outcome) {
        let target = self.somewhere(index);
        let delay = match self.random.below(4) {
            0 => 0,
            1 => 1 + self.random.below(3),
            _ => self.random.below(80),
        };
        let token = TOKENS.get(pick(self.random, 3)).copied();
        let token = token.filter(|token| self.pending(index, token, draft).is_none());
        let Some(child) = self.child(index, target, id, outcome) else {
            return;
        };
        let entry = self.model.entry_mut(child);
        entry.due = Some(Timestamp::from_millis(self.now.as_millis() + delay));
        entry.token = token;
        if let Some(token) = token {
            draft.tokens.insert(token, Some(child));
        }
        draft.response.delayed_invocations.push(DelayedInvocation {
            delay_in_ms: i64::try_from(delay).unwrap_or_default(),
            target: self.address(target),
            argument: Some(message(child)),
            is_cancellation_request: false,
            cancellation_token: token.unwrap_or_default().to_owned(),
        });
    }

    /// The pending message of a token of this id, whichever type armed it.
    fn pending(&self, index: AddressIndex, token: &'static str, draft: &Draft) -> Option<Id> {
        if let Some(changed) = draft.tokens.get(token) {
            return *changed;
        }
        self.model.with(Status::Armed).find(|id| {
            let entry = self.model.entry(*id);
            let Sender::Function(sender) = entry.sender else {
                return false;
            };
            entry.token == Some(token) && sender % self.plan.ids == index % self.plan.ids
        })
    }

    fn cancel(&mut self, index: AddressIndex, draft: &mut Draft, outcome: &mut Outcome) {
        let token = if self.random.chance(50) {
            TOKENS[0]
        } else {
            TOKENS[1]
        };
        outcome.cancelled.extend(self.pending(index, token, draft));
        draft.tokens.insert(token, None);
        draft.response.delayed_invocations.push(cancellation(token));
    }

    fn record(&mut self, id: Id, draft: &mut Draft, outcome: &mut Outcome) {
        let number = self.model.records.len();
        self.model.records.push(super::model::EgressRecord {
            maker: id,
            is_kept: false,
            is_taken: false,
            is_out: false,
        });
        outcome.records.push(number);
        draft.response.outgoing_egresses.push(EgressMessage {
            egress_namespace: OUTBOX.0.to_owned(),
            egress_type: OUTBOX.1.to_owned(),
            argument: Some(numbered("record", number)),
        });
    }

    /// A record for the egress that is a function: it becomes a message to the sender's id.
    fn deliver(&mut self, index: AddressIndex, id: Id, draft: &mut Draft, outcome: &mut Outcome) {
        let target = self.plan.beside(index, DELIVERY);
        if let Some(child) = self.child(index, target, id, outcome) {
            outcome.by_egress.push(child);
            draft.response.outgoing_egresses.push(EgressMessage {
                egress_namespace: DELIVERED.0.to_owned(),
                egress_type: DELIVERED.1.to_owned(),
                argument: Some(message(child)),
            });
        }
    }

    /// Answers its own caller, once or twice, or seldom another one.
    fn answer(&mut self, id: Id, draft: &mut Draft, outcome: &mut Outcome) {
        let own = self.model.entry(id).sender == Sender::Gateway && self.random.chance(70);
        let other = pick(self.random, id + 1);
        let other = (self.model.entry(other).sender == Sender::Gateway && self.random.chance(20))
            .then_some(other);
        let again = own && self.random.chance(10);
        let callers = [own.then_some(id), other, again.then_some(id)];
        for caller in callers.into_iter().flatten() {
            let number = self.model.answers.len();
            self.model.answers.push(super::model::Answered {
                maker: id,
                gateway: gateway(caller),
                is_owed: false,
            });
            outcome.answers.push(number);
            draft.response.outgoing_messages.push(Invocation {
                target: Some(address(GATEWAY.0, GATEWAY.1, &gateway(caller))),
                argument: Some(numbered("answer", number)),
            });
        }
    }

    /// The log grows by the batch; values that expire are written, removed, or left alone.
    fn mutate(
        &mut self,
        call: &Call,
        logged: &[Id],
        draft: &mut Draft,
    ) -> Vec<(&'static str, Option<Id>)> {
        let mutations = &mut draft.response.state_mutations;
        let log = log(&[logged, &call.batch].concat());
        mutations.push(mutation("log", Some(log)));
        let mut cells = Vec::new();
        let value = call.batch.last().copied().unwrap_or_default();
        for (name, mode) in STATES {
            if mode == ExpireMode::None || !call.names.iter().any(|known| known == name) {
                continue;
            }
            // The last of several mutations counts.
            for _ in 0..self.random.below(3) {
                let value = self.random.chance(80).then_some(value);
                mutations.push(mutation(name, value.map(|id| numbered(name, id))));
                cells.retain(|(other, _)| *other != name);
                cells.push((name, value));
            }
        }
        cells
    }

    /// Adds something that cannot be done.
    fn spoil(&mut self, index: AddressIndex, draft: &mut Draft) {
        let response = &mut draft.response;
        let unbound = address("a", "unbound", "0");
        match self.random.below(8) {
            0 => response.outgoing_messages.push(Invocation {
                target: Some(unbound),
                argument: None,
            }),
            1 => response.outgoing_egresses.push(EgressMessage {
                egress_namespace: "out".into(),
                egress_type: "unbound".into(),
                argument: None,
            }),
            2 => response.delayed_invocations.push(DelayedInvocation {
                delay_in_ms: -1,
                target: Some(unbound),
                ..DelayedInvocation::default()
            }),
            3 => response.delayed_invocations.push(cancellation("")),
            4 => {
                // Whether the token is pending or not, the second time it is.
                let armed = DelayedInvocation {
                    delay_in_ms: 5,
                    target: self.address(index),
                    argument: None,
                    is_cancellation_request: false,
                    cancellation_token: TOKENS[0].to_owned(),
                };
                let delayed = &mut draft.response.delayed_invocations;
                delayed.extend([armed.clone(), armed]);
            }
            5 => response
                .state_mutations
                .push(mutation("unknown", Some(typed("log", Bytes::new())))),
            6 => response
                .state_mutations
                .push(mutation("log", Some(typed("note", Bytes::new())))),
            _ => response.state_mutations.push(PersistedValueMutation {
                mutation_type: 7,
                state_name: "log".into(),
                state_value: None,
            }),
        }
    }
}

fn incomplete(asked: &[(&str, ExpireMode)]) -> Reply {
    let specs = asked.iter().map(|(name, mode)| PersistedValueSpec {
        state_name: (*name).to_owned(),
        expiration_spec: (*mode != ExpireMode::None).then(|| ExpirationSpec {
            mode: (*mode).into(),
            expire_after_millis: i64::try_from(LIFE).unwrap_or_default(),
        }),
        type_typename: format!("simulator/{name}"),
    });
    let missing_values: Vec<_> = specs.collect();
    let names = missing_values.iter().map(|spec| spec.state_name.clone());
    Reply {
        meaning: Meaning::Missing(names.collect()),
        wire: FromFunction {
            response: Some(Response::IncompleteInvocationContext(
                IncompleteInvocationContext { missing_values },
            )),
        },
    }
}

fn mutation(name: &str, value: Option<Bytes>) -> PersistedValueMutation {
    let kind = match value {
        Some(_) => MutationType::Modify,
        None => MutationType::Delete,
    };
    PersistedValueMutation {
        mutation_type: kind.into(),
        state_name: name.to_owned(),
        state_value: value,
    }
}

fn cancellation(token: &str) -> DelayedInvocation {
    DelayedInvocation {
        is_cancellation_request: true,
        cancellation_token: token.to_owned(),
        ..DelayedInvocation::default()
    }
}

fn address(namespace: &str, name: &str, id: &str) -> Address {
    Address {
        namespace: namespace.to_owned(),
        r#type: name.to_owned(),
        id: id.to_owned(),
    }
}
