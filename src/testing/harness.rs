//! Plays the runtime for the functions of a registry, with the core used in production, virtual time and rows in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;

use crate::clock::{Clock as _, ManualClock};
use crate::handler::RequestReplyHandler;
use crate::protocol::reqreply::FromFunction;
use crate::runtime::core::keys::{OUTBOX, STATE, after_prefix, take_text, type_prefix};
use crate::runtime::core::{
    AddressKey, AdminChange, Arrival, Bindings, CallId, Core, CoreSettings, EgressBinding, Failure,
    FunctionBinding, GATEWAY, Input, Output, Refusal,
};
use crate::sdk::{
    Address, EgressMessage, Message, SdkError, StatefulFunctions, Type, TypeName, TypedBytes,
    ValueSpec,
};
use crate::storage::{Memory, Position, Rows as _, Store, Syncer, Write};
use crate::time::Timestamp;

/// Tests functions together as the embedded runtime runs them: batches, handshake, state, delayed messages, retries and recovery, on
/// virtual time and without a server.
///
/// If its address is idle, a message starts a call at once; messages that arrive before the call has returned form the next batch. Time moves
/// only with [`advance`](Self::advance). Functions may await anything that the executor of the test can poll. Every egress exists;
/// its records are kept here.
///
/// ```
/// use std::time::Duration;
/// use stateful_functions::testing::Harness;
/// use stateful_functions::{
///     Address, BoxError, Context, EgressMessageBuilder, FunctionSpec, Message, MessageBuilder,
///     StatefulFunctions, TypeName, ValueSpec, types,
/// };
///
/// const REMINDER: TypeName = TypeName::new("example/reminder");
/// const INBOX: TypeName = TypeName::new("example/inbox");
/// const SENT: ValueSpec<i32> = ValueSpec::new("sent", types::INT);
///
/// async fn remind(context: &mut Context, message: Message) -> Result<(), BoxError> {
///     if context.caller().is_none() {
///         let later = MessageBuilder::to(context.address().clone()).forward(&message);
///         context.send_after(Duration::from_secs(60), later)?;
///         return Ok(());
///     }
///     let sent = context.storage().get(&SENT)?.unwrap_or(0) + 1;
///     context.storage().set(&SENT, sent)?;
///     context.send_egress(EgressMessageBuilder::to(INBOX).value(message.require(&types::STRING)?));
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let functions = StatefulFunctions::new().with(FunctionSpec::new(REMINDER, remind).value(SENT))?;
/// let mut harness = Harness::new(functions);
/// let bob = Address::new(REMINDER, "bob");
///
/// harness.send(MessageBuilder::to(bob.clone()).value("tea"))?;
/// harness.advance(Duration::from_secs(59)).await?;
/// assert!(harness.egress(&INBOX).is_empty());
///
/// harness.restart(); // as a crash: what was accepted is still there
/// harness.advance(Duration::from_secs(1)).await?;
/// assert_eq!(harness.egress_values(&INBOX, &types::STRING)?, ["tea"]);
/// assert_eq!(harness.state(&bob, &SENT)?, Some(1));
/// # Ok(())
/// # }
/// ```
pub struct Harness {
    handler: RequestReplyHandler,
    bindings: Arc<Registered>,
    clock: Arc<ManualClock>,
    memory: Memory,
    store: Store,
    syncer: Syncer,
    durable: Position,
    core: Core,
    calls: Vec<Call>,
    /// The number of failures that the last run had seen.
    reported: usize,
    failures: Vec<BatchFailure>,
    warnings: Vec<String>,
    egress: BTreeMap<Bytes, Vec<EgressMessage>>,
    answers: BTreeMap<String, Message>,
    next_gateway: u64,
    refused: Option<Refusal>,
}

/// A batch without effect, because its function returned an error, panicked, or requested something impossible.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchFailure {
    /// The address of the batch.
    pub address: Address,
    /// The number of messages in the batch.
    pub messages: usize,
    /// The number of failures in a row, including this one.
    pub attempt: u32,
    /// Why.
    pub reason: String,
    /// When the batch is sent again.
    pub retry_at: Option<Timestamp>,
}

