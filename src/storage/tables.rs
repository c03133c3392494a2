//! The rows that checkpoints have moved out of the log, in one sorted table of redb. The only file that names redb.
//!
//! A key is the byte of its table followed by its key there. Beside the rows stands the position up to which the log is in
//! them, written in the same transaction, so the two never differ.

use std::fmt;
use std::ops::Bound;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use redb::{
    Builder, Database, ReadOnlyTable, ReadableDatabase, ReadableTable, StorageBackend,
    TableDefinition, TableError,
};

use super::StorageError;
use super::disk::{Disk, DiskFile};
use super::log::Overlay;
use super::row::{Position, Table};

const FILE: &str = "tables.redb";
/// Its name until the first checkpoint is in it: under the other name the file is always whole.
const NEW_FILE: &str = "tables.new";

const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
const MARKS: TableDefinition<'_, &str, u64> = TableDefinition::new("marks");
const POSITION: &str = "position";
const BOOT: &str = "boot";

/// What a checkpoint is named by.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mark {
    /// The tables hold the rows as they are after this position.
    pub(super) position: Position,
    /// The boot that wrote it.
    pub(super) boot: u64,
}

/// The file of tables, with one writer.
pub(super) struct Tables {
    disk: Arc<dyn Disk>,
    cache_bytes: usize,
    /// Open when it has to be; redb refuses all work after an I/O error until it is opened again.
    database: Option<Database>,
    exists: bool,
    generation: u64,
    sync_failed: Arc<AtomicBool>,
}

impl Tables {
    /// The tables on `disk`; the file is made by the first checkpoint.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        names: &[String],
        cache_bytes: usize,
    ) -> Result<Self, StorageError> {
        if names.iter().any(|name| name == NEW_FILE) {
            let removed = disk.remove(NEW_FILE);
            removed
                .map_err(|source| StorageError::io(format!("remove {disk}/{NEW_FILE}"), source))?;
        }
        Ok(Self {
            disk,
            cache_bytes,
            database: None,
            exists: names.iter().any(|name| name == FILE),
            generation: 0,
            sync_failed: Arc::default(),
        })
    }

    /// Whether a sync of the file has failed: what it holds is not known then, until a restart.
    pub(super) fn sync_failed(&self) -> bool {
        self.sync_failed.load(Ordering::SeqCst)
    }

    /// Lets go of the file; the next use opens it again.
    pub(super) fn close(&mut self) {
        let database = self.database.take();
        // What redb has to write now, it writes at the next opening too.
        let _ = guarded("close", || {
            drop(database);
            Ok(())
        });
    }

    /// The rows as the last checkpoint left them.
    pub(super) fn snapshot(&mut self) -> Result<Snapshot, StorageError> {
        self.generation += 1;
        let generation = self.generation;
        if !self.exists {
            let (rows, mark) = (None, Mark::default());
            return Ok(Snapshot {
                rows,
                mark,
                generation,
            });
        }
        let opened = guarded("open", || self.open_snapshot());
        if opened.is_err() {
            self.close();
        }
        let (rows, mark) = opened?;
        Ok(Snapshot {
            rows,
            mark,
            generation,
        })
    }

    fn open_snapshot(&mut self) -> Result<(Option<Rows>, Mark), redb::Error> {
        let reading = self.database(FILE)?.begin_read()?;
        let rows = match reading.open_table(ROWS) {
            Ok(rows) => Some(rows),
            Err(TableError::TableDoesNotExist(_)) => None,
            Err(err) => return Err(err.into()),
        };
        let marks = reading.open_table(MARKS)?;
        let mark = |name| Ok::<_, redb::Error>(marks.get(name)?.map_or(0, |value| value.value()));
        let mark = Mark {
            position: Position::from_u64(mark(POSITION)?),
            boot: mark(BOOT)?,
        };
        Ok((rows, mark))
    }

    /// Moves the rows of `overlay` into the tables, durably and all together. Between rows it gives up when `stop` is set.
    pub(super) fn write(
        &mut self,
        overlay: &Overlay,
        mark: Mark,
        stop: &AtomicBool,
    ) -> Result<(), StorageError> {
        let written = guarded("write", || {
            if self.exists {
                return self.commit(FILE, overlay, mark, stop);
            }
            self.commit(NEW_FILE, overlay, mark, stop)?;
            Ok(self.publish()?)
        });
        if written.is_err() {
            self.close();
        }
        written
    }

    fn commit(
        &mut self,
        file: &str,
        overlay: &Overlay,
        mark: Mark,
        stop: &AtomicBool,
    ) -> Result<(), redb::Error> {
        let mut writing = self.database(file)?.begin_write()?;
        writing.set_quick_repair(true);
        {
            let mut rows = writing.open_table(ROWS)?;
            let mut full_key = Vec::new();
            for (table, key, value) in overlay.rows() {
                if stop.load(Ordering::Relaxed) {
                    return Err(redb::Error::Io(std::io::ErrorKind::Interrupted.into()));
                }
                key_of(&mut full_key, table, key);
                match value {
                    Some(value) => rows.insert(full_key.as_slice(), value.as_ref())?,
                    None => rows.remove(full_key.as_slice())?,
                };
            }
            let mut marks = writing.open_table(MARKS)?;
            marks.insert(POSITION, mark.position.as_u64())?;
            marks.insert(BOOT, mark.boot)?;
        }
        writing.commit()?;
        Ok(())
    }

    fn publish(&mut self) -> std::io::Result<()> {
        self.disk.rename(NEW_FILE, FILE)?;
        self.exists = true;
        self.disk
            .sync_names()
            .inspect_err(|_| self.sync_failed.store(true, Ordering::SeqCst))
    }

    fn database(&mut self, name: &str) -> Result<&Database, redb::Error> {
        let opened = match self.database.take() {
            Some(database) => database,
            None => self.open_database(name)?,
        };
        Ok(self.database.insert(opened))
    }

    fn open_database(&self, name: &str) -> Result<Database, redb::Error> {
        let file = if self.exists {
            self.disk.open(name)
        } else {
            self.disk.create(name)
        }?;
        let sync_failed = Arc::clone(&self.sync_failed);
        let backend = TablesFile { file, sync_failed };
        let database = Builder::new()
            .set_cache_size(self.cache_bytes)
            .create_with_backend(backend)?;
        Ok(database)
    }
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tables")
            .field("exists", &self.exists)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// Does something with redb, which panics on some damaged files.
