//! The store on disk: staging, waiting, health and the end. `opening`, `reading`, `syncing` and `checkpoints` have the rest of it.

use std::any::Any;
use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::super::disk::Disk;
use super::super::tables::{PageSums, Tables};
use super::super::{Backend, Health, Position, StorageError, SyncError, Write};
use super::LogSettings;
use super::reserve::Reserve;
use super::state::{StoreState, Syncing};

/// A round of this size is not waited with.
const LARGE_ROUND: usize = 512 << 10;

/// Maximum wait of one call of `stage` for a slow checkpoint.
const LONGEST_WAIT: Duration = Duration::from_millis(10);

/// A store on disk. Locks are taken in the order of the fields, and `state` is never held during disk access.
pub(super) struct LogStore {
    /// Held during a sync.
    pub(super) syncing: Mutex<Syncing>,
    /// Held during a checkpoint, and while the tables are reopened.
    pub(super) tables: Mutex<Tables>,
    pub(super) pages: Arc<PageSums>,
    pub(super) state: Mutex<StoreState>,
    /// Signals that something is staged, or that the store is stopped.
    pub(super) staged: Condvar,
    /// Signals that an overlay can be moved to the tables, or that the syncer is gone.
    pub(super) checkpoint_due: Condvar,
    /// Signals that a checkpoint is done.
    pub(super) room: Condvar,
    pub(super) durable: AtomicU64,
    pub(super) pressure: AtomicBool,
    pub(super) closed: OnceLock<Arc<str>>,
    /// The syncer is gone.
    pub(super) retired: AtomicBool,
    /// Threads that end with the syncer.
    pub(super) workers: Mutex<Vec<JoinHandle<()>>>,
    pub(super) reserve: Reserve,
    pub(super) settings: LogSettings,
    pub(super) boot: u64,
    /// What the start has cut off from the end of the log.
    pub(super) unfinished: Option<String>,
    pub(super) has_lock_file: bool,
    pub(super) disk: Arc<dyn Disk>,
    /// Dropped last: another process may open the folder from then on.
    pub(super) _lock: Box<dyn Any + Send + Sync>,
}

impl LogStore {
    pub(super) fn locked(&self) -> MutexGuard<'_, StoreState> {
        self.state.lock().expect("no holder of the state panics")
    }

    /// Must be called after each change of its inputs.
    pub(super) fn update_pressure(&self, state: &StoreState) {
        let pressure = self.closed.get().is_some() || state.is_pressed(&self.settings);
        self.pressure.store(pressure, Ordering::Relaxed);
    }

    /// Closes the store permanently.
    pub(super) fn close(&self, reason: &str) -> Arc<str> {
        tracing::error!(folder = %self.disk, reason, "storage is closed; nothing more is made durable until a restart");
        let reason = Arc::clone(self.closed.get_or_init(|| reason.into()));
        let mut state = self.locked();
        state.health.closed = Some(Arc::clone(&reason));
        self.update_pressure(&state);
        drop(state);
        // Wakes the threads that wait for durability.
        self.staged.notify_all();
        reason
    }

    pub(super) fn durable_position(&self) -> Position {
        Position::from_u64(self.durable.load(Ordering::Acquire))
    }

    pub(super) fn closed_reason(&self) -> Option<Arc<str>> {
        self.closed.get().map(Arc::clone)
    }

    /// Records that a checkpoint is done, and wakes the waiting threads.
    pub(super) fn room_made(&self) {
        self.room.notify_all();
    }
}

impl Backend for LogStore {
    fn stage(&self, writes: Vec<Write>, wakes: bool) -> Position {
        let mut state = self.locked();
        let checkpoints = self.settings.background && self.closed.get().is_none();
        if checkpoints && state.has_overlays_of(2 * self.settings.overlay_bytes) {
            // Room is made by a checkpoint, which may need a round first.
            if mem::take(&mut state.waiting) {
                self.staged.notify_all();
            }
            let room = self.room.wait_timeout(state, LONGEST_WAIT);
            (state, _) = room.expect("no holder of the state panics");
        }
        for write in writes {
            state.round.push(&write);
            state.layers.current.apply(write);
        }
        let staged = state.round.end_list();
        self.update_pressure(&state);
        let mut waiting = wakes && mem::take(&mut state.waiting);
        if state.lingers && state.round.bytes() >= LARGE_ROUND {
            state.lingers = false;
            waiting = true;
        }
        drop(state);
        if waiting {
            self.staged.notify_all();
        }
        staged
    }

    fn wake(&self) {
        let mut state = self.locked();
        let waiting = state.unsynced_bytes() > 0 && mem::take(&mut state.waiting);
        drop(state);
        if waiting {
            self.staged.notify_all();
        }
    }

    fn hurry(&self) {
        let mut state = self.locked();
        // What was taken by a sync becomes durable anyway.
        if state.round.is_empty() {
            return;
        }
        state.is_urgent = true;
        let waiting = mem::take(&mut state.waiting) | mem::take(&mut state.lingers);
        drop(state);
        if waiting {
            self.staged.notify_all();
        }
    }

    fn durable(&self) -> Position {
        self.durable_position()
    }

    fn pressure(&self) -> bool {
        self.pressure.load(Ordering::Relaxed)
    }

