//! The intake of messages: sends, and calls with an answer. Every ingress and the library's users go through it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::acknowledgements::ReplyTo;
use super::callers::{CallOutcome, Caller, Callers, NoAnswer};
use super::commit::StoreStatus;
use super::condition::Condition;
pub(crate) use super::core::AddressKey;
use super::core::idempotency::{Outcome, StoredAnswer};
use super::core::rows::answer_of;
use super::core::{Arrival, Bindings as _, IdempotencyKey, Refusal};
use super::egress::Egresses;
use super::endpoint::RecordForm;
use super::entrance::Entering;
use super::exchange::Bound;
use super::fatal_failure::FatalFailure;
use super::partition::{Admission, Command};
use super::router::Router;
use super::told::{Told, told};
use super::waits;
use crate::clock::Clock;
use crate::elapsed::rounded;
use crate::sdk::TypeName;
use crate::storage::Store;
use crate::time::Timestamp;

/// How long a message waits for its round to become durable; after that its sender is told that the result is unknown.
const DURABLE_WITHIN: Duration = Duration::from_secs(30);

/// The message to the sender in that case.
const NOT_DURABLE: &str = "the message did not become durable in time";

/// How long a caller without an answer waits for the reason.
const LOOK_WITHIN: Duration = Duration::from_secs(1);

/// Why a message was not accepted, or has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntakeError {
    /// No function is bound to the type.
    #[error("no function is bound to {function}; known: {}", known.join(", "))]
    UnknownFunction {
        /// `<namespace>/<name>` as given.
        function: String,
        /// The bound functions.
        known: Vec<String>,
    },
    /// The function is an inner part, such as a stage of a pipeline, and the message is none of those that it takes.
    #[error(
        "{function} is an inner part of {entry} and does not take messages of type {type_name}; send to {entry}"
    )]
    ForeignValue {
        /// The function, `<namespace>/<name>`.
        function: String,
        /// The type of the value.
        type_name: String,
        /// The function to send to instead.
        entry: String,
    },
    /// A queue limit was reached; retry later.
    #[error("{what}; try again later")]
    Full {
        /// Which limit.
        what: String,
    },
    /// The idempotency key was used with another body.
    #[error(
        "the idempotency key was used before with another body or type, or by a send, which has no answer to repeat"
    )]
    KeyReused,
    /// Nothing can be made durable now. It is unknown whether the message was; nothing was acknowledged.
    #[error("the store is not writable: {reason}")]
    NotWritable {
        /// Why.
        reason: String,
    },
    /// The function did not answer in time. The message stays accepted.
    #[error("{reason}; no answer within {}{}, and the message stays accepted", rounded(*within), named(*setting))]
    Timeout {
        /// How long the caller waited.
        within: Duration,
        /// The setting that says how long, if there is one.
        setting: Option<&'static str>,
        /// Why, at that time: the last failure of its address, if there was one.
        reason: String,
    },
    /// The runtime is stopping.
    #[error("the runtime is stopping")]
    Stopping,
}

impl IntakeError {
    /// The same, if it is a timeout with the setting that says how long a call waits.
    pub(crate) fn limited_by(self, limit: &'static str) -> Self {
        match self {
            Self::Timeout { within, reason, .. } => Self::Timeout {
                within,
                setting: Some(limit),
                reason,
            },
            other => other,
        }
    }
}

fn named(setting: Option<&str>) -> String {
    setting.map_or_else(String::new, |setting| format!(" ({setting})"))
}

/// A message for the runtime.
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    /// The target.
    pub(crate) target: AddressKey,
    /// The encoded `TypedValue`.
    pub(crate) argument: Bytes,
    /// The caller's idempotency key, if it has one.
    pub(crate) key: Option<IdempotencyKey>,
}

