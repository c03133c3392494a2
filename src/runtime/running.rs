//! A running runtime: intake, status and shutdown.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{info, warn};

use super::RuntimeBuilder;
use super::commit::{Committer, StoreStatus};
use super::config::RuntimeConfig;
use super::core::AddressKey;
use super::fatal_failure::ApplicationFailure;
#[cfg(feature = "postgres")]
use super::handle::RuntimeHandle;
use super::intake::{Incoming, Intake, IntakeError};
use super::listener::Listener;
use super::partition::{Command, Partitions};
use super::stopping;
use crate::sdk::{Address, Message, TypedBytes};

/// The embedded durable runtime, running in this process.
///
/// Messages, state, timers and egress records are in one folder, and on disk before they are acknowledged or sent. Dropping a
/// runtime ends it like a crash: nothing acknowledged is lost, and the next start continues. [`Runtime::shutdown`] ends it gracefully.
#[derive(Debug)]
pub struct Runtime {
    intake: Intake,
    tasks: Tasks,
    committer: Committer,
    listeners: Vec<Listener>,
    config: RuntimeConfig,
}

/// The tasks, in the order in which they are stopped.
#[derive(Debug)]
pub(super) struct Tasks {
    /// Becomes true when no more input is accepted.
    pub(super) closing: watch::Sender<bool>,
    pub(super) ingresses: JoinSet<()>,
    /// Becomes true when no more records are delivered.
    pub(super) ending: watch::Sender<bool>,
    pub(super) egresses: JoinSet<()>,
    pub(super) partitions: Partitions,
}

impl Runtime {
    /// Configures a runtime; nothing is bound yet.
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder::new()
    }

    pub(super) const fn new(
        intake: Intake,
        committer: Committer,
        listeners: Vec<Listener>,
        config: RuntimeConfig,
        tasks: Tasks,
    ) -> Self {
        Self {
            intake,
            tasks,
            committer,
            listeners,
            config,
        }
    }

    /// A handle on what is inside.
    #[cfg(feature = "postgres")]
    pub(crate) fn handle(&self) -> RuntimeHandle {
        RuntimeHandle::new(self.intake.clone())
    }

    /// All listeners with their actual addresses.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Sends a message to a function. `Ok` once the message is on disk.
    ///
    /// # Errors
    /// If it was not accepted.
    pub async fn send(&self, message: &Message) -> Result<(), IntakeError> {
        self.intake.send(incoming(message)).await
    }

    /// Sends a message to a function, and waits for the first message that is sent back to its caller.
    ///
    /// The answer is returned once its commit is on disk. After `within` the message stays accepted.
    ///
    /// # Errors
    /// If it was not accepted, or not answered in time.
    pub async fn call(&self, message: &Message, within: Duration) -> Result<Message, IntakeError> {
        let value = self.intake.call(incoming(message), within).await?;
        Ok(answer(message.target(), value))
    }

    /// Whether accepted messages become durable; changes can be awaited.
    pub fn store_status(&self) -> watch::Receiver<StoreStatus> {
        self.committer.status.subscribe()
    }

    /// Waits until the application has failed for good, which happens only with [`OnError::Fail`](super::OnError::Fail). After that
    /// nothing is accepted and no function is called; only [`shutdown`](Self::shutdown) is left.
    ///
    /// The future may be dropped, and the method called again.
    pub async fn failed(&self) -> ApplicationFailure {
        self.intake.fatal_failure.failed().await
    }

    /// Stops accepting input, answers requests already accepted, lets calls in flight finish, and makes everything durable.
    ///
    /// Each of the three may take [`RuntimeConfig::shutdown_timeout`]. Work that is not done by then is done after the next start. Requests whose answers
    /// cannot come before that, because no call is in progress any more, are not waited for.
    pub async fn shutdown(mut self) {
        info!("stopping");
        let limit = self.config.shutdown_timeout;
        self.tasks.closing.send_replace(true);
        let Intake {
            router, callers, ..
        } = &self.intake;
        stopping::tell(router, limit).await;
        let release = async {
            stopping::release(router, callers, limit).await;
            std::future::pending().await
        };
        let have_ended = tokio::select! {
            have_ended = ended(&mut self.tasks.ingresses, limit) => have_ended,
            have_ended = release => have_ended,
        };
        if !have_ended {
            warn!("an ingress did not end in time and was aborted");
        }
        let calls = self.intake.router.ask_all(Command::Drain);
        if timeout(limit, calls).await.is_err() {
            warn!(
                "calls still in flight were cut off; their batches are sent again at the next start"
            );
        }
        self.tasks.ending.send_replace(true);
        if !ended(&mut self.tasks.egresses, limit).await {
            warn!(
                "an egress did not end in time and was cut off; its records are delivered after the next start"
            );
        }
        let (mut partitions, mut committer) = (self.tasks.partitions, self.committer);
        // What they are at, and the last round, may take a moment, and must not hold up other tasks.
        let stop = move || {
            partitions.stop();
            committer.stop();
        };
        if tokio::task::spawn_blocking(stop).await.is_err() {
            warn!("the partitions and the committer ended badly");
        }
        info!("stopped");
    }
}

/// Waits until all tasks have ended, and aborts those that do not end within `limit`.
async fn ended(tasks: &mut JoinSet<()>, limit: Duration) -> bool {
    let all = async { while tasks.join_next().await.is_some() {} };
    let in_time = timeout(limit, all).await.is_ok();
    tasks.shutdown().await;
    in_time
}

fn incoming(message: &Message) -> Incoming {
    Incoming {
        target: AddressKey::from(message.target()),
        argument: message.typed().raw().clone(),
        key: None,
    }
}

/// The answer of `from` as a message.
fn answer(from: &Address, value: Bytes) -> Message {
    let typed = TypedBytes::parse(value).unwrap_or_else(|_| TypedBytes::of_bytes("", &[]));
    Message::new(from.clone(), typed)
}