fn guarded<T>(
    action: &'static str,
    work: impl FnOnce() -> Result<T, redb::Error>,
) -> Result<T, StorageError> {
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    let source = match done {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(err)) => err.into(),
        Err(_) => "the file is damaged; restore a backup".into(),
    };
    Err(StorageError::Tables { action, source })
}

fn key_of(full: &mut Vec<u8>, table: Table, key: &[u8]) {
    full.clear();
    full.reserve(1 + key.len());
    full.push(table.to_byte());
    full.extend_from_slice(key);
}

type Rows = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The rows after one checkpoint, unchanged by later ones.
pub(super) struct Snapshot {
    rows: Option<Rows>,
    mark: Mark,
    generation: u64,
}

impl Snapshot {
    pub(super) const fn mark(&self) -> Mark {
        self.mark
    }

    /// Tells snapshots apart; a later one has a higher number.
    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let Some(rows) = &self.rows else {
            return Ok(None);
        };
        let mut full = Vec::new();
        key_of(&mut full, table, key);
        guarded("read", || {
            let value = rows.get(full.as_slice())?;
            Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
        })
    }

    /// Rows of the table from `from` to `to`, ascending by key.
    pub(super) fn range(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> Result<Range<'_>, StorageError> {
        let Some(rows) = &self.rows else {
            return Ok(Range(None));
        };
        let (mut start, mut end) = (Vec::new(), Vec::new());
        key_of(&mut start, table, from);
        match to {
            Some(to) => key_of(&mut end, table, to),
            None => end.extend(table.to_byte().checked_add(1)),
        }
        let end = match end.as_slice() {
            [] => Bound::Unbounded,
            end if end <= start.as_slice() => return Ok(Range(None)),
            end => Bound::Excluded(end),
        };
        guarded("read", || {
            let range = (Bound::Included(start.as_slice()), end);
            Ok(Range(Some(ReadableTable::range::<&[u8]>(rows, range)?)))
        })
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("mark", &self.mark)
            .finish_non_exhaustive()
    }
}

/// Rows in order; see [`Snapshot::range`].
pub(super) struct Range<'a>(Option<redb::Range<'a, &'static [u8], &'static [u8]>>);

impl Iterator for Range<'_> {
    type Item = Result<(Bytes, Bytes), StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = self.0.as_mut()?;
        let row = guarded("read", || {
            let Some((key, value)) = rows.next().transpose()? else {
                return Ok(None);
            };
            let key = key.value().get(1..).unwrap_or_default();
            let value = Bytes::copy_from_slice(value.value());
            Ok(Some((Bytes::copy_from_slice(key), value)))
        });
        row.transpose()
    }
}

/// One file of the disk as redb wants it.
#[derive(Debug)]
struct TablesFile {
    file: Box<dyn DiskFile>,
    sync_failed: Arc<AtomicBool>,
}

impl StorageBackend for TablesFile {
    fn len(&self) -> std::io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.file.read_at(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        let synced = self.file.sync_data();
        synced.inspect_err(|_| self.sync_failed.store(true, Ordering::SeqCst))
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.file.write_at(offset, data)
    }
}