/// Accepts messages for the runtime. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Intake {
    pub(super) router: Router,
    pub(super) callers: Callers,
    /// Functions and egresses.
    pub(super) bound: Arc<Bound>,
    pub(super) egresses: Egresses,
    /// The condition of each source.
    pub(super) sources: Arc<[(TypeName, Arc<Condition>)]>,
    pub(super) store: Store,
    pub(super) status: watch::Receiver<StoreStatus>,
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) fatal_failure: FatalFailure,
    pub(super) clock: Arc<dyn Clock>,
    /// Values that parts above the runtime share.
    pub(super) shared: Arc<http::Extensions>,
    /// Counts the messages that a source has accepted this way.
    pub(super) counted_by: Option<Arc<Condition>>,
}

impl Intake {
    /// An intake for a source, which counts its messages.
    pub(super) fn counted_by(self, condition: &Arc<Condition>) -> Self {
        Self {
            counted_by: Some(Arc::clone(condition)),
            ..self
        }
    }

    /// The function that makes a record for `target`, if it takes records.
    pub(crate) fn record_of(&self, target: &AddressKey) -> Option<RecordForm> {
        self.bound.directory().record_of(target)
    }

    /// The wall time for stored deadlines.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Accepts a message: `Ok` once it is on disk, or if it was already under the same idempotency key.
    pub(crate) async fn send(&self, mut incoming: Incoming) -> Result<(), IntakeError> {
        self.check_value(&incoming.target, &incoming.argument)?;
        let entrances = self.bound.entrances();
        if let Some(enter) = entrances.of(&incoming.target) {
            self.check(&incoming.target)?;
            // An idempotency key is known to the partition of the original target.
            let own = incoming.key.as_ref();
            let own = own.map(|_| self.router.owner(incoming.target.id()));
            let router = self.router.clone();
            let suits = move |id: &str| own.is_none_or(|own| router.owner(id) == own);
            let (target, argument) = (&incoming.target, &incoming.argument);
            let entering = entrances.compute(enter, target, argument, suits);
            match entering.await {
                Some(Entering::As(target, argument)) => {
                    (incoming.target, incoming.argument) = (target, argument);
                }
                // The key of a message without effect is stored, too.
                Some(Entering::Ended) if own.is_none() => {
                    if let Some(condition) = &self.counted_by {
                        condition.moved_on(1);
                    }
                    return Ok(());
                }
                Some(Entering::Ended) | None => {}
            }
        }
        self.submit(incoming).await
    }

    /// As [`send`](Self::send), also of values that are not taken from outside.
    pub(super) async fn submit(&self, incoming: Incoming) -> Result<(), IntakeError> {
        self.check(&incoming.target)?;
        let target = incoming.target.clone();
        let (sender, receiver) = oneshot::channel();
        self.bring(incoming, None, ReplyTo::Sender(sender))?;
        match told(receiver, DURABLE_WITHIN).await {
            Told::Answer(Admission::Refused(refusal)) => Err(self.refused(refusal, &target)),
            Told::Answer(Admission::Accepted) => {
                if let Some(condition) = &self.counted_by {
                    condition.moved_on(1);
                }
                Ok(())
            }
            Told::Answer(Admission::Replayed(_) | Admission::Attached(_)) => Ok(()),
            Told::Gone => Err(self.not_writable("the store has closed")),
            Told::TooLate => Err(self.not_writable(NOT_DURABLE)),
        }
    }

    /// Accepts a message and waits for the answer of its function: an encoded `TypedValue`.
    pub(crate) async fn call(
        &self,
        incoming: Incoming,
        within: Duration,
    ) -> Result<Bytes, IntakeError> {
        let begun = Instant::now();
        let deadline = begun + within;
        self.check(&incoming.target)?;
        self.check_value(&incoming.target, &incoming.argument)?;
        let caller = self
            .callers
            .wait(incoming.key.is_some(), self.counted_by.clone());
        let row = incoming.key.as_ref().map(|key| key.row.clone());
        let target = incoming.target.clone();
        let gateway = caller.id().to_string();
        self.bring(incoming, Some(gateway), ReplyTo::Caller(caller.id()))?;
        let first = deadline.min(begun + DURABLE_WITHIN);
        let outcome = match self.outcome(caller, first, deadline).await? {
            Some(CallOutcome::Admission(Admission::Attached(first))) => {
                self.join(&first, row, deadline).await?
            }
            outcome => outcome,
        };
        match outcome {
            Some(
                CallOutcome::Answer(value)
                | CallOutcome::Admission(Admission::Replayed(Some(value))),
            ) => Ok(value),
            // The first message with the key was a send, not a call, so there will never be an answer.
            Some(CallOutcome::Admission(Admission::Replayed(None))) => Err(IntakeError::KeyReused),
            Some(CallOutcome::Admission(Admission::Refused(refusal))) => {
                Err(self.refused(refusal, &target))
            }
            Some(CallOutcome::NoAnswer(NoAnswer::NotWritable)) => {
                Err(self.not_writable("the store has closed"))
            }
            Some(CallOutcome::NoAnswer(NoAnswer::Stopping)) => Err(IntakeError::Stopping),
            None | Some(CallOutcome::Admission(_)) => Err(IntakeError::Timeout {
                within,
                setting: None,
                reason: self.reason(&target).await,
            }),
        }
    }

