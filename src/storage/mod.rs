//! Rows on disk and in memory: written in rounds, durable together, readable at once. The meaning of the rows is up to the caller.
//!
//! A [`Store`] takes lists of writes ([`Store::stage`]) and answers reads from any number of threads; one thread owns the
//! [`Syncer`] and makes everything staged so far durable, a round at a time. Any prefix of the staged lists is all that a
//! crash can leave, whole lists only, and never less than a sync has confirmed.
//!
//! [`Memory`] keeps the rows in the process. With feature `embedded`, `open` keeps them in a folder: an append-only log of
//! rounds (`log`), tables that checkpoints move the rows to (`tables`), both on a file layer that tests can fault (`disk`).
//! The format is in `docs/storage.md`. This part imports nothing of the crate.

#[cfg(feature = "embedded")]
mod disk;
mod error;
#[cfg(feature = "embedded")]
mod log;
mod memory;
mod row;
#[cfg(any(feature = "runtime", feature = "testing"))]
mod stretch;
#[cfg(feature = "embedded")]
mod tables;
#[cfg(feature = "embedded")]
mod untouched;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

#[cfg(feature = "embedded")]
pub use disk::{Disk, DiskFile, Folder, Room};
pub use error::{StorageError, SyncError};
#[cfg(feature = "embedded")]
pub use log::{LogSettings, Verified, open, verify};
pub use memory::Memory;
pub use row::{Position, Table, Write};
#[cfg(feature = "runtime")]
pub(crate) use stretch::count;
#[cfg(any(feature = "runtime", feature = "testing"))]
pub(crate) use stretch::{Stretch, stretch};
#[cfg(feature = "embedded")]
pub use untouched::Untouched;

/// The file that records how far the log reaches.
#[cfg(feature = "embedded")]
const REACHED: &str = "folder";
/// The file that reserves space for recovery.
#[cfg(feature = "embedded")]
const RESERVE: &str = "reserve";

/// Whether files in a data folder have this name.
#[cfg(feature = "embedded")]
fn is_ours(name: &str) -> bool {
    [
        disk::LOCK,
        REACHED,
        RESERVE,
        tables::FILE,
        tables::NEW_FILE,
        tables::SUMS_FILE,
    ]
    .contains(&name)
        || log::is_segment(name)
}

/// Whether a runtime has used the folder at `path`. A copy of its folder may lack the lock file.
#[cfg(feature = "embedded")]
pub fn is_used(path: &std::path::Path) -> bool {
    let names = Folder::new(path).list().unwrap_or_default();
    let is_typical =
        |name: &str| [disk::LOCK, tables::FILE].contains(&name) || log::is_segment(name);
    names
        .iter()
        .any(|name| is_typical(name) && path.join(name).is_file())
}

/// The reading side of a store. Reads see everything staged, durable or not, and never wait for a sync.
pub trait Rows: Send + Sync {
    /// The value of the row, or `None` when there is no such row.
    ///
    /// # Errors
    ///
    /// When the disk cannot be read.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StorageError>;

    /// The values of the rows whose keys are `prefix` and one of `ends`, like several [`get`](Self::get)s but cheaper.
    ///
    /// # Errors
    ///
    /// When the disk cannot be read, or one of the rows.
    fn get_all(
        &self,
        table: Table,
        prefix: &[u8],
        ends: &[&[u8]],
    ) -> Result<Vec<Option<Bytes>>, StorageError> {
        let mut keys = Keys::of(prefix);
        let rows = ends.iter().map(|end| self.get(table, keys.with(end)));
        rows.collect()
    }

    /// Rows of `table` with keys from `from` (inclusive) to `to` (exclusive, `None` is the end of the table), ascending by
    /// the bytes of the key, at most `limit`. Fewer than `limit` means that there are no more.
    ///
    /// Each row is as it was at some moment of the call; a list staged meanwhile may be seen partly.
    ///
    /// # Errors
    ///
    /// When the disk cannot be read.
    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StorageError>;
}

