//! Rows in the memory of this process, for trials, tests and simulators. Every sync makes everything staged durable.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::{
    Backend, Health, Position, Rows, StorageError, Store, SyncError, Syncer, Table, Write,
};

/// The memory on which stores are opened, like a disk: synced data is there when it is opened again.
///
/// Opening it again simulates a crash: the new store has exactly what was synced, and stores opened before
/// continue without an effect on it. Clones share the same memory.
///
/// ```
/// use stateful_functions::storage::{Memory, Rows, Table, Write};
///
/// const COUNTS: Table = Table::new(1);
/// let memory = Memory::default();
/// let (store, mut syncer) = memory.open();
/// store.stage(vec![Write::put(COUNTS, "kept", "1")]);
/// syncer.sync()?;
/// store.stage(vec![Write::put(COUNTS, "lost", "1")]);
///
/// let (after_crash, _syncer) = memory.open();
/// assert_eq!(after_crash.get(COUNTS, b"kept")?.as_deref(), Some(&b"1"[..]));
/// assert_eq!(after_crash.get(COUNTS, b"lost")?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<Option<Arc<MemoryStore>>>>);

impl Memory {
    /// Opens a store with what was synced so far.
    pub fn open(&self) -> (Store, Syncer) {
        self.open_up_to(Position::START)
    }

    /// Opens a store with what was synced so far and what was staged up to `end`, because a crash may leave more than was synced.
    pub fn open_up_to(&self, end: Position) -> (Store, Syncer) {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let store = Arc::new(latest.as_ref().map_or_else(
            || MemoryStore::new(1, Rounds::default()),
            |crashed| MemoryStore::new(crashed.boot + 1, crashed.locked().up_to(end)),
        ));
        *latest = Some(Arc::clone(&store));
        drop(latest);
        (
            Store::new(Arc::clone(&store) as Arc<dyn Backend>),
            Syncer(store),
        )
    }

    /// Makes all reads of the store opened last fail, as with a disk that is gone, or succeed again.
    pub fn fail_reads(&self, fail: bool) {
        let latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = &*latest {
            store.fails_reads.store(fail, Ordering::SeqCst);
        }
    }
}

/// One opening of a [`Memory`].
struct MemoryStore {
    boot: u64,
    fails_reads: AtomicBool,
    rounds: Mutex<Rounds>,
    changed: Condvar,
}

#[derive(Default)]
struct Rounds {
    tables: BTreeMap<Table, BTreeMap<Bytes, Bytes>>,
    /// The previous value of the row of each unsynced write, oldest first, and the list of the write.
    undo: Vec<(Position, Write)>,
    staged: Position,
    durable: Position,
    stopped: bool,
}

impl Rounds {
    fn apply(&mut self, write: Write) -> Option<Bytes> {
        let rows = self.tables.entry(write.table).or_default();
        match write.value {
            Some(value) => rows.insert(write.key, value),
            None => rows.remove(&write.key),
        }
    }

    fn stage(&mut self, write: Write) {
        let (table, key) = (write.table, write.key.clone());
        let puts = write.value.is_some();
        let value = self.apply(write);
        debug_assert!(
            !(puts && table.has_fresh_keys() && value.is_some()),
            "a key of {table:?} was put twice"
        );
        self.undo.push((self.staged, Write { table, key, value }));
    }

    /// The rows that remain if everything after `end` is lost; synced data always remains.
    fn up_to(&self, end: Position) -> Self {
        let end = end.clamp(self.durable, self.staged);
        let mut kept = Self {
            tables: self.tables.clone(),
            staged: end,
            durable: end,
            ..Self::default()
        };
        let lost = self.undo.iter().rev();
        for (_, write) in lost.take_while(|(position, _)| *position > end) {
            kept.apply(write.clone());
        }
        kept
    }
}

impl MemoryStore {
    fn new(boot: u64, rounds: Rounds) -> Self {
        Self {
            boot,
            fails_reads: AtomicBool::new(false),
            rounds: Mutex::new(rounds),
            changed: Condvar::new(),
        }
    }

    fn may_read(&self) -> Result<(), StorageError> {
        if self.fails_reads.load(Ordering::SeqCst) {
            return Err(StorageError::Io {
                action: "read the rows".into(),
                source: io::ErrorKind::NotFound.into(),
            });
        }
        Ok(())
    }