/// Why a step of a test went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HarnessError {
    /// A batch failed. It is sent again after its wait: [`Harness::advance`]. Everything else continued.
    #[error("function {} failed: {}", .0.address, .0.reason)]
    Function(BatchFailure),
    /// The message's function is not registered.
    #[error("message to {target} was refused: no such function is registered")]
    UnknownFunction {
        /// The target of the message.
        target: Address,
    },
    /// Nothing is left to do at this time, and the call has no answer.
    #[error("{target} did not answer; it may answer at a later time")]
    NoAnswer {
        /// The address that was called.
        target: Address,
    },
    /// The runtime refused it.
    #[error("refused: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
}

/// A call in progress.
struct Call {
    id: CallId,
    reply: Pin<Box<dyn Future<Output = Result<FromFunction, Failure>> + Send>>,
}

impl Harness {
    /// A harness for `functions`. Time begins at a moment in 2026.
    pub fn new(functions: StatefulFunctions) -> Self {
        const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);
        Self::with_clock(functions, Arc::new(ManualClock::new(START)))
    }

    /// Like [`new`](Self::new), with the time of `clock`, for functions that use a clock themselves.
    pub fn with_clock(functions: StatefulFunctions, clock: Arc<ManualClock>) -> Self {
        let bindings = Arc::new(Registered(functions.clone()));
        let memory = Memory::default();
        let (store, syncer) = memory.open();
        let mut harness = Self {
            handler: RequestReplyHandler::new(functions),
            core: core(&bindings, &store),
            bindings,
            clock,
            memory,
            durable: store.durable(),
            store,
            syncer,
            calls: Vec::new(),
            reported: 0,
            failures: Vec::new(),
            warnings: Vec::new(),
            egress: BTreeMap::new(),
            answers: BTreeMap::new(),
            next_gateway: 1,
            refused: None,
        };
        harness.step(Input::Tick);
        harness
    }

    /// Sends `message` as an ingress does. The next [`run`](Self::run) calls its function. Messages sent before that to an address with a call
    /// in progress become one batch.
    ///
    /// # Errors
    /// If its function is not registered.
    pub fn send(&mut self, message: Message) -> Result<(), HarnessError> {
        self.arrive(&message, None)
    }

    /// Sends `message` and returns the first message that is sent back to its caller. Time does not move.
    ///
    /// # Errors
    /// If its function is not registered, a batch fails meanwhile, or there is no answer.
    pub async fn call(&mut self, message: Message) -> Result<Message, HarnessError> {
        let gateway = format!("call-{}", self.next_gateway);
        self.next_gateway += 1;
        self.arrive(&message, Some(gateway.clone()))?;
        let done = self.run().await;
        if let Some(answer) = self.answers.remove(&gateway) {
            return Ok(answer);
        }
        done?;
        Err(HarnessError::NoAnswer {
            target: message.target().clone(),
        })
    }

    /// Does everything there is to do at this time, until every call has returned.
    ///
    /// It waits for functions that wait. If it is dropped before, their calls stay in progress, and the next run continues them.
    ///
    /// # Errors
    /// If a batch failed: the error is the first failure, and [`failures`](Self::failures) has all. Everything else has run nevertheless.
    pub async fn run(&mut self) -> Result<(), HarnessError> {
        self.step(Input::Tick);
        poll_fn(|task| self.poll_calls(task)).await;
        let reported = std::mem::replace(&mut self.reported, self.failures.len());
        match self.failures.get(reported) {
            Some(failure) => Err(HarnessError::Function(failure.clone())),
            None => Ok(()),
        }
    }

    /// Moves time forward by `span`, and on the way runs everything that becomes due: delayed messages, and batches that are
    /// sent again.
    ///
    /// # Errors
    /// See [`run`](Self::run).
    pub async fn advance(&mut self, span: Duration) -> Result<(), HarnessError> {
        let end = self.clock.now() + span;
        let mut done = self.run().await;
        while let Some(due) = self.core.next_deadline().filter(|due| *due <= end) {
            self.clock.set(due.max(self.clock.now()));
            done = done.and(self.run().await);
        }
        self.clock.set(end);
        done.and(self.run().await)
    }

    /// Crashes, and starts again with what is on disk. Calls in progress are lost, and their batches are sent again.
    pub fn restart(&mut self) {
        (self.store, self.syncer) = self.memory.open();
        self.durable = self.store.durable();
        self.core = core(&self.bindings, &self.store);
        self.calls.clear();
        self.step(Input::Tick);
    }

    /// The virtual time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The time until the next delayed message or repeated batch is due; `None` if there is none.
    pub fn next_due(&self) -> Option<Duration> {
        let due = self.core.next_deadline()?;
        Some(due.since(self.now()))
    }

    /// The records sent to `egress` so far, in the order in which the batches were applied.
    pub fn egress(&self, egress: &TypeName) -> &[EgressMessage] {
        let key = crate::runtime::core::keys::egress_prefix(egress.namespace(), egress.name());
        self.egress.get(&key).map_or(&[], Vec::as_slice)
    }

    /// The records sent to `egress` so far, as values of type `ty`.
    ///
    /// # Errors
    /// If one has another type. Records without a value are skipped.
    pub fn egress_values<T>(&self, egress: &TypeName, ty: &Type<T>) -> Result<Vec<T>, SdkError> {
        let sent = self.egress(egress).iter();
        sent.filter_map(|message| message.get(ty).transpose())
            .collect()
    }

    /// The value `spec` of the function at `address`, as its next call would see it.
    ///
    /// # Errors
    /// If the stored value has another type.
    pub fn state<T>(&self, address: &Address, spec: &ValueSpec<T>) -> Result<Option<T>, SdkError> {
        let stored = self
            .core
            .state(&AddressKey::from(address), spec.name(), self.now());
        let Some(value) = stored.expect("rows in memory can be read") else {
            return Ok(None);
        };
        let typed = TypedBytes::parse(value).expect("stored values are `TypedValue`s");
        let what = || format!("value `{}` of {address}", spec.name());
        spec.value_type().read(&typed, what)
    }

    /// The addresses at which `function` keeps a value called `value`, in the order of their ids.
    pub fn addresses(&self, function: &TypeName, value: &str) -> Vec<Address> {
        let prefix = type_prefix(function.namespace(), function.name());
        let end = after_prefix(&prefix);
        let rows = self.store.scan(STATE, &prefix, end.as_deref(), usize::MAX);
        let rows = rows.expect("rows in memory can be read").into_iter();
        let named = rows.filter_map(|(key, _)| {
            let (address, name) = AddressKey::split(&key)?;
            (name == value.as_bytes()).then(|| address.to_address())
        });
        named.collect()
    }

    /// Sets the value `spec` of the function at `address`; `None` removes it. If a call is in progress, the change waits for its end.
    ///
    /// # Errors
    /// If the value's type refuses it, or the function declared the value with another type.
    pub fn set_state<T>(
        &mut self,
        address: &Address,
        spec: &ValueSpec<T>,
        value: Option<&T>,
    ) -> Result<(), HarnessError> {
        let value = match value.map(|value| spec.value_type().typed(value)) {
            None => None,
            Some(Ok(typed)) => Some(typed.raw().clone()),
            Some(Err(error)) => {
                let reason = error.to_string();
                return Err(HarnessError::Refused { reason });
            }
        };
        let change = AdminChange::SetState {
            address: AddressKey::from(address),
            name: spec.name().to_owned(),
            value,
        };
        let known = self.warnings.len();
        self.step(Input::Change(0, change));
        match self.warnings.split_off(known).pop() {
            Some(reason) => Err(HarnessError::Refused { reason }),
            None => Ok(()),
        }
    }

    /// All batches that failed so far.
    pub fn failures(&self) -> &[BatchFailure] {
        &self.failures
    }

    /// The warnings that the runtime would have logged so far.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The number of calls that have not returned.
    pub const fn calls_in_flight(&self) -> usize {
        self.calls.len()
    }

    fn arrive(&mut self, message: &Message, gateway: Option<String>) -> Result<(), HarnessError> {
        self.step(Input::Arrive(Arrival {
            ticket: 0,
            target: AddressKey::from(message.target()),
            argument: message.typed().raw().clone(),
            gateway,
            key: None,
        }));
        let target = message.target().clone();
        match self.refused.take() {
            None => Ok(()),
            Some(Refusal::UnknownFunction) => Err(HarnessError::UnknownFunction { target }),
            Some(refusal) => Err(HarnessError::Refused {
                reason: format!("{refusal:?}"),
            }),
        }
    }

    fn poll_calls(&mut self, task: &mut Task<'_>) -> Poll<()> {
        loop {
            let returned = self.calls.iter_mut().enumerate().find_map(|(place, call)| {
                match call.reply.as_mut().poll(task) {
                    Poll::Ready(result) => Some((place, result)),
                    Poll::Pending => None,
                }
            });
            let Some((place, result)) = returned else {
                return if self.calls.is_empty() {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                };
            };
            let call = self.calls.remove(place).id;
            self.step(Input::Answered { call, result });
        }
    }

    /// Handles one input and everything that follows from it; at the end all of it is on disk.
    fn step(&mut self, input: Input) {
        let mut out = Vec::new();
        self.core.handle(input, self.clock.now(), &mut out);
        loop {
            for output in std::mem::take(&mut out) {
                self.act(output);
            }
            let durable = self.syncer.sync().expect("rows in memory are never full");
            if durable == self.durable {
                return;
            }
            self.durable = durable;
            self.core
                .handle(Input::Durable(durable), self.clock.now(), &mut out);
        }
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::Call { call, request, .. } => self.begin(call, request),
            Output::Refused(_, refusal) => self.refused = Some(refusal),
            Output::Answer(gateway, value) => self.answered(gateway, value),
            Output::Egress {
                egress, id, record, ..
            } => {
                let row = [&egress[..], &id.encode()].concat();
                self.store.stage(vec![Write::delete(OUTBOX, row)]);
                self.sent(egress, record);
            }
            Output::Failed {
                address,
                failure,
                attempt,
                invocations,
                verdict,
            } => self.failures.push(BatchFailure {
                address: address.to_address(),
                messages: invocations,
                attempt,
                reason: failure.to_string(),
                retry_at: verdict.retry_at(),
            }),
            Output::Changed(_, Err(warning)) | Output::Warning(warning) => {
                self.warnings.push(warning);
            }
            // A single core forwards nothing, there are no keys, and acceptance shows in the effects.
            Output::Forward(..)
            | Output::Accepted(_)
            | Output::Replayed(..)
            | Output::Attached(..)
            | Output::Changed(_, Ok(())) => {}
        }
    }

    fn begin(&mut self, id: CallId, request: Bytes) {
        let handler = self.handler.clone();
        let reply = Box::pin(async move {
            let failed = |reason: String| Failure::new(reason);
            let reply = handler.handle(request).await;
            let reply = reply.map_err(|error| failed(error.to_line()))?;
            FromFunction::decode(reply).map_err(|error| failed(error.to_string()))
        });
        self.calls.push(Call { id, reply });
    }

    /// The first answer counts; later ones have no receiver.
    fn answered(&mut self, gateway: String, value: Bytes) {
        let target = Address::from_wire(GATEWAY.0, GATEWAY.1, &gateway);
        if let Ok(typed) = TypedBytes::parse(value) {
            let answer = Message::new(target, typed);
            self.answers.entry(gateway).or_insert(answer);
        }
    }

    fn sent(&mut self, egress: Bytes, record: Bytes) {
        let mut rest = &egress[..];
        let mut next = || take_text(&mut rest).unwrap_or_default().to_owned();
        let name = TypeName::from_wire(&next(), &next());
        if let Ok(typed) = TypedBytes::parse(record) {
            let message = EgressMessage::new(name, typed);
            self.egress.entry(egress).or_default().push(message);
        }
    }
}

impl fmt::Debug for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness")
            .field("functions", &self.handler)
            .field("now", &self.now())
            .field("calls_in_flight", &self.calls.len())
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}

fn core(bindings: &Arc<Registered>, store: &Store) -> Core {
    let bindings: Arc<dyn Bindings> = bindings.clone();
    Core::new(CoreSettings::default(), bindings, store.clone())
}

/// Binds the functions of the registry, and every egress.
#[derive(Debug)]
struct Registered(StatefulFunctions);

impl Bindings for Registered {
    fn function(&self, namespace: &str, name: &str) -> Option<FunctionBinding> {
        let spec = self.0.find(namespace, name)?;
        Some(FunctionBinding {
            after_durable: spec.is_after_durable(),
            max_backlog: 0,
        })
    }

    fn egress(&self, _namespace: &str, _name: &str) -> Option<EgressBinding> {
        Some(EgressBinding::Outbox)
    }
}