    /// The outcome of a call by `deadline`; `None` if there is none yet, and the message is accepted.
    ///
    /// # Errors
    /// If the message is not durable by `first`.
    async fn outcome(
        &self,
        mut caller: Caller,
        first: Instant,
        deadline: Instant,
    ) -> Result<Option<CallOutcome>, IntakeError> {
        let outcome = match timeout_at(first, &mut caller.outcome).await {
            Err(_) if !caller.is_accepted() => return Err(self.not_writable(NOT_DURABLE)),
            Err(_) => timeout_at(deadline, &mut caller.outcome).await,
            told => told,
        };
        // Only the caller itself drops the sender.
        Ok(outcome.ok().and_then(Result::ok))
    }

    /// Why `target` does not answer.
    async fn reason(&self, target: &AddressKey) -> String {
        let (sender, receiver) = oneshot::channel();
        self.router
            .send(target.id(), Command::Look(target.clone(), sender));
        // A partition that does not respond must not delay the reply to the caller.
        let queue = match told(receiver, LOOK_WITHIN).await {
            Told::Answer(queue) => queue,
            Told::Gone | Told::TooLate => None,
        };
        waits::reason(&target.to_address(), queue.as_ref())
    }

    /// Waits for the answer to another call with the same idempotency key.
    async fn join(
        &self,
        gateway: &str,
        row: Option<Bytes>,
        deadline: Instant,
    ) -> Result<Option<CallOutcome>, IntakeError> {
        let joined = self.callers.join(gateway);
        // It may have been answered between reading the key and waiting.
        let kept = match row {
            Some(row) => self.kept(row).await?,
            None => None,
        };
        if let Some(Outcome::Answered(value)) = kept.map(|answer| answer.outcome) {
            return Ok(Some(CallOutcome::Answer(value)));
        }
        let Some(mut joined) = joined else {
            return Ok(None);
        };
        let outcome = timeout_at(deadline, &mut joined.outcome).await;
        Ok(outcome.ok().and_then(Result::ok))
    }

    /// The stored answer of an idempotency key, read on a thread that may block.
    async fn kept(&self, row: Bytes) -> Result<Option<StoredAnswer>, IntakeError> {
        let store = self.store.clone();
        let read = tokio::task::spawn_blocking(move || answer_of(&store, &row)).await;
        let reason = match read {
            Ok(Ok(kept)) => return Ok(kept),
            Ok(Err(failure)) => failure.to_string(),
            Err(_) => "reading the store was cut off".to_owned(),
        };
        Err(IntakeError::NotWritable { reason })
    }

    /// Sends a message to its partition.
    fn bring(
        &self,
        incoming: Incoming,
        gateway: Option<String>,
        reply_to: ReplyTo,
    ) -> Result<(), IntakeError> {
        let arrival = Arrival {
            ticket: 0,
            target: incoming.target,
            argument: incoming.argument,
            gateway,
            key: incoming.key,
        };
        let inbox = self.router.inbox_of(arrival.target.id());
        match inbox.send(Command::Arrive(arrival, reply_to)) {
            true => Ok(()),
            false => Err(IntakeError::Stopping),
        }
    }

