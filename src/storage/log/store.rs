//! The store on disk: staging, reading, syncing. Checkpoints are in `checkpoints`.

use std::any::Any;
use std::fmt;
use std::io;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;

use super::super::disk::{Disk, LOCK};
use super::super::tables::{self, PageSums, Tables};
use super::super::{
    Backend, Health, Keys, Position, REACHED, Rows, StorageError, SyncError, Table, Write,
};
use super::LogSettings;
use super::layers::{Frozen, Layers, Lower};
use super::overlay::Overlay;
use super::reached::ReachedFile;
use super::recovery;
use super::reserve::Reserve;
use super::round::Round;
use super::writer::{AppendError, Finished, Writer, segment_name};

/// Maximum wait of one call of `stage` for a slow checkpoint.
const LONGEST_WAIT: Duration = Duration::from_millis(10);

/// Bytes of log after which the free disk space is measured.
const LOOK_EVERY: u64 = 1 << 20;

/// With little disk space, checkpoints begin at this fraction of the usual size.
const LOW_ROOM_SHARE: u64 = 16;

/// If the log has this many times the size that begins a checkpoint, checkpoints are failing: intake stops before the log fills the disk.
const MOST_LOG: u64 = 8;

/// A store on disk. Locks are taken in the order of the fields, and `state` is never held during disk access.
pub(super) struct LogStore {
    /// Held during a sync.
    syncing: Mutex<Syncing>,
    /// Held during a checkpoint, and while the tables are reopened.
    pub(super) tables: Mutex<Tables>,
    pages: Arc<PageSums>,
    pub(super) state: Mutex<State>,
    /// Signals that something is staged, or that the store is stopped.
    staged: Condvar,
    /// Signals that an overlay can be moved to the tables, or that the syncer is gone.
    pub(super) checkpoint_due: Condvar,
    /// Signals that a checkpoint is done.
    room: Condvar,
    durable: AtomicU64,
    pressure: AtomicBool,
    closed: OnceLock<Arc<str>>,
    /// The syncer is gone.
    pub(super) retired: AtomicBool,
    /// Threads that end with the syncer.
    pub(super) workers: Mutex<Vec<JoinHandle<()>>>,
    pub(super) reserve: Reserve,
    pub(super) settings: LogSettings,
    pub(super) boot: u64,
    /// What the start has cut off from the end of the log.
    pub(super) unfinished: Option<String>,
    has_lock_file: bool,
    pub(super) disk: Arc<dyn Disk>,
    /// Dropped last: another process may open the folder from then on.
    _lock: Box<dyn Any + Send + Sync>,
}

struct Syncing {
    writer: Writer,
    /// Taken and not durable: being written, or kept by a full disk.
    round: Round,
    /// Bytes written since the free disk space was measured.
    since_look: u64,
}

/// Shared by writers, readers, syncer and checkpointer.
pub(super) struct State {
    pub(super) layers: Layers,
    /// Staged and not taken by a sync.
    round: Round,
    /// Bytes taken by a sync and not durable.
    taken_bytes: usize,
    /// Bytes of the rounds in the current overlay.
    current_log_bytes: u64,
    /// Bytes that the last checkpoint wrote for each of its rows.
    pub(super) row_cost: Option<u64>,
    /// The size at which an overlay is frozen, so that its checkpoint ends before writers wait for long.
    pub(super) frozen_bytes: usize,
    /// Segments without further records, oldest first.
    pub(super) finished: Vec<Finished>,
    pub(super) health: Health,
    /// The syncer waits for something to be staged.
    waiting: bool,
    stopped: bool,
}