/// Keys with the same prefix, in one piece of memory.
struct Keys {
    key: Vec<u8>,
    prefix: usize,
}

impl Keys {
    fn of(prefix: &[u8]) -> Self {
        Self {
            key: prefix.to_vec(),
            prefix: prefix.len(),
        }
    }

    fn with(&mut self, end: &[u8]) -> &[u8] {
        self.key.truncate(self.prefix);
        self.key.extend_from_slice(end);
        &self.key
    }
}

/// A handle to a store, cheap to clone. The store lives until the last handle and the [`Syncer`] are dropped.
#[derive(Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
    is_quiet: bool,
}

impl Store {
    fn new(backend: Arc<dyn Backend>) -> Self {
        Self {
            backend,
            is_quiet: false,
        }
    }

    /// A handle that stages without waking the [`Syncer`], for whoever stages several lists in a row: they share one round
    /// instead of the first having a round to itself. Call [`wake`](Self::wake) after them; until then nothing may be made durable.
    pub fn quiet(&self) -> Self {
        Self {
            is_quiet: true,
            ..self.clone()
        }
    }

    /// Wakes the [`Syncer`] if it sleeps and something is staged.
    pub fn wake(&self) {
        self.backend.wake();
    }

    /// Like [`wake`](Self::wake), if somebody waits until what is staged is durable: the [`Syncer`] does not [`linger`](Syncer::linger) then.
    pub fn hurry(&self) {
        self.backend.hurry();
    }

    /// Stages `writes` as one list: they become readable at once and together, and durable together with a later round.
    ///
    /// Writes to the same row take effect in the order of the list. Does not wait for the disk, with one bounded
    /// exception: some 10 ms per call while the overlay has twice the size at which [`pressure`](Self::pressure) begins.
    /// It never fails; after the store has closed, the writes stay readable and never become durable.
    pub fn stage(&self, writes: Vec<Write>) -> Position {
        self.backend.stage(writes, !self.is_quiet)
    }

    /// The position up to which all lists are durable.
    pub fn durable(&self) -> Position {
        self.backend.durable()
    }

    /// Whether intake should pause, because the disk is too slow or full, or the store has closed. Cheap.
    pub fn pressure(&self) -> bool {
        self.backend.pressure()
    }

    /// Store health.
    pub fn health(&self) -> Health {
        self.backend.health()
    }

    /// The number of times this store has been opened, including this one. Never used before, so it makes ids unique.
    pub fn boot(&self) -> u64 {
        self.backend.boot()
    }

    /// Tells the [`Syncer`] that nothing more is staged: its [`wait`](Syncer::wait) ends once everything is synced.
    pub fn stop(&self) {
        self.backend.stop();
    }

    /// One step of the checkpointer, for tests that drive it by hand: moves the frozen overlay to the tables, if
    /// there is one, and returns whether there was.
    ///
    /// # Errors
    ///
    /// When the tables cannot be written. Nothing is lost: the overlay waits for the next try.
    pub fn checkpoint(&self) -> Result<bool, StorageError> {
        self.backend.checkpoint()
    }
}

impl Rows for Store {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.backend.get(table, key)
    }

    fn get_all(
        &self,
        table: Table,
        prefix: &[u8],
        ends: &[&[u8]],
    ) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.backend.get_all(table, prefix, ends)
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        self.backend.scan(table, from, to, limit)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.backend.fmt(f)
    }
}

/// Makes staged writes durable. There is one per store, owned by one thread (the committer).
#[derive(Debug)]
pub struct Syncer(Arc<dyn Backend>);

impl Syncer {
    /// Makes everything staged durable, as one round: one record, one sync. Returns the highest durable position, which is
    /// also [`Store::durable`] from now on. Does nothing if nothing is staged.
    ///
    /// # Errors
    ///
    /// [`SyncError::Full`]: call again later; nothing is lost. [`SyncError::Closed`]: permanent, as after any failed sync of a file.
    pub fn sync(&mut self) -> Result<Position, SyncError> {
        self.sync_then(|_| {})
    }

