//! Plays the runtime for the functions of a registry: the same core as in production, virtual time, rows in memory.

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
use crate::runtime::core::keys::{OUTBOX, take_text};
use crate::runtime::core::{
    AddressKey, AdminChange, Arrival, Bindings, CallId, Core, CoreSettings, EgressBinding, Failure,
    FunctionBinding, GATEWAY, Input, Output, Refusal,
};
use crate::sdk::{
    Address, EgressMessage, Message, SdkError, StatefulFunctions, Type, TypeName, TypedBytes,
    ValueSpec,
};
use crate::storage::{Memory, Position, Store, Syncer, Write};
use crate::time::Timestamp;

/// Functions together, as the embedded runtime runs them: batches, handshake, state, delayed messages, retries and recovery, on
/// virtual time and without a server.
///
/// A message is called at once when its address is idle; what arrives before the call has returned is the next batch. Time stands
/// until [`advance`](Self::advance) moves it. Functions may await anything that the executor of the test can poll. Every egress exists;
/// what is sent to it is kept here.
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
    /// How many failures the last run had seen.
    reported: usize,
    failures: Vec<BatchFailure>,
    warnings: Vec<String>,
    egress: BTreeMap<Bytes, Vec<EgressMessage>>,
    answers: BTreeMap<String, Message>,
    next_gateway: u64,
    refused: Option<Refusal>,
}

/// A batch that had no effect: its function returned an error or panicked, or asked for something that cannot be done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchFailure {
    /// Where.
    pub address: Address,
    /// How many messages the batch has.
    pub messages: usize,
    /// How many times in a row it has failed now.
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
    /// A batch failed. It is sent again after its wait: [`Harness::advance`]. All else went on.
    #[error("function {} failed: {}", .0.address, .0.reason)]
    Function(BatchFailure),
    /// The message's function is not registered.
    #[error("message to {target} was refused: no such function is registered")]
    UnknownFunction {
        /// Whom it was for.
        target: Address,
    },
    /// Nothing is left to do at this time, and nobody answered the call.
    #[error("{target} did not answer; it may answer at a later time")]
    NoAnswer {
        /// Who was called.
        target: Address,
    },
    /// The runtime refused it.
    #[error("refused: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
}

/// A call that is out.
struct Call {
    id: CallId,
    reply: Pin<Box<dyn Future<Output = Result<FromFunction, Failure>> + Send>>,
}

impl Harness {
    /// Plays the runtime for `functions`. Time begins at a moment in 2026.
    pub fn new(functions: StatefulFunctions) -> Self {
        const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);
        Self::with_clock(functions, Arc::new(ManualClock::new(START)))
    }

    /// As [`new`](Self::new), on the time of `clock`: for functions that ask it too.
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

    /// Brings `message` in as an ingress does. Its function is called by the next [`run`](Self::run); what is sent before that to an
    /// address whose call is out becomes one batch.
    ///
    /// # Errors
    /// When its function is not registered.
    pub fn send(&mut self, message: Message) -> Result<(), HarnessError> {
        self.arrive(&message, None)
    }

    /// Sends `message` and gives the first message that comes back to its caller. Time does not move.
    ///
    /// # Errors
    /// When its function is not registered, a batch fails meanwhile, or nobody answers.
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

    /// Runs all there is to do at this time, until every call has returned.
    ///
    /// It waits for functions that wait. Dropped before it is done it leaves their calls out, and the next run goes on with them.
    ///
    /// # Errors
    /// When a batch failed; the first failure is given, [`failures`](Self::failures) has all. Everything else has run all the same.
    pub async fn run(&mut self) -> Result<(), HarnessError> {
        self.step(Input::Tick);
        poll_fn(|task| self.poll_calls(task)).await;
        let reported = std::mem::replace(&mut self.reported, self.failures.len());
        match self.failures.get(reported) {
            Some(failure) => Err(HarnessError::Function(failure.clone())),
            None => Ok(()),
        }
    }

    /// Moves time on by `span`, and stops at every moment at which something is due to run it: delayed messages, batches that are
    /// sent again.
    ///
    /// # Errors
    /// As [`run`](Self::run).
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

    /// Crashes and starts again with what is on disk. Calls that are out are lost, and their batches sent again.
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

    /// How long until something is due by itself; `None` when nothing is.
    pub fn next_due(&self) -> Option<Duration> {
        let due = self.core.next_deadline()?;
        Some(due.since(self.now()))
    }

    /// What was sent to `egress` so far, in the order in which the batches were applied.
    pub fn egress(&self, egress: &TypeName) -> &[EgressMessage] {
        let key = crate::runtime::core::keys::egress_prefix(egress.namespace(), egress.name());
        self.egress.get(&key).map_or(&[], Vec::as_slice)
    }

    /// What was sent to `egress` so far, as values of type `ty`.
    ///
    /// # Errors
    /// When one is of another type. Messages without value are passed over.
    pub fn egress_values<T>(&self, egress: &TypeName, ty: &Type<T>) -> Result<Vec<T>, SdkError> {
        let sent = self.egress(egress).iter();
        sent.filter_map(|message| message.get(ty).transpose())
            .collect()
    }

    /// What the function at `address` remembers under `spec`, as its next call would see it.
    ///
    /// # Errors
    /// When the stored value is of another type.
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

    /// Has the function at `address` remember `value`; `None` removes it. While its call is out the change waits for the end of it.
    ///
    /// # Errors
    /// When the value's type refuses it, or the function declared the value with another type.
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

    /// What the runtime would have warned its operator of so far.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Calls that have not returned.
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

    /// One input and all that follows from it, on disk at the end.
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
            // One core forwards nothing; there are no keys; what is accepted shows by its effects.
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

/// The functions of the registry, and every egress.
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
