//! The inlet through which a source brings records into the runtime.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tracing::warn;

use super::batch::Batch;
use crate::runtime::condition::Condition;
use crate::runtime::core::keys::{NOT_BROUGHT, after_prefix, type_prefix};
use crate::runtime::core::{AddressKey, SourceCore, SplitPosition};
use crate::runtime::intake::{Intake, IntakeError};
use crate::runtime::listener::stopped;
use crate::runtime::partition::Command;
use crate::sdk::{BoxError, TypeName};
use crate::storage::{Position, Store, count};
use crate::time::Timestamp;

/// The interval for checking whether there is room on the disk and in the outboxes again, which is not signalled.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// While this many records of a source are set aside, no batch with further ones is brought.
const MAX_SET_ASIDE: u64 = 10_000;
/// The interval for checking whether an operator has removed some of them.
const LOOK_FOR_FEWER: Duration = Duration::from_secs(1);

/// The inlet for one run of a source. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Inlet {
    shared: Arc<Shared>,
    /// The number of the run; earlier runs have ended.
    run: u64,
}

#[derive(Debug)]
struct Shared {
    name: TypeName,
    intake: Intake,
    durable: watch::Receiver<Position>,
    /// Held while staging and passing on, so that ids, the log and the messages to cores have the same order.
    core: Mutex<SourceCore>,
    run: AtomicU64,
    condition: Arc<Condition>,
    /// What `condition` shows is the failure of an earlier run.
    shows_earlier_run: AtomicBool,
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
            shows_earlier_run: AtomicBool::new(false),
        };
        Self {
            shared: Arc::new(shared),
            run: 0,
        }
    }

    /// An inlet for another run, which closes those of earlier runs.
    pub(super) fn renewed(&self) -> Self {
        let run = self.shared.run.fetch_add(1, Ordering::SeqCst) + 1;
        Self {
            shared: Arc::clone(&self.shared),
            run,
        }
    }

    /// Shows operators that runs have failed, until a later one brings records.
    pub(super) fn run_failed(&self, attempts: u32, failure: String) {
        self.shared.condition.fails(attempts, failure);
        self.shared.shows_earlier_run.store(true, Ordering::SeqCst);
    }

    pub(super) fn condition(&self) -> &Condition {
        &self.shared.condition
    }

    /// The name of the source, under which its positions are stored.
    pub fn name(&self) -> &TypeName {
        &self.shared.name
    }

    /// The intake for single messages whose senders wait for an answer, and are refused if there is no room.
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
    /// If the store cannot be read.
    pub fn positions(&self) -> Result<Vec<(String, Bytes)>, BoxError> {
        let positions = self.core().positions()?;
        let stored: Vec<SplitPosition> = positions
            .iter()
            .map(|(split, position)| SplitPosition {
                split: split.clone(),
                position: Some(position.clone()),
            })
            .collect();
        self.shared.condition.stands_at(stored.iter());
        let (name, store) = (self.name(), &self.shared.intake.store);
        let prefix = type_prefix(name.namespace(), name.name());
        let end = after_prefix(&prefix);
        let kept = count(store, NOT_BROUGHT, &prefix, end.as_deref(), usize::MAX)?;
        self.shared.condition.keeps_aside(kept);
        Ok(positions)
    }

    /// How many records are set aside, in this run or an earlier one, and were not removed by an operator.
    pub fn set_aside(&self) -> u64 {
        self.shared.condition.set_aside()
    }

    /// Whether a function is bound to the type of `target`.
    pub(crate) fn check_bound(&self, target: &AddressKey) -> Result<(), IntakeError> {
        self.shared.intake.check_bound(target)
    }

    /// Shows operators a failure that delays the source and from which it recovers by itself, such as a broker that does not answer.
    /// Other failures are errors of [`run`](super::Source::run).
    pub fn struggles(&self, failure: &str) {
        self.shared.shows_earlier_run.store(false, Ordering::SeqCst);
        self.shared.condition.fails(1, failure.to_owned());
    }

    /// Ends the failure that [`struggles`](Self::struggles) reported.
    pub fn recovers(&self) {
        self.shared.condition.works();
    }

    /// Shows operators how many records of `split` have not been brought yet.
    pub fn behind(&self, split: &str, records: u64) {
        self.shared.condition.is_behind(split, records);
    }

    /// Shows operators by how much time `split` is behind the newest record, for systems that do not count records.
    pub fn behind_by(&self, split: &str, time: Duration) {
        self.shared.condition.is_behind_by(split, time);
    }

    /// The stored position of one split; `None` if it has none.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn position(&self, split: &str) -> Result<Option<Bytes>, BoxError> {
        let positions = self.positions()?;
        let mut found = positions.into_iter().filter(|(name, _)| name == split);
        Ok(found.next().map(|(_, position)| position))
    }

    /// Brings a batch, once there is room for it, also for the records in it that are set aside: operators have to remove some of these when there are
    /// 10,000. When this returns, the batch is staged: it cannot be undone, its functions may already be
    /// running, and a crash leaves all of it or nothing. If the future is dropped while it waits, nothing is taken in.
    ///
    /// # Errors
    /// If a record's function is not bound or does not take its value, the store has closed, or the runtime or this run has ended. Nothing is taken in then.
    pub async fn bring(&self, batch: Batch) -> Result<Receipt, IntakeError> {
        self.check(&batch)?;
        if let Some(first) = &batch.first_aside {
            let records = batch.not_brought.len();
            warn!(ingress = %self.name(), records, %first, "records are set aside");
            self.room_aside(first).await;
        }
        self.room_kept(&batch).await?;
        self.room().await?;
        let (count, set_aside) = (batch.len(), batch.not_brought.len());
        self.shared.condition.stands_at(batch.positions.iter());
        let position = {
            let mut core = self.core();
            if self.run != self.shared.run.load(Ordering::SeqCst) {
                return Err(IntakeError::Stopping);
            }
            let (position, messages) = core.take(batch.records, batch.positions, batch.not_brought);
            self.shared.intake.router.hand_on_all(messages);
            position
        };
        if count == 0 {
            // Otherwise a partition does so, once it has called the functions.
            self.shared.intake.store.wake();
        }
        self.shared.condition.moved_on(count);
        self.shared.condition.set_aside_more(set_aside);
        if self.shared.shows_earlier_run.swap(false, Ordering::SeqCst) {
            self.recovers();
        }
        Ok(Receipt {
            position,
            store: self.shared.intake.store.clone(),
            durable: self.shared.durable.clone(),
        })
    }

    /// Whether all functions are bound and take the values.
    fn check(&self, batch: &Batch) -> Result<(), IntakeError> {
        let intake = &self.shared.intake;
        let (mut checked, mut is_part) = (None, false);
        for records in &batch.records {
            let (namespace, name, _) = records.target().parts();
            // A source has records for few functions, and often for the same in a row.
            if checked != Some((namespace, name)) {
                intake.check_bound(records.target())?;
                is_part = intake.is_part(records.target());
                checked = Some((namespace, name));
            }
            if is_part {
                for argument in records.arguments() {
                    intake.check_value(records.target(), argument)?;
                }
            }
        }
        Ok(())
    }

    /// Ready once more may be brought: no partition's backlog is at its limit, the disk is fast enough, and no egress is full.
    ///
    /// # Errors
    /// If nothing will be taken in any more.
    pub async fn room(&self) -> Result<(), IntakeError> {
        let intake = &self.shared.intake;
        loop {
            match intake.router.has_room() {
                // Whoever always finds room must not keep other tasks waiting.
                true => tokio::task::consume_budget().await,
                false => drop(intake.router.ask_all(Command::AwaitRoom).await),
            }
            if !intake.waits_for_room()? {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Ready once no function that the batch has records for keeps as much as it may.
    async fn room_kept(&self, batch: &Batch) -> Result<(), IntakeError> {
        let intake = &self.shared.intake;
        let mut waits = false;
        let full = || {
            let mut targets = batch.records.iter().map(|record| record.target());
            targets.find_map(|target| intake.kept_full(target))
        };
        while let Some(what) = full() {
            self.struggles(&format!("waits for room: {what}"));
            waits = true;
            tokio::time::sleep(LOOK_AGAIN).await;
            intake.waits_for_room()?; // an error when waiting is useless
        }
        if waits {
            self.recovers();
        }
        Ok(())
    }

    /// Ready once further records may be set aside, of which `first` is the first one.
    async fn room_aside(&self, first: &str) {
        let mut waits = false;
        while self.set_aside() >= MAX_SET_ASIDE {
            self.struggles(&format!(
                "{MAX_SET_ASIDE} records are set aside, so no more are read until some of them are purged (see statefun dead-letters); the next is {first}"
            ));
            waits = true;
            tokio::time::sleep(LOOK_FOR_FEWER).await;
        }
        if waits {
            self.recovers();
        }
    }

    /// Ready when the runtime stops accepting input.
    pub async fn stopped(&self) {
        stopped(self.shared.intake.stopping.clone()).await;
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.shared.intake.stopping.borrow()
    }

    fn core(&self) -> MutexGuard<'_, SourceCore> {
        // Staging is a single call, which does not panic half-way.
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
    store: Store,
    durable: watch::Receiver<Position>,
}

impl Receipt {
    /// Ready when the batch, and everything brought before it, is on disk.
    ///
    /// # Errors
    /// If nothing becomes durable any more until a restart, which will find out whether this batch was.
    pub async fn durable(mut self) -> Result<(), IntakeError> {
        let position = self.position;
        if *self.durable.borrow() < position {
            self.store.hurry();
        }
        let wait = self.durable.wait_for(|durable| *durable >= position);
        match wait.await {
            Ok(_) => Ok(()),
            Err(_) => Err(IntakeError::NotWritable {
                reason: "the store has closed".to_owned(),
            }),
        }
    }
}