impl LogStore {
    pub(super) fn open(disk: Arc<dyn Disk>, settings: LogSettings) -> Result<Self, StorageError> {
        let io = |action: &str, source| StorageError::io(format!("{action} {disk}"), source);
        let lock = disk.lock().map_err(|err| io("open data folder", err))?;
        let lock = lock.ok_or_else(|| StorageError::Locked {
            folder: disk.to_string(),
        })?;
        let names = disk.list().map_err(|err| io("read folder", err))?;

        let (reached_file, reached) = ReachedFile::open(Arc::clone(&disk), &names)?;
        let reserve = Reserve::open(Arc::clone(&disk), &names, settings.reserve_bytes);
        let mut tables = Tables::open(Arc::clone(&disk), &names, settings.cache_bytes)?;
        let snapshot = match tables.snapshot() {
            // redb writes to the file before it reads it.
            Err(err) if err.is_full() && reserve.release() => tables.snapshot()?,
            opened => opened?,
        };
        let mark = snapshot.mark();
        let mut overlay = Overlay::default();
        let (recovered, end) = recovery::replay(&*disk, &names, mark.position, &mut overlay)?;
        recovered.must_be_all(&*disk, &names, mark, reached)?;
        let unfinished = end.settle()?;
        drop(end);

        let boot = recovered.boot.max(mark.boot) + 1;
        let last = recovered.last.max(mark.position);
        let begin = (recovered.segment.max(reached.segment) + 1, last);
        let segment_bytes = settings.segment_bytes;
        let start = |file| Writer::start(Arc::clone(&disk), boot, begin, segment_bytes, file);
        let writer = match start(reached_file) {
            Err(AppendError::Full(_)) if reserve.release() => {
                start(ReachedFile::open(Arc::clone(&disk), &names)?.0)
            }
            started => started,
        };
        let writer = writer.map_err(|err| {
            let (AppendError::Full(source) | AppendError::Failed { source, .. }) = err;
            io("start a log file in folder", source)
        })?;
        // Only now: until its own segment is durable, theirs may hold the highest boot number.
        for segment in recovered.stale {
            let name = segment_name(segment);
            disk.remove(&name)
                .map_err(|err| io(&format!("remove {name} from folder"), err))?;
        }
        tracing::info!(folder = %disk, boot, position = last.as_u64(), replayed_bytes = recovered.bytes, "storage opened");

        let lower = Lower {
            frozen: None,
            tables: Arc::new(snapshot),
        };
        let mut state = State {
            layers: Layers {
                current: overlay,
                lower,
            },
            round: Round::after(last),
            taken_bytes: 0,
            current_log_bytes: recovered.bytes,
            row_cost: None,
            frozen_bytes: settings.overlay_bytes,
            finished: recovered.needed,
            health: Health::default(),
            waiting: false,
            stopped: false,
        };
        state.freeze_if_due(&settings);
        Ok(Self {
            syncing: Mutex::new(Syncing {
                writer,
                round: Round::after(last),
                since_look: 0,
            }),
            reserve,
            pages: tables.pages(),
            tables: Mutex::new(tables),
            state: Mutex::new(state),
            staged: Condvar::new(),
            checkpoint_due: Condvar::new(),
            room: Condvar::new(),
            durable: AtomicU64::new(last.as_u64()),
            pressure: AtomicBool::new(false),
            closed: OnceLock::new(),
            retired: AtomicBool::new(false),
            workers: Mutex::default(),
            settings,
            boot,
            unfinished,
            has_lock_file: names.iter().any(|name| name == LOCK),
            disk,
            _lock: lock,
        })
    }

