//! A runtime that runs: what it takes in, what it tells, how it stops.

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
use super::intake::{Incoming, Intake, IntakeError};
use super::listener::Listener;
use super::partition::{Command, Partitions};
use crate::sdk::{Address, Message, TypedBytes};

/// The embedded durable runtime, running in this process.
///
/// Messages, state, timers and records for egresses are in one folder, and on disk before anybody is told of them. Dropping a
/// runtime ends it like a crash: nothing acknowledged is lost, and the next start goes on. [`Runtime::shutdown`] ends it gently.
#[derive(Debug)]
pub struct Runtime {
    intake: Intake,
    tasks: Tasks,
    committer: Committer,
    listeners: Vec<Listener>,
    config: RuntimeConfig,
}

/// What runs, in the order in which it is stopped.
#[derive(Debug)]
pub(super) struct Tasks {
    /// Turns true when no more input is taken.
    pub(super) closing: watch::Sender<bool>,
    pub(super) ingresses: JoinSet<()>,
    /// Turns true when no more records are delivered.
    pub(super) ending: watch::Sender<bool>,
    pub(super) egresses: JoinSet<()>,
    pub(super) partitions: Partitions,
}

impl Runtime {
    /// A runtime with nothing bound yet.
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

    /// Everything that listens, with its real address.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Sends a message to a function. `Ok` once the message is on disk.
    ///
    /// # Errors
    /// When it was not taken in.
    pub async fn send(&self, message: &Message) -> Result<(), IntakeError> {
        self.intake.send(incoming(message)).await
    }

    /// Sends a message to a function, and waits for the first message that is sent back to its caller.
    ///
    /// The answer leaves when the commit that gave it is on disk. After `within` the message stays accepted.
    ///
    /// # Errors
    /// When it was not taken in, or not answered in time.
    pub async fn call(&self, message: &Message, within: Duration) -> Result<Message, IntakeError> {
        let value = self.intake.call(incoming(message), within).await?;
        Ok(answer(message.target(), value))
    }

    /// Whether what is taken in becomes durable; changes can be waited for.
    pub fn store_status(&self) -> watch::Receiver<StoreStatus> {
        self.committer.status.subscribe()
    }

    /// Waits until the application has failed for good, which it does only with [`OnError::Fail`](super::OnError::Fail). From then on
    /// nothing more is taken in and no function is called; what is left is [`shutdown`](Self::shutdown).
    ///
    /// May be cancelled and called again.
    pub async fn failed(&self) -> ApplicationFailure {
        self.intake.fatal_failure.failed().await
    }

    /// Stops taking input, answers who has been let in, lets calls in flight finish, and makes all of it durable.
    ///
    /// Each of the three may take [`RuntimeConfig::shutdown_timeout`]. What is not done by then is done after the next start.
    pub async fn shutdown(mut self) {
        info!("stopping");
        let limit = self.config.shutdown_timeout;
        self.tasks.closing.send_replace(true);
        if !ended(&mut self.tasks.ingresses, limit).await {
            warn!("an ingress did not end in time and was cut off");
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

/// Waits until all tasks have ended; cuts off those that do not end within `limit`.
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

/// The answer of `from`, as a message that its reader can ask for its value.
fn answer(from: &Address, value: Bytes) -> Message {
    let typed = TypedBytes::parse(value).unwrap_or_else(|_| TypedBytes::of_bytes("", &[]));
    Message::new(from.clone(), typed)
}
