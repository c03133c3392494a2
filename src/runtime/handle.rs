//! The interface of a running runtime for the parts above it, such as the admin API.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::commit::StoreStatus;
use super::condition::Condition;
use super::core::keys::{NOT_BROUGHT, NOTES, egress_prefix};
use super::core::{AddressKey, AdminChange, MessageId};
use super::egress::Delivering;
use super::endpoint::{Invocations, RecordForm};
use super::fatal_failure::ApplicationFailure;
use super::gone::Gone;
use super::intake::{Incoming, Intake, IntakeError};
use super::partition::{Command, Inspection};
use super::told::{Told, told};
#[cfg(feature = "postgres")]
use crate::sdk::Message;
use crate::sdk::TypeName;
use crate::storage::{Health, Rows, StorageError, Write};
use crate::time::Timestamp;

/// A running runtime, as the parts above see it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct RuntimeHandle {
    intake: Intake,
}

/// Background work, done once while the runtime runs, and cut off when it stops accepting input.
pub(crate) struct Chore(Box<dyn FnOnce(RuntimeHandle) -> Work + Send>);

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Chore {
    pub(crate) fn new<F: Future<Output = ()> + Send + 'static>(
        work: impl FnOnce(RuntimeHandle) -> F + Send + 'static,
    ) -> Self {
        Self(Box::new(move |runtime| -> Work { Box::pin(work(runtime)) }))
    }

    pub(super) fn begin(self, runtime: RuntimeHandle) -> Work {
        (self.0)(runtime)
    }
}

impl std::fmt::Debug for Chore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Chore")
    }
}

/// The result of a change requested by an operator.
#[derive(Debug)]
pub(crate) enum Changed {
    /// It is on disk.
    Done,
    /// It was not made, for this reason.
    Refused(String),
    /// The runtime is stopping.
    Stopping,
    /// It was not made in time, but may still be made.
    TimedOut,
}

/// Why the store could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("reading the store failed: {0}")]
    Failed(#[from] StorageError),
    #[error("reading the store was cut off")]
    CutOff,
}

/// The answer of a partition to a change.
async fn made(receiver: oneshot::Receiver<Result<(), String>>, within: Duration) -> Changed {
    match told(receiver, within).await {
        Told::Answer(Ok(())) => Changed::Done,
        Told::Answer(Err(reason)) => Changed::Refused(reason),
        Told::Gone => Changed::Stopping,
        Told::TooLate => Changed::TimedOut,
    }
}

impl RuntimeHandle {
    pub(crate) const fn new(intake: Intake) -> Self {
        Self { intake }
    }

    /// Data of functions and egresses that no longer exist, found at the start and at each exchange of functions.
    pub(crate) fn gone(&self) -> Arc<[Gone]> {
        self.intake.bound.gone()
    }

    pub(super) const fn intake(&self) -> &Intake {
        &self.intake
    }