    pub(super) fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the state panics")
    }

    /// Must be called after each change of its inputs.
    pub(super) fn update_pressure(&self, state: &State) {
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

    /// The files that a start would need now, and whether the first of them, which gets the next round, still has a name.
    pub(super) fn needed_files(&self) -> io::Result<(Vec<String>, bool)> {
        let syncing = self.syncing.lock().expect("the syncer does not panic");
        let mut needed = vec![syncing.writer.file_name()];
        let is_linked = syncing.writer.is_linked()?;
        drop(syncing);
        let state = self.locked();
        let finished = state.finished.iter();
        needed.extend(finished.map(|finished| segment_name(finished.segment)));
        drop(state);
        let tables = self.tables.lock().expect("a checkpoint does not panic");
        for (name, is_there) in [
            (REACHED, true),
            (LOCK, self.has_lock_file),
            (tables::FILE, tables.exists()),
        ] {
            needed.extend(is_there.then(|| name.to_owned()));
        }
        Ok((needed, is_linked))
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

    fn take_round(&self, into: &mut Round) {
        let mut state = self.locked();
        if state.round.is_empty() {
            return;
        }
        state.round.move_to(into);
        state.taken_bytes = into.bytes();
        state.current_log_bytes += into.bytes() as u64;
        // Here and only here the current overlay holds exactly what ends with a round.
        state.freeze_if_due(&self.settings);
    }

    fn write_round(&self, syncing: &mut Syncing) -> Result<(), SyncError> {
        let (last, bytes) = (syncing.round.last(), syncing.round.bytes() as u64);
        let mut written = syncing.round.write(&mut syncing.writer);
        if matches!(written, Err(AppendError::Full(_))) && self.reserve.release() {
            written = syncing.round.write(&mut syncing.writer);
            syncing.since_look = LOOK_EVERY;
        }
        if let Err(AppendError::Failed { action, source }) = written {
            let reason = self.close(&format!("cannot {action}: {source}"));
            return Err(SyncError::Closed { reason });
        }
        let mut state = self.locked();
        state.finished.extend(syncing.writer.take_finished());
        if let Err(AppendError::Full(source)) = written {
            state.health.disk_full = true;
            self.update_pressure(&state);
            return Err(SyncError::Full(source));
        }
        state.health.disk_full = false;
        state.taken_bytes = 0;
        self.durable.store(last.as_u64(), Ordering::Release);
        self.update_pressure(&state);
        if state.layers.lower.frozen.is_some() {
            self.checkpoint_due.notify_all();
        }
        let is_low = state.health.low_room.is_some();
        drop(state);
        syncing.since_look += bytes;
        if is_low || syncing.since_look >= LOOK_EVERY {
            syncing.since_look = 0;
            self.look_at_room();
        }
        Ok(())
    }

    /// Reads from the layers; again if the tables had to be reopened.
    fn read<T>(
        &self,
        mut ask: impl FnMut(&Self) -> Result<T, (u64, StorageError)>,
    ) -> Result<T, StorageError> {
        let answer = match ask(self) {
            Err((generation, err)) if !err.is_of_one_row() => {
                match self.reopen_tables(generation) {
                    Ok(()) => ask(self),
                    Err(_) => Err((generation, err)),
                }
            }
            answer => answer,
        };
        answer.map_err(|(_, err)| {
            self.note_damage(&err);
            err
        })
    }

    /// Reports damage in health.
    pub(super) fn note_damage(&self, err: &StorageError) {
        use StorageError::{DamagedRow, DamagedTables};
        if !matches!(err, DamagedRow { .. } | DamagedTables { .. }) {
            return;
        }
        let text: Arc<str> = err.to_string().into();
        let mut state = self.locked();
        if state.health.damage.as_ref() != Some(&text) {
            tracing::error!("{text}");
            state.health.damage = Some(text);
        }
    }

    /// Reads all rows of the tables, and checks them against their checksums and counts.
    pub(super) fn verify(&self, gently: bool) -> Result<u64, StorageError> {
        let tables = Arc::clone(&self.locked().layers.lower.tables);
        let verified = tables.verify(&self.retired, gently);
        verified.inspect_err(|err| self.note_damage(err))
    }
}

impl State {
    /// Freezes the current overlay if it is large enough and the previous one is in the tables.
    fn freeze_if_due(&mut self, settings: &LogSettings) {
        // With little disk space the log must be deleted soon.
        let share = if self.health.low_room.is_some() || self.health.disk_full {
            LOW_ROOM_SHARE
        } else {
            1
        };
        let large = self.layers.current.bytes() >= self.frozen_bytes / share as usize;
        let due = large || self.current_log_bytes >= settings.log_bytes / share;
        if due {
            self.freeze();
        }
    }

    /// Freezes the current overlay if it has rows and the previous one is in the tables.
    pub(super) fn freeze(&mut self) {
        if self.layers.current.len() > 0 && self.layers.lower.frozen.is_none() {
            self.layers.lower.frozen = Some(Frozen {
                overlay: Arc::new(mem::take(&mut self.layers.current)),
                position: self.round.last(),
                log_bytes: mem::take(&mut self.current_log_bytes),
            });
        }
    }

    fn log_bytes(&self) -> u64 {
        self.current_log_bytes
            + self
                .layers
                .lower
                .frozen
                .as_ref()
                .map_or(0, |frozen| frozen.log_bytes)
    }

    fn unsynced_bytes(&self) -> usize {
        self.round.bytes() + self.taken_bytes
    }

    fn is_pressed(&self, settings: &LogSettings) -> bool {
        self.health.disk_full
            || self.health.low_room.is_some()
            || self.has_overlays_of(self.frozen_bytes)
            || self.unsynced_bytes() >= settings.unsynced_bytes
            || self.log_bytes() >= settings.log_bytes.saturating_mul(MOST_LOG)
    }

    /// Whether the current overlay is large enough, and the previous one is not in the tables yet.
    fn has_overlays_of(&self, bytes: usize) -> bool {
        self.layers.lower.frozen.is_some() && self.layers.current.bytes() >= bytes
    }
}

impl Rows for LogStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.read(|store| {
            let state = store.locked();
            if let Some(row) = state.layers.current.get(table, key) {
                return Ok(row);
            }
            let lower = state.layers.lower.clone();
            drop(state);
            if let Some(row) = lower.frozen_row(table, key) {
                return Ok(row);
            }
            let row = lower.tables.get(table, key);
            row.map_err(|err| (lower.tables.generation(), err))
        })
    }

    fn get_all(
        &self,
        table: Table,
        prefix: &[u8],
        ends: &[&[u8]],
    ) -> Result<Vec<Option<Bytes>>, StorageError> {
        let mut keys = Keys::of(prefix);
        self.read(|store| {
            let state = store.locked();
            let known = |end: &&[u8]| state.layers.current.get(table, keys.with(end));
            let mut found: Vec<_> = ends.iter().map(known).collect();
            if found.iter().any(Option::is_none) {
                let lower = state.layers.lower.clone();
                drop(state);
                let answer = lower.get_all(table, &mut keys, ends, &mut found);
                answer.map_err(|err| (lower.tables.generation(), err))?;
            }
            Ok(found.into_iter().map(Option::flatten).collect())
        })
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        let mut found = Vec::new();
        let mut next = Some(Bytes::copy_from_slice(from));
        while let Some(from) = next.filter(|_| found.len() < limit) {
            let so_far = found.len();
            next = self.read(|store| {
                found.truncate(so_far);
                let state = store.locked();
                let page = state.layers.page(table, &from, to, limit - so_far);
                let lower = state.layers.lower.clone();
                drop(state);
                let next = lower.complete(page, table, &from, to, limit, &mut found);
                next.map_err(|err| (lower.tables.generation(), err))
            })?;
        }
        Ok(found)
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
        let waiting = wakes && mem::take(&mut state.waiting);
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
        let mut syncing = self.syncing.lock().expect("the syncer does not panic");
        if let Some(reason) = self.closed_reason() {
            return Err(SyncError::Closed { reason });
        }
        if !syncing.round.is_empty() {
            self.write_round(&mut syncing)?;
        }
        self.take_round(&mut syncing.round);
        if !syncing.round.is_empty() {
            self.write_round(&mut syncing)?;
        }
        Ok(self.durable_position())
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
    use crate::storage::{Folder, Store, Syncer};
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
