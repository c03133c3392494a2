//! Plays the runtime for the functions of a registry, with the core used in production, virtual time and rows in memory.

mod failure;
mod steps;
mod view;

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use self::failure::{BatchFailure, HarnessError};

use self::steps::{Call, Registered, core};
use crate::clock::{Clock as _, ManualClock};
use crate::handler::RequestReplyHandler;
use crate::runtime::core::{Core, Input, Refusal};
use crate::sdk::{EgressMessage, Message, StatefulFunctions};
use crate::storage::{Memory, Position, Store, Syncer};
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