    /// A value that parts above the runtime share, by its type.
    pub(crate) fn shared<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.intake.shared.get()
    }

    /// The wall time for stored deadlines.
    pub(crate) fn now(&self) -> Timestamp {
        self.intake.now()
    }

    /// Accepts a message: `Ok` once it is on disk, or if it was already under the same idempotency key.
    pub(crate) async fn send(&self, incoming: Incoming) -> Result<(), IntakeError> {
        self.intake.send(incoming).await
    }

    /// Accepts a message and waits for the answer of its function: an encoded `TypedValue`.
    pub(crate) async fn call(
        &self,
        incoming: Incoming,
        within: Duration,
    ) -> Result<Bytes, IntakeError> {
        self.intake.call(incoming, within).await
    }

    /// Sends a message between parts that are not reached from outside.
    #[cfg(feature = "postgres")]
    pub(crate) async fn hand_over(&self, message: &Message) -> Result<(), IntakeError> {
        let incoming = Incoming {
            target: AddressKey::from(message.target()),
            argument: message.typed().raw().clone(),
            key: None,
        };
        self.intake.submit(incoming).await
    }

    /// Makes a change in the partition of `address`; ready when it is on disk.
    pub(crate) async fn change(
        &self,
        address: &AddressKey,
        change: AdminChange,
        within: Duration,
    ) -> Changed {
        let (sender, receiver) = oneshot::channel();
        let command = Command::Change(change, sender);
        match self.intake.router.send(address.id(), command) {
            true => made(receiver, within).await,
            false => Changed::Stopping,
        }
    }

    /// Deletes a record that `egress` has set aside, and sends `again`, an encoded `TypedValue`, at the end of its outbox; ready when that
    /// is on disk.
    pub(crate) async fn take_back(
        &self,
        egress: &TypeName,
        id: MessageId,
        again: Option<Bytes>,
        within: Duration,
    ) -> Changed {
        let change = AdminChange::TakeBack {
            egress: egress_prefix(egress.namespace(), egress.name()),
            id,
            again,
        };
        // Always the same partition, so that two commands about a record come one after the other.
        let (sender, receiver) = oneshot::channel();
        let command = Command::Change(change, sender);
        if !self.intake.router.send_to_first(command) {
            return Changed::Stopping;
        }
        let made = made(receiver, within).await;
        if let (Changed::Done, Some(outbox)) = (&made, self.intake.egresses.outbox(egress)) {
            outbox.took_back();
        }
        made
    }

    /// Whether the module binds an egress of this name that has an outbox.
    pub(crate) fn has_outbox(&self, egress: &TypeName) -> bool {
        self.intake.egresses.outbox(egress).is_some()
    }

    /// Makes a change in all partitions; ready when it is on disk.
    pub(crate) async fn change_all(&self, change: AdminChange, within: Duration) -> Changed {
        let make = |sender| Command::Change(change.clone(), sender);
        match timeout(within, self.intake.router.ask_all(make)).await {
            Err(_) => Changed::TimedOut,
            Ok(made) if made.is_empty() => Changed::Stopping,
            Ok(made) => match made.into_iter().find_map(Result::err) {
                Some(reason) => Changed::Refused(reason),
                None => Changed::Done,
            },
        }
    }

    /// The queues of each partition, with at most `limit` addresses of each.
    pub(crate) async fn inspect(&self, limit: usize) -> Vec<Inspection> {
        let ask = |sender| Command::Inspect(limit, sender);
        self.intake.router.ask_all(ask).await
    }

    /// Runs `work` on the stored rows, on a thread that may block. Keep it short: read large amounts in slices.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Rows) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let store = self.intake.store.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        Ok(done.map_err(|_| ReadError::CutOff)??)
    }

    /// The note under `key`, from this start or an earlier one.
    pub(crate) async fn noted(&self, key: &str) -> Result<Option<Bytes>, ReadError> {
        let key = key.to_owned();
        self.read(move |rows| rows.get(NOTES, key.as_bytes())).await
    }

    /// Stores a note for the next start. It becomes durable with the next writes.
    pub(crate) fn note(&self, key: &str, value: Bytes) {
        let write = Write::put(NOTES, key.to_owned(), value);
        self.intake.store.stage(vec![write]);
    }

    /// Removes a record that a source had set aside, if it is there.
    pub(crate) fn remove_set_aside(&self, record: &AddressKey) {
        let (namespace, name, _) = record.parts();
        let is_source =
            |source: &TypeName| (source.namespace(), source.name()) == (namespace, name);
        let mut sources = self.intake.sources.iter();
        let write = Write::delete(NOT_BROUGHT, record.to_bytes());
        self.intake.store.stage(vec![write]);
        if let Some((_, condition)) = sources.find(|(source, _)| is_source(source)) {
            condition.set_aside_less();
        }
    }

    /// The health of the store.
    pub(crate) fn store_health(&self) -> Health {
        self.intake.store.health()
    }

    /// Whether accepted messages become durable.
    pub(crate) fn store_status(&self) -> StoreStatus {
        self.intake.status.borrow().clone()
    }

    /// The condition of each egress.
    pub(crate) fn delivering(&self) -> Vec<Delivering> {
        self.intake.egresses.delivering()
    }

    /// The condition of each source, by the name of its ingress.
    pub(crate) fn sources(&self) -> &[(TypeName, Arc<Condition>)] {
        &self.intake.sources
    }

    /// The egress whose outbox stops intake, and the records in it.
    pub(crate) fn full_egress(&self) -> Option<(TypeName, u64)> {
        self.intake.egresses.full()
    }

    /// Why the application has failed for good, if it has.
    pub(crate) fn failure(&self) -> Option<ApplicationFailure> {
        self.intake.fatal_failure.failure()
    }

    /// Whether the runtime accepts nothing more because it is stopping.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.intake.stopping.borrow()
    }

    /// The function that makes a record for `target`, if it takes records.
    pub(crate) fn record_of(&self, target: &AddressKey) -> Option<RecordForm> {
        self.intake.bound.directory().record_of(target)
    }

    /// Counters of calls to remote functions.
    pub(crate) fn invocations(&self) -> Invocations {
        self.intake.bound.directory().invocations.clone()
    }

    /// The number of answers whose caller no longer waited.
    pub(crate) fn unclaimed_answers(&self) -> u64 {
        self.intake.callers.unclaimed()
    }
}