    /// Whether a function is bound to the type of `target`.
    pub(super) fn check_bound(&self, target: &AddressKey) -> Result<(), IntakeError> {
        let (namespace, name, _) = target.parts();
        match self.bound.directory().function(namespace, name) {
            Some(_) => Ok(()),
            None => Err(self.unknown(namespace, name)),
        }
    }

    /// Whether `target` takes only some values from outside.
    pub(super) fn is_part(&self, target: &AddressKey) -> bool {
        self.bound.directory().parts.has(target)
    }

    /// Whether `target` takes this value from outside.
    pub(super) fn check_value(
        &self,
        target: &AddressKey,
        argument: &[u8],
    ) -> Result<(), IntakeError> {
        self.bound.directory().parts.check(target, argument)
    }

    /// Whether a source has to wait, because the disk or an outbox is full, or the disk is too slow. An error means that waiting is useless.
    pub(super) fn waits_for_room(&self) -> Result<bool, IntakeError> {
        if *self.stopping.borrow() {
            return Err(IntakeError::Stopping);
        }
        match &*self.status.borrow() {
            StoreStatus::Closed(reason) => Err(IntakeError::NotWritable {
                reason: reason.clone(),
            }),
            StoreStatus::Full(_) => Ok(true),
            StoreStatus::Writable => Ok(self.store.pressure() || self.egresses.full().is_some()),
        }
    }

    /// Why messages for `target` have to wait, although there is room for them: it keeps as much as it may.
    pub(super) fn kept_full(&self, target: &AddressKey) -> Option<String> {
        let directory = self.bound.directory();
        let watch = directory.watch().filter(|watch| watch.has_full())?;
        let (namespace, name, _) = target.parts();
        watch.full(namespace, name)
    }

    /// Checks that need no partition.
    fn check(&self, target: &AddressKey) -> Result<(), IntakeError> {
        if *self.stopping.borrow() {
            return Err(IntakeError::Stopping);
        }
        self.check_bound(target)?;
        if let Some(what) = self.kept_full(target) {
            return Err(IntakeError::Full { what });
        }
        match &*self.status.borrow() {
            StoreStatus::Writable => {}
            StoreStatus::Full(reason) | StoreStatus::Closed(reason) => {
                return Err(IntakeError::NotWritable {
                    reason: reason.clone(),
                });
            }
        }
        if self.store.pressure() {
            // Without space or checkpoints the disk cannot catch up by itself.
            let health = self.store.health();
            return Err(match health.low_room.or(health.checkpoint_failure) {
                Some(reason) => IntakeError::NotWritable {
                    reason: reason.to_string(),
                },
                None => IntakeError::Full {
                    what: "the disk is slower than the intake, and the rows that wait for it have reached their limit (LogSettings::unsynced_bytes, overlay_bytes)".to_owned(),
                },
            });
        }
        if self.router.is_full(target.id()) {
            let what = "messages on their way to functions use up the memory for them (RuntimeConfig::max_memory_bytes)";
            return Err(IntakeError::Full {
                what: what.to_owned(),
            });
        }
        Ok(())
    }

    fn refused(&self, refusal: Refusal, target: &AddressKey) -> IntakeError {
        let (namespace, name, _) = target.parts();
        match refusal {
            Refusal::UnknownFunction => self.unknown(namespace, name),
            Refusal::Full { what } => IntakeError::Full { what },
            Refusal::KeyReused => IntakeError::KeyReused,
            Refusal::Storage(reason) => IntakeError::NotWritable { reason },
        }
    }

    fn unknown(&self, namespace: &str, name: &str) -> IntakeError {
        IntakeError::UnknownFunction {
            function: format!("{namespace}/{name}"),
            known: self.bound.directory().known(),
        }
    }

    fn not_writable(&self, otherwise: &str) -> IntakeError {
        let reason = match &*self.status.borrow() {
            StoreStatus::Writable => otherwise.to_owned(),
            StoreStatus::Full(reason) | StoreStatus::Closed(reason) => reason.clone(),
        };
        IntakeError::NotWritable { reason }
    }
}
