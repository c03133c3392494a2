//! The partition core alone, step by step: inputs in, outputs out, rows in memory, time by hand.

mod batches;
mod effects;
mod failures;
mod keys;
mod limits;
mod state;
mod timers;

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use stateful_functions::protocol::reqreply::from_function::expiration_spec::ExpireMode;
use stateful_functions::protocol::reqreply::to_function::Request;
use stateful_functions::protocol::reqreply::{Address, FromFunction, ToFunction, TypedValue};
use stateful_functions::runtime::core::{
    AddressKey, AdminChange, Arrival, Bindings, CallId, Core, CoreSettings, EgressBinding, Failure,
    FunctionBinding, IdempotencyKey, Input, Output, Verdict,
};
use stateful_functions::storage::{Memory, Rows as _, Store, Syncer, Table};
use stateful_functions::{Timestamp, TypeName};

use crate::support::reply::{Reply, parts, typed};

/// Functions of the namespaces `a` and `b`, whatever their names; `a/outside` acts outside, `a/limited` lets two messages wait.
#[derive(Debug)]
pub(crate) struct Bound;

impl Bindings for Bound {
    fn function(&self, namespace: &str, name: &str) -> Option<FunctionBinding> {
        matches!(namespace, "a" | "b").then(|| FunctionBinding {
            after_durable: name == "outside",
            max_backlog: if name == "limited" { 2 } else { 0 },
        })
    }

    fn egress(&self, namespace: &str, name: &str) -> Option<EgressBinding> {
        match (namespace, name) {
            ("out", "log") => Some(EgressBinding::Outbox),
            ("out", "sent") => Some(EgressBinding::Function(TypeName::new("a/delivery"))),
            _ => None,
        }
    }
}

/// A core, what it stands on, and what it wants done.
pub(crate) struct Rig {
    pub(crate) settings: CoreSettings,
    pub(crate) memory: Memory,
    pub(crate) store: Store,
    pub(crate) syncer: Syncer,
    pub(crate) core: Core,
    pub(crate) now: u64,
    pub(crate) calls: VecDeque<Call>,
    /// All other outputs, as texts.
    pub(crate) seen: Vec<String>,
    pub(crate) next_ticket: u64,
}

/// A call that the core wants made.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) id: CallId,
    pub(crate) target: String,
    pub(crate) states: Vec<(String, Option<TypedValue>)>,
    pub(crate) callers: Vec<Option<String>>,
    pub(crate) batch: Vec<String>,
}

