//! The way of a source into the runtime.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::batch::Batch;
use crate::runtime::condition::Condition;
use crate::runtime::core::SourceCore;
use crate::runtime::intake::{Intake, IntakeError};
use crate::runtime::listener::stopped;
use crate::runtime::partition::Command;
use crate::sdk::{BoxError, TypeName};
use crate::storage::Position;
use crate::time::Timestamp;

/// Between two looks whether there is room again on the disk or in the outboxes, which nobody announces.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The way into the runtime for one run of a source; cheap to clone.
#[derive(Debug, Clone)]
pub struct Inlet {
    shared: Arc<Shared>,
    /// Which run it belongs to: those before have ended.
    run: u64,
}

#[derive(Debug)]
struct Shared {
    name: TypeName,
    intake: Intake,
    durable: watch::Receiver<Position>,
    /// Staging and handing on are one step: ids, the log and what cores are handed have one order.
    core: Mutex<SourceCore>,
    run: AtomicU64,
    condition: Arc<Condition>,
}

impl Inlet {
    pub(in crate::runtime) fn new(
        name: TypeName,
        intake: Intake,
        core: SourceCore,
        durable: watch::Receiver<Position>,
        condition: Arc<Condition>,
    ) -> Self {
        let shared = Shared {
            name,
            intake: intake.counted_by(&condition),
            durable,
            core: Mutex::new(core),
            run: AtomicU64::new(0),
            condition,
        };
        Self {
            shared: Arc::new(shared),
            run: 0,
        }
    }

    /// The same way for another run. From here on those before are closed.
    pub(super) fn renewed(&self) -> Self {
        let run = self.shared.run.fetch_add(1, Ordering::SeqCst) + 1;
        Self {
            shared: Arc::clone(&self.shared),
            run,
        }
    }

    pub(super) fn condition(&self) -> &Condition {
        &self.shared.condition
    }

    /// The name that the source is bound to; its positions are stored under it.
    pub fn name(&self) -> &TypeName {
        &self.shared.name
    }

    /// The way in of single messages whose senders wait for an answer, and are told when there is no room.
    pub(crate) fn intake(&self) -> &Intake {
        &self.shared.intake
    }

    /// The wall clock of the runtime.
    pub fn now(&self) -> Timestamp {
        self.shared.intake.now()
    }

    /// The stored positions, by split.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn positions(&self) -> Result<Vec<(String, Bytes)>, BoxError> {
        Ok(self.core().positions()?)
    }

    /// The stored position of one split; `None` when it has none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn position(&self, split: &str) -> Result<Option<Bytes>, BoxError> {
        let positions = self.positions()?;
        let mut found = positions.into_iter().filter(|(name, _)| name == split);
        Ok(found.next().map(|(_, position)| position))
    }

    /// Takes a batch in, once there is room for it. When this returns it is staged: it cannot be called back, its functions may be
    /// running already, and a crash leaves all of it or nothing. Dropped while it waits, nothing is taken in.
    ///
    /// # Errors
    /// Nothing was taken in: a record's function is not bound, the store has closed, or the runtime or this run ends.
    pub async fn bring(&self, batch: Batch) -> Result<Receipt, IntakeError> {
        for record in &batch.records {
            self.shared.intake.check_bound(&record.target)?;
        }
        self.room().await?;
        let count = batch.records.len();
        let position = {
            let mut core = self.core();
            if self.run != self.shared.run.load(Ordering::SeqCst) {
                return Err(IntakeError::Stopping);
            }
            let (position, messages) = core.take(batch.records, batch.positions);
            for (owner, message) in messages {
                self.shared.intake.router.hand_on(owner, message);
            }
            position
        };
        self.shared.condition.moved_on(count);
        Ok(Receipt {
            position,
            durable: self.shared.durable.clone(),
        })
    }

    /// Ready once more may be brought: fewer messages wait in each partition than may, the disk keeps up, no egress is full.
    ///
    /// # Errors
    /// When nothing will be taken in any more.
    pub async fn room(&self) -> Result<(), IntakeError> {
        let intake = &self.shared.intake;
        loop {
            intake.router.ask_all(Command::AwaitRoom).await;
            if !intake.waits_for_room()? {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Ready when the runtime stops taking input.
    pub async fn stopped(&self) {
        stopped(self.shared.intake.stopping.clone()).await;
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.shared.intake.stopping.borrow()
    }

    fn core(&self) -> MutexGuard<'_, SourceCore> {
        // Staging does not panic half-way: what is staged is one call.
        self.shared
            .core
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A batch on its way to the disk.
#[derive(Debug)]
#[must_use = "acknowledge the records to the system that is read only once the receipt is durable"]
pub struct Receipt {
    position: Position,
    durable: watch::Receiver<Position>,
}

impl Receipt {
    /// Ready when the batch, and all that was brought before it, is on disk.
    ///
    /// # Errors
    /// When nothing becomes durable any more until a restart, which will find out whether this was.
    pub async fn durable(mut self) -> Result<(), IntakeError> {
        let position = self.position;
        let wait = self.durable.wait_for(|durable| *durable >= position);
        match wait.await {
            Ok(_) => Ok(()),
            Err(_) => Err(IntakeError::NotWritable {
                reason: "the store has closed".to_owned(),
            }),
        }
    }
}
