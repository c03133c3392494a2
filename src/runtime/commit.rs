//! The committer: one thread that makes rounds durable. Everything staged during a sync becomes the next round.
//!
//! If nobody waits for a round, such as with records of a source whose functions only change state, it is written a little later, because a sync
//! of a few records costs as much as one of many.

use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{error, info, warn};

use super::acknowledgements::Acknowledgements;
use super::callers::NoAnswer;
use super::router::Router;
use crate::storage::{Position, Store, SyncError, Syncer};

/// Pause before a round is tried again on a full disk.
const FULL_DISK_PAUSE: Duration = Duration::from_millis(250);
/// How much later a round is written for which nobody waits, unless it becomes large.
const LINGER: Duration = Duration::from_millis(10);

/// Whether rounds become durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreStatus {
    /// Yes.
    Writable,
    /// The disk is full; the round is tried again. Nothing is lost.
    Full(String),
    /// A sync failed: nothing more is acknowledged until a restart, which finds out what was written.
    Closed(String),
}

/// Reports whether rounds become durable. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Status(watch::Sender<StoreStatus>);

impl Status {
    fn new() -> Self {
        Self(watch::Sender::new(StoreStatus::Writable))
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<StoreStatus> {
        self.0.subscribe()
    }

    /// Nothing more is acknowledged until a restart. The first reason counts.
    pub(super) fn close(&self, reason: &str) {
        self.0.send_if_modified(|status| {
            let is_first = !matches!(status, StoreStatus::Closed(_));
            if is_first {
                *status = StoreStatus::Closed(reason.to_owned());
            }
            is_first
        });
    }

    /// The disk is full.
    fn full(&self, failure: &SyncError) {
        self.0.send_if_modified(|status| {
            let is_new = *status == StoreStatus::Writable;
            if is_new {
                warn!(%failure, "nothing can be written: intake stops, the round is tried again");
                *status = StoreStatus::Full(failure.to_string());
            }
            is_new
        });
    }

    /// A round has become durable.
    fn writable(&self) {
        if *self.0.borrow() == StoreStatus::Writable {
            return;
        }
        self.0.send_if_modified(|status| {
            let was_full = matches!(status, StoreStatus::Full(_));
            if was_full {
                info!("the store is writable again");
                *status = StoreStatus::Writable;
            }
            was_full
        });
    }
}

/// The thread, and its reports.
#[derive(Debug)]
pub(super) struct Committer {
    thread: Option<JoinHandle<()>>,
    store: Store,
    /// The highest durable position.
    pub(super) durable: watch::Receiver<Position>,
    /// Whether rounds become durable.
    pub(super) status: Status,
}

impl Committer {
    /// Starts the thread. After each round it sends the due `acknowledgements`, and tells the partitions of `router`.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub(super) fn start(
        store: Store,
        syncer: Syncer,
        acknowledgements: Acknowledgements,
        router: Router,
    ) -> std::io::Result<Self> {
        let (durable_tx, durable) = watch::channel(store.durable());
        let status = Status::new();
        let told = status.clone();
        let thread = std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || {
                let observers = Observers {
                    acknowledgements,
                    router,
                };
                run(syncer, &durable_tx, &observers, &told);
            })?;
        Ok(Self {
            thread: Some(thread),
            store,
            durable,
            status,
        })
    }

    /// Makes everything staged durable, and ends the thread. Blocks.
    pub(super) fn stop(&mut self) {
        self.store.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the committer panicked; unacknowledged messages may be lost");
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The receivers of durable positions and, however the thread ends, of the message that nothing becomes durable any more.
struct Observers {
    acknowledgements: Acknowledgements,
    router: Router,
}

impl Drop for Observers {
    fn drop(&mut self) {
        self.acknowledgements.callers().end(NoAnswer::NotWritable);
        self.acknowledgements.not_durable();
        self.router.store_closed();
    }
}

fn run(
    mut syncer: Syncer,
    durable: &watch::Sender<Position>,
    observers: &Observers,
    status: &Status,
) {
    while syncer.wait() {
        syncer.linger(LINGER);
        let synced = syncer.sync_then(|position| {
            observers.acknowledgements.durable(position);
            durable.send_replace(position);
            observers.router.durable_advanced();
        });
        match synced {
            Ok(_) => status.writable(),
            Err(SyncError::Closed { reason: cause }) => {
                error!(%cause, "the store has closed: nothing more is acknowledged; restart the runtime");
                status.close(&cause);
                return;
            }
            Err(failure) => {
                status.full(&failure);
                observers.acknowledgements.not_durable();
                // Stopping with a full disk: everything not durable was not acknowledged.
                if syncer.pause(FULL_DISK_PAUSE) && syncer.sync().is_err() {
                    return;
                }
            }
        }
    }
}