    /// A panic under the lock can only be the debug assertion of `Rounds::stage`; the rows are consistent even then.
    fn locked(&self) -> MutexGuard<'_, Rounds> {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows for MemoryStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.may_read()?;
        let rounds = self.locked();
        Ok(rounds
            .tables
            .get(&table)
            .and_then(|rows| rows.get(key).cloned()))
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(Vec::new());
        }
        let range = (
            Bound::Included(from),
            to.map_or(Bound::Unbounded, Bound::Excluded),
        );
        self.may_read()?;
        let rounds = self.locked();
        let rows = rounds.tables.get(&table).into_iter();
        Ok(rows
            .flat_map(|rows| rows.range::<[u8], _>(range))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }
}

impl Backend for MemoryStore {
    fn stage(&self, writes: Vec<Write>, wakes: bool) -> Position {
        let mut rounds = self.locked();
        rounds.staged = rounds.staged.next();
        for write in writes {
            rounds.stage(write);
        }
        let staged = rounds.staged;
        drop(rounds);
        if wakes {
            self.wake();
        }
        staged
    }

    fn wake(&self) {
        self.changed.notify_all();
    }

    fn hurry(&self) {
        self.wake();
    }

    fn durable(&self) -> Position {
        self.locked().durable
    }

    fn pressure(&self) -> bool {
        false
    }

    fn health(&self) -> Health {
        Health::default()
    }

    fn boot(&self) -> u64 {
        self.boot
    }

    fn stop(&self) {
        self.locked().stopped = true;
        self.changed.notify_all();
    }

    fn checkpoint(&self) -> Result<bool, StorageError> {
        Ok(false)
    }

    fn sync(&self) -> Result<Position, SyncError> {
        let mut rounds = self.locked();
        rounds.undo.clear();
        rounds.durable = rounds.staged;
        Ok(rounds.durable)
    }

    fn wait(&self) -> bool {
        let rounds = self.locked();
        let rounds = self
            .changed
            .wait_while(rounds, |rounds| {
                rounds.staged == rounds.durable && !rounds.stopped
            })
            .unwrap_or_else(PoisonError::into_inner);
        rounds.staged > rounds.durable
    }

    fn pause(&self, span: Duration) -> bool {
        let rounds = self.locked();
        let (rounds, _) = self
            .changed
            .wait_timeout_while(rounds, span, |rounds| !rounds.stopped)
            .unwrap_or_else(PoisonError::into_inner);
        rounds.stopped
    }

    fn retire(&self) {}
}

/// Counts only: rows hold users' data.
impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounds = self.locked();
        f.debug_struct("MemoryStore")
            .field("boot", &self.boot)
            .field("staged", &rounds.staged)
            .field("durable", &rounds.durable)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: Table = Table::new(1);

    #[test]
    #[cfg(feature = "testing")]
    fn memory_keeps_what_every_store_keeps() {
        crate::testing::conformance::storage::run(Memory::default, Memory::open);
    }

    #[test]
    fn a_crash_may_leave_some_of_the_lists_that_were_not_synced_and_only_whole_ones() {
        let memory = Memory::default();
        let (store, _syncer) = memory.open();
        let put = |key: &'static str| Write::put(STATE, key, "1");
        let first = store.stage(vec![put("a"), put("b")]);
        store.stage(vec![put("c"), Write::delete(STATE, "a")]);
        let (after, _syncer) = memory.open_up_to(first);
        let rows = after.scan(STATE, b"", None, 9).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(after.durable(), first);
    }

    #[test]
    fn a_store_from_before_the_crash_goes_on_for_itself() {
        let memory = Memory::default();
        let (before, mut syncer) = memory.open();
        let (after, _syncer) = memory.open();
        before.stage(vec![Write::put(STATE, "a", "1")]);
        syncer.sync().unwrap();
        assert!(before.get(STATE, b"a").unwrap().is_some());
        assert_eq!(after.get(STATE, b"a").unwrap(), None);
        assert_eq!(memory.open().0.get(STATE, b"a").unwrap(), None);
    }
}