impl Call {
    /// The names of the attached states, with their values.
    pub(crate) fn values(&self) -> Vec<(&str, Option<&str>)> {
        let text = |value: &TypedValue| {
            assert!(value.has_value);
            std::str::from_utf8(&value.value).unwrap().to_owned().leak() as &str
        };
        let states = self.states.iter();
        states
            .map(|(name, value)| (&**name, value.as_ref().map(text)))
            .collect()
    }
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(CoreSettings::default())
    }

    /// Failures have StateFun's words.
    pub(crate) fn with(mut settings: CoreSettings) -> Self {
        settings.failure.statefun_words = true;
        let memory = Memory::default();
        let (store, syncer) = memory.open();
        let mut rig = Self {
            core: Core::new(settings, Arc::new(Bound), store.clone()),
            settings,
            memory,
            store,
            syncer,
            now: 1_000,
            calls: VecDeque::new(),
            seen: Vec::new(),
            next_ticket: 0,
        };
        rig.step(Input::Tick);
        rig
    }

    /// Addresses are parked after this many attempts.
    pub(crate) fn parking(attempts: u32) -> Self {
        let mut settings = CoreSettings::default();
        settings.failure.attempts = NonZeroU32::new(attempts);
        Self::with(settings)
    }

    pub(crate) fn step(&mut self, input: Input) {
        let mut out = Vec::new();
        let now = Timestamp::from_millis(self.now);
        self.core.handle(input, now, &mut out);
        for output in out {
            self.note(output);
        }
        assert_eq!(self.core.counts(), self.core.recount());
    }

    pub(crate) fn note(&mut self, output: Output) {
        let shown = |value: &Bytes| {
            let value = TypedValue::decode(value.clone()).unwrap();
            String::from_utf8(value.value.to_vec()).unwrap()
        };
        let text = match output {
            Output::Call {
                call,
                target,
                request,
                invocations,
            } => {
                let call = read(call, &request);
                assert_eq!(
                    (call.target.clone(), call.batch.len()),
                    (name(&target), invocations)
                );
                return self.calls.push_back(call);
            }
            Output::Forward(core, message) => {
                format!("forward {} to core {core}", name(&message.target))
            }
            Output::Accepted(ticket) => format!("accepted {ticket}"),
            Output::Refused(ticket, refusal) => format!("refused {ticket}: {refusal:?}"),
            Output::Replayed(ticket, answer) => {
                format!("replayed {ticket}: {:?}", answer.as_ref().map(shown))
            }
            Output::Attached(ticket, gateway) => format!("attached {ticket} to {gateway}"),
            Output::Answer(gateway, value) => format!("{gateway} <- {}", shown(&value)),
            Output::Egress { record, .. } => format!("egress <- {}", shown(&record)),
            Output::Changed(ticket, result) => format!("changed {ticket}: {result:?}"),
            Output::Failed {
                address,
                failure,
                attempt,
                verdict,
                ..
            } => {
                let wait = match verdict {
                    Verdict::Retried(at) => format!("Some({})", at.as_millis() - self.now),
                    Verdict::Parked => "None".to_owned(),
                    Verdict::Stopped => "stop".to_owned(),
                };
                format!("{} failed ({attempt}, {wait}): {failure}", name(&address))
            }
            Output::Warning(text) => format!("warning: {text}"),
        };
        self.seen.push(text);
    }

    /// What was put out since the last time, calls aside.
    pub(crate) fn seen(&mut self) -> Vec<String> {
        std::mem::take(&mut self.seen)
    }

    /// An ingress brings a message.
    pub(crate) fn arrive(&mut self, target: &str, text: &str) -> u64 {
        self.bring(target, text, None, None)
    }

    /// An ingress brings a message and waits for the answer to `gateway`.
    pub(crate) fn ask(&mut self, target: &str, text: &str, gateway: &str) -> u64 {
        self.bring(target, text, Some(gateway), None)
    }

    pub(crate) fn bring(
        &mut self,
        target: &str,
        text: &str,
        gateway: Option<&str>,
        key: Option<IdempotencyKey>,
    ) -> u64 {
        self.next_ticket += 1;
        self.step(Input::Arrive(Arrival {
            ticket: self.next_ticket,
            target: key_of(target),
            argument: typed(text),
            gateway: gateway.map(str::to_owned),
            key,
        }));
        self.next_ticket
    }

    /// Makes the first call of `a/f`, which declares no states, so that later tests start with its states known.
    pub(crate) fn learn_states(&mut self) {
        self.arrive("met", "");
        self.drain();
    }

    /// The oldest call that was not answered yet.
    pub(crate) fn call(&mut self) -> Call {
        self.calls.pop_front().expect("a call is in progress")
    }

    /// The call of this address.
    pub(crate) fn call_of(&mut self, target: &str) -> Call {
        let at = self.calls.iter().position(|call| call.target == target);
        let at = at.unwrap_or_else(|| panic!("{target} is called, not {:?}", self.calls));
        self.calls.remove(at).unwrap()
    }

    pub(crate) fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }

    pub(crate) fn answer(&mut self, call: &Call, reply: Reply) {
        self.step(Input::Answered {
            call: call.id,
            result: Ok(FromFunction {
                response: Some(reply.0),
            }),
        });
    }

    pub(crate) fn fail(&mut self, call: &Call) {
        self.step(Input::Answered {
            call: call.id,
            result: Err(Failure::new("no answer")),
        });
    }

    /// Answers every call with nothing, until none is left. Gives what was called.
    pub(crate) fn drain(&mut self) -> Vec<(String, Vec<String>)> {
        let mut called = Vec::new();
        while let Some(call) = self.calls.pop_front() {
            self.answer(&call, Reply::new());
            called.push((call.target, call.batch));
        }
        called
    }

    /// Makes everything durable.
    pub(crate) fn sync(&mut self) {
        let position = self.syncer.sync().unwrap();
        self.step(Input::Durable(position));
    }

    pub(crate) fn advance(&mut self, millis: u64) {
        self.now += millis;
        self.step(Input::Tick);
    }

    /// Starts again with what is durable.
    pub(crate) fn crash(&mut self) {
        (self.store, self.syncer) = self.memory.open();
        self.start();
    }

    pub(crate) fn start(&mut self) {
        self.core = Core::new(self.settings, Arc::new(Bound), self.store.clone());
        self.calls.clear();
        self.step(Input::Tick);
    }

    pub(crate) fn change(&mut self, change: AdminChange) -> u64 {
        self.next_ticket += 1;
        self.step(Input::Change(self.next_ticket, change));
        self.next_ticket
    }

    /// All rows of all tables.
    pub(crate) fn rows(&self) -> Vec<(Bytes, Bytes)> {
        let tables = (0..10).map(|number| match number {
            1 | 3 | 6 => Table::with_fresh_keys(number),
            _ => Table::new(number),
        });
        tables
            .flat_map(|table| self.store.scan(table, &[], None, usize::MAX).unwrap())
            .collect()
    }

    /// Nothing waits and nothing is remembered of any address.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.core.counts() == Default::default() && self.core.addresses() == 0
    }
}

fn read(id: CallId, request: &Bytes) -> Call {
    let request = ToFunction::decode(request.clone()).unwrap().request;
    let Some(Request::Invocation(request)) = request else {
        panic!("no batch: {request:?}");
    };
    let shown =
        |address: &Address| format!("{}/{}/{}", address.namespace, address.r#type, address.id);
    let value = |bytes: Bytes| TypedValue::decode(bytes).unwrap();
    Call {
        id,
        target: shown(&request.target.unwrap()),
        states: request
            .state
            .into_iter()
            .map(|state| (state.state_name, state.state_value.map(value)))
            .collect(),
        callers: request
            .invocations
            .iter()
            .map(|invocation| {
                let caller = invocation.caller.clone();
                caller.map(|caller| shown(&Address::decode(caller).unwrap()))
            })
            .collect(),
        batch: request
            .invocations
            .iter()
            .map(|invocation| {
                let argument = invocation.argument.clone().unwrap_or_default();
                String::from_utf8(value(argument).value.to_vec()).unwrap()
            })
            .collect(),
    }
}

pub(crate) fn key_of(text: &str) -> AddressKey {
    let (namespace, name, id) = parts(text);
    AddressKey::new(namespace, name, id)
}

pub(crate) fn name(address: &AddressKey) -> String {
    let (namespace, name, id) = address.parts();
    format!("{namespace}/{name}/{id}")
}