    fn health(&self) -> Health {
        let space = self.space();
        let state = self.locked();
        let frozen = state.layers.lower.frozen.as_ref();
        let overlays =
            state.layers.current.bytes() + frozen.map_or(0, |frozen| frozen.overlay.bytes());
        let damage = state.health.damage.clone();
        let damage = damage.or_else(|| Some(self.pages.damage()?.to_string().into()));
        Health {
            damage,
            pressure: self.pressure(),
            overlay_bytes: overlays as u64,
            log_bytes: state.log_bytes(),
            unsynced_bytes: state.unsynced_bytes() as u64,
            free_bytes: space.map(|(free, _)| free),
            needed_bytes: space.map(|(_, needed)| needed),
            ..state.health.clone()
        }
    }

    fn boot(&self) -> u64 {
        self.boot
    }

    fn stop(&self) {
        self.locked().stopped = true;
        self.staged.notify_all();
    }

    fn checkpoint(&self) -> Result<bool, StorageError> {
        self.checkpoint_once()
    }

    fn sync(&self) -> Result<Position, SyncError> {
        self.sync_staged()
    }

    fn note_reached(&self) {
        let syncing = self.syncing.lock().expect("the syncer does not panic");
        syncing.writer.follow();
    }

    fn wait(&self) -> bool {
        let mut state = self.locked();
        loop {
            if self.closed.get().is_some() {
                return true; // the sync says so
            }
            if state.unsynced_bytes() > 0 || state.stopped {
                return state.unsynced_bytes() > 0;
            }
            state.waiting = true;
            state = self
                .staged
                .wait(state)
                .expect("no holder of the state panics");
        }
    }

    fn linger(&self, span: Duration) {
        let until = Instant::now() + span;
        let mut state = self.locked();
        while !state.is_urgent && !state.stopped && state.round.bytes() < LARGE_ROUND {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state.lingers = true;
            let waited = self.staged.wait_timeout(state, left);
            (state, _) = waited.expect("no holder of the state panics");
        }
        state.lingers = false;
        state.is_urgent = false;
    }

    fn pause(&self, span: Duration) -> bool {
        let state = self.locked();
        let paused = self
            .staged
            .wait_timeout_while(state, span, |state| !state.stopped);
        let (state, _) = paused.expect("no holder of the state panics");
        state.stopped
    }

    fn retire(&self) {
        {
            let _state = self.locked();
            self.retired.store(true, Ordering::SeqCst);
        }
        self.checkpoint_due.notify_all();
        for thread in mem::take(&mut *self.workers.lock().expect("no holder panics")) {
            // An error is a panic of that thread, which has been reported.
            let _ = thread.join();
        }
        let mut syncing = self.syncing.lock().expect("the syncer does not panic");
        if self.closed.get().is_none() && syncing.round.is_empty() && self.disk.is_lasting() {
            // Without it the next start knows less about where the log must end.
            let _ = syncing.writer.end();
        }
    }
}

/// Counts only: rows hold users' data.
impl fmt::Debug for LogStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogStore")
            .field("disk", &self.disk)
            .field("boot", &self.boot)
            .field("durable", &self.durable_position())
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests {
    use super::super::open;
    use super::*;
    use crate::storage::{Folder, Store, Syncer, Table};
    use crate::testing::{conformance, faulty::FaultyDisk};

    /// Small bounds, so that a short script reaches segments, freezes and checkpoints; no thread.
    fn small() -> LogSettings {
        LogSettings {
            overlay_bytes: 2_000,
            log_bytes: 10_000,
            segment_bytes: 4_000,
            unsynced_bytes: 100_000,
            cache_bytes: 1 << 20,
            reserve_bytes: 0,
            background: false,
        }
    }

    fn open_small(disk: &FaultyDisk) -> (Store, Syncer) {
        open(Arc::new(disk.clone()), small()).unwrap()
    }

    #[test]
    fn a_round_is_waited_with_until_somebody_waits_for_it() {
        let (store, syncer) = open_small(&FaultyDisk::default());
        store.stage(vec![Write::put(Table::new(1), "a", "1")]);
        let lingers = std::thread::spawn(move || {
            assert!(syncer.wait());
            syncer.linger(Duration::from_secs(3600));
            syncer
        });
        store.hurry();
        let mut syncer = lingers.join().unwrap();
        assert_eq!(syncer.sync().unwrap(), store.durable());
    }

    #[test]
    fn a_large_round_is_not_waited_with() {
        let (store, syncer) = open_small(&FaultyDisk::default());
        store.stage(vec![Write::put(Table::new(1), "a", "1")]);
        let lingers = std::thread::spawn(move || {
            assert!(syncer.wait());
            syncer.linger(Duration::from_secs(3600));
            syncer
        });
        let half = vec![7; LARGE_ROUND / 2];
        for key in ["b", "c"] {
            store.stage(vec![Write::put(Table::new(1), key, half.clone())]);
        }
        let mut syncer = lingers.join().unwrap();
        assert_eq!(syncer.sync().unwrap(), store.durable());
    }

    #[test]
    fn a_log_keeps_what_every_store_keeps() {
        conformance::storage::run(FaultyDisk::default, open_small);
    }

    #[test]
    fn a_folder_keeps_what_every_store_keeps() {
        conformance::storage::run(
            || tempfile::tempdir().unwrap(),
            |temp| {
                open(
                    Arc::new(Folder::new(temp.path())),
                    LogSettings {
                        background: true,
                        ..small()
                    },
                )
                .unwrap()
            },
        );
    }
}
