//! The committer: one thread that makes rounds durable. What is staged while one sync runs is the next round.

use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::storage::{Position, Store, SyncError, Syncer};

/// Pause before a round is tried again on a full disk.
const FULL_DISK_PAUSE: Duration = Duration::from_millis(250);

/// Whether rounds become durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreStatus {
    /// They do.
    Writable,
    /// The disk is full; the round is tried again. Nothing is lost.
    Full(String),
    /// A sync failed: nothing more is acknowledged until a restart, which finds out what was written.
    Closed(String),
}

/// The thread, and what it tells.
#[derive(Debug)]
pub(super) struct Committer {
    thread: Option<JoinHandle<()>>,
    store: Store,
    /// The highest durable position.
    pub(super) durable: watch::Receiver<Position>,
    /// Whether rounds become durable.
    pub(super) status: watch::Receiver<StoreStatus>,
}

impl Committer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(store: Store, syncer: Syncer) -> std::io::Result<Self> {
        let (durable_tx, durable) = watch::channel(store.durable());
        let (status_tx, status) = watch::channel(StoreStatus::Writable);
        let thread = std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || run(syncer, &durable_tx, &status_tx))?;
        Ok(Self {
            thread: Some(thread),
            store,
            durable,
            status,
        })
    }

    /// Makes durable what is staged, and ends the thread. Blocks.
    pub(super) fn stop(&mut self) {
        self.store.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the committer panicked; what was not acknowledged may be lost");
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(mut syncer: Syncer, durable: &watch::Sender<Position>, status: &watch::Sender<StoreStatus>) {
    while syncer.wait() {
        match syncer.sync() {
            Ok(position) => {
                durable.send_replace(position);
                if *status.borrow() != StoreStatus::Writable {
                    info!("the store is writable again");
                    status.send_replace(StoreStatus::Writable);
                }
            }
            Err(SyncError::Closed { reason: cause }) => {
                error!(%cause, "the store has closed: nothing more is acknowledged; restart the runtime");
                status.send_replace(StoreStatus::Closed(cause.to_string()));
                return;
            }
            Err(failure) => {
                if *status.borrow() == StoreStatus::Writable {
                    warn!(%failure, "the disk is full: intake stops, the round is tried again");
                    status.send_replace(StoreStatus::Full(failure.to_string()));
                }
                // Stopping on a full disk: what was not durable was not acknowledged.
                if syncer.pause(FULL_DISK_PAUSE) && syncer.sync().is_err() {
                    return;
                }
            }
        }
    }
}