    /// Like [`sync`](Self::sync), and calls `tell` with the position as soon as it is durable. Only then the folder notes how far its log has reached: that
    /// note protects against a log that is cut later, not against a crash, so nobody has to wait for it.
    pub(crate) fn sync_then(&mut self, tell: impl FnOnce(Position)) -> Result<Position, SyncError> {
        let position = self.0.sync()?;
        tell(position);
        self.0.note_reached();
        Ok(position)
    }

    /// Blocks until something is staged or the store has closed (`true`), or until the store is stopped and nothing is staged (`false`).
    pub fn wait(&self) -> bool {
        self.0.wait()
    }

    /// Blocks for `span`, so that more is staged for the next round, unless that is large, somebody [hurries](Store::hurry), or the store is stopped.
    pub fn linger(&self, span: Duration) {
        self.0.linger(span);
    }

    /// Blocks for `span`, or until the store is stopped (`true`). For the wait between two attempts on a full disk.
    pub fn pause(&self, span: Duration) -> bool {
        self.0.pause(span)
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.0.retire();
    }
}

/// Store health, for operators and the intake.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Why nothing more becomes durable until a restart; `None` if all is well.
    pub closed: Option<Arc<str>>,
    /// Whether there was no disk space for the last round.
    pub disk_full: bool,
    /// Why intake stops although the disk is not full yet: the rest is needed to complete pending work.
    pub low_room: Option<Arc<str>>,
    /// The damage found last, in the rows or in the file of the tables; `None` if there is none.
    pub damage: Option<Arc<str>>,
    /// Why the last checkpoint failed; `None` if it did not. It is retried automatically.
    pub checkpoint_failure: Option<Arc<str>>,
    /// See [`Store::pressure`].
    pub pressure: bool,
    /// Bytes of rows in memory, overhead included.
    pub overlay_bytes: u64,
    /// Bytes of rounds that a start would have to replay.
    pub log_bytes: u64,
    /// Bytes staged and not durable yet.
    pub unsynced_bytes: u64,
    /// Checkpoints done since the store was opened.
    pub checkpoints: u64,
    /// Free bytes of the disk; `None` if it does not say, or the store does not stop before it is full.
    pub free_bytes: Option<u64>,
    /// Intake stops when fewer bytes than this are free: they are needed to complete pending work.
    pub needed_bytes: Option<u64>,
}

/// The implementation of a [`Store`] and its [`Syncer`], with the guarantees documented there. Only the syncer calls `sync`.
trait Backend: Rows + fmt::Debug {
    fn stage(&self, writes: Vec<Write>, wakes: bool) -> Position;
    fn wake(&self);
    fn hurry(&self);
    fn durable(&self) -> Position;
    fn pressure(&self) -> bool;
    fn health(&self) -> Health;
    fn boot(&self) -> u64;
    fn stop(&self);
    fn checkpoint(&self) -> Result<bool, StorageError>;
    fn sync(&self) -> Result<Position, SyncError>;
    /// Called after a sync and after those who waited for it have been told.
    fn note_reached(&self) {}
    fn wait(&self) -> bool;
    /// A store that has no disk need not linger.
    fn linger(&self, span: Duration) {
        let _ = span;
    }
    fn pause(&self, span: Duration) -> bool;
    /// Called when the syncer is gone: ends the background work, and waits for that.
    fn retire(&self);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_staged_quietly_is_synced_when_the_syncer_is_woken() {
        let (store, mut syncer) = Memory::default().open();
        let committer = std::thread::spawn(move || {
            while syncer.wait() {
                syncer.sync().unwrap();
            }
        });
        let write = |key: &'static str| vec![Write::put(Table::new(1), key, "1")];
        store.quiet().stage(write("a"));
        let last = store.quiet().stage(write("b"));
        store.wake();
        while store.durable() < last {
            std::thread::yield_now();
        }
        store.stop();
        committer.join().unwrap();
    }

    #[test]
    fn handles_go_to_any_thread() {
        fn crosses_threads<T: Send + Sync>() {}
        crosses_threads::<Store>();
        crosses_threads::<Syncer>();
    }
}
