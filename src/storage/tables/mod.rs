//! The rows that checkpoints have moved out of the log, in one sorted redb table. The only folder that uses redb.
//!
//! A key is the byte of its table followed by its key there; each value is followed by its [`seal`]. The marks are
//! written in the same transaction as the rows: the position up to which the log is in the rows, how many rows each table has, and the sum of their seals.

mod fill;
mod gaps;
mod guard;
mod marks;
mod pages;
mod seal;
mod snapshot;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use redb::{
    Builder, Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition,
    TableError, WriteTransaction,
};

use super::StorageError;
use super::disk::{Disk, DiskFile};
use super::row::{Position, Table};
use fill::{Absent, fill, sum_up};
use guard::{Fault, WRITE, guarded};
use marks::Marks;
use pages::leniently;
pub(super) use pages::{PageSums, SUMS_FILE};
use seal::{Sums, seal};
pub(super) use snapshot::Snapshot;
use snapshot::{OpenRows, Seen};

/// The name of the file.
pub(super) const FILE: &str = "tables.redb";
/// Its name until the first checkpoint is in it: under the other name the file is always complete.
pub(super) const NEW_FILE: &str = "tables.new";

type RowsOf = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// Rows with a seal after each value.
const ROWS: RowsOf = TableDefinition::new("sealed");
/// Rows as format 1 had them, without seals.
const UNSEALED: RowsOf = TableDefinition::new("rows");

/// The identity of a checkpoint.
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
    /// With the folder.
    file: Arc<str>,
    cache_bytes: usize,
    /// Open if needed; redb refuses all work after an I/O error until it is reopened.
    database: Option<Database>,
    exists: bool,
    /// Whether it was opened without a cache.
    uncached: bool,
    generation: u64,
    pages: Arc<PageSums>,
    sync_failed: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
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
        let exists = names.iter().any(|name| name == FILE);
        let file: Arc<str> = format!("{disk}/{FILE}").into();
        let pages = PageSums::open(Arc::clone(&disk), names, Arc::clone(&file), exists);
        let pages =
            pages.map_err(|source| StorageError::io(format!("open {disk}/{SUMS_FILE}"), source))?;
        Ok(Self {
            file,
            disk,
            cache_bytes,
            database: None,
            exists,
            uncached: false,
            generation: 0,
            pages: Arc::new(pages),
            sync_failed: Arc::default(),
            written: Arc::default(),
        })
    }

    /// Whether the file exists.
    pub(super) const fn exists(&self) -> bool {
        self.exists
    }

    /// Whether a sync of the file has failed: its content is then unknown until a restart.
    pub(super) fn sync_failed(&self) -> bool {
        self.sync_failed.load(Ordering::SeqCst)
    }

    /// The checksums of the pages.
    pub(super) fn pages(&self) -> Arc<PageSums> {
        Arc::clone(&self.pages)
    }

    /// Bytes written to the file since it was opened.
    pub(super) fn written_bytes(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Closes the file; the next use opens it again.
    pub(super) fn close(&mut self) {
        let database = self.database.take();
        // What redb would write now, it also writes at the next opening.
        let _ = guarded(&self.file, "close", || {
            drop(database);
            Ok(())
        });
    }

    /// The rows as the last checkpoint left them.
    pub(super) fn snapshot(&mut self) -> Result<Snapshot, StorageError> {
        self.generation += 1;
        let (file, generation) = (Arc::clone(&self.file), self.generation);
        let pages = Arc::clone(&self.pages);
        if !self.exists {
            return Ok(Snapshot::new(
                pages,
                generation,
                None,
                Marks::default(),
                Seen::default(),
            ));
        }
        let opened = guarded(&file, "open", || self.open_snapshot());
        if opened.is_err() {
            self.close();
        }
        let (rows, is_damaged, marks) = opened?;
        let seen = Seen {
            uncached: self.uncached,
            first_page_is_damaged: is_damaged,
        };
        Ok(Snapshot::new(pages, generation, rows, marks, seen))
    }

    /// The rows, whether their first page is damaged, and the marks.
    fn open_snapshot(&mut self) -> Result<(Option<OpenRows>, bool, Marks), Fault> {
        let file = Arc::clone(&self.file);
        let reading = self.database(FILE)?.begin_read()?;
        let marks = Marks::read(&file, &reading.open_table(marks::MARKS)?)?;
        let name = if marks.is_sealed() { ROWS } else { UNSEALED };
        // Strictly: the pages that say where each table is. The first page of the rows is kept by redb, and may be a leaf.
        reading.list_tables()?.for_each(drop);
        let (opened, is_damaged) = leniently(|| reading.open_table(name));
        let rows = match opened {
            Ok(rows) => Some(rows),
            Err(TableError::TableDoesNotExist(_)) => None,
            Err(err) => return Err(err.into()),
        };
        Ok((rows, is_damaged, marks))
    }

    /// Moves the changed rows, ascending by table and key, into the tables, durably and all together. Between rows it gives up
    /// when `stop` is set.
    pub(super) fn write<'a>(
        &mut self,
        rows: impl Iterator<Item = (Table, &'a Bytes, Option<&'a Bytes>)>,
        mark: Mark,
        stop: &AtomicBool,
    ) -> Result<(), StorageError> {
        let changes = rows.map(|(table, key, value)| {
            let mut full_key = Vec::new();
            key_of(&mut full_key, table, key);
            (full_key, value.map(Bytes::as_ref))
        });
        if self.pages.is_damaged() && !self.uncached {
            self.close();
        }
        let pages = Arc::clone(&self.pages);
        self.change(|writing, marks, uncached| {
            let (rows, first_was_seen) = leniently(|| writing.open_table(ROWS));
            let mut rows = rows?;
            let absent = Absent::in_rows_that_are(pages.is_trusted());
            let (mended, was_seen) =
                leniently(|| fill(&mut rows, &mut marks.sums, changes, absent, stop));
            let mended = mended?;
            let strictly = first_was_seen || was_seen || pages.is_damaged() && !uncached;
            if strictly || !mended.is_empty() {
                let (is_damaged, _) =
                    leniently(|| sum_up(&rows, &mut marks.sums, &mended, strictly));
                marks.damaged = is_damaged?;
            } else if pages.is_trusted() {
                marks.damaged = false;
            }
            (marks.position, marks.boot) = (mark.position.as_u64(), mark.boot);
            Ok(())
        })
    }

    /// Gives the rows of an earlier format their seals, all together. Tells whether there were any to give.
    pub(super) fn upgrade(&mut self) -> Result<bool, StorageError> {
        if !self.exists || self.snapshot()?.is_sealed() {
            return Ok(false);
        }
        self.change(|_, _, _| Ok(()))?;
        Ok(true)
    }

    /// One transaction; on the way the rows of an earlier format get their seals. Also tells `work` whether each page is read from the file.
    fn change(
        &mut self,
        work: impl FnOnce(&WriteTransaction, &mut Marks, bool) -> Result<(), Fault>,
    ) -> Result<(), StorageError> {
        let file = Arc::clone(&self.file);
        let written = guarded(&file, WRITE, || {
            let name = if self.exists { FILE } else { NEW_FILE };
            let mut writing = self.database(name)?.begin_write()?;
            writing.set_quick_repair(true);
            let mut marks = Marks::read(&file, &writing.open_table(marks::MARKS)?)?;
            if !marks.is_sealed() {
                seal_all(&writing, &mut marks.sums)?;
            }
            work(&writing, &mut marks, self.uncached)?;
            marks.write(&mut writing.open_table(marks::MARKS)?)?;
            writing.commit()?;
            if !self.exists {
                self.publish()?;
            }
            self.pages.create()?;
            Ok(())
        });
        if written.is_err() {
            self.close();
        }
        written
    }

    fn publish(&mut self) -> io::Result<()> {
        self.disk.rename(NEW_FILE, FILE)?;
        self.exists = true;
        self.disk
            .sync_names()
            .inspect_err(|_| self.sync_failed.store(true, Ordering::SeqCst))
    }

    fn database(&mut self, name: &str) -> Result<&Database, redb::Error> {
        let opened = match self.database.take() {
            Some(database) => database,
            None => {
                self.uncached = self.pages.is_damaged();
                let opened = self.open_database(name)?;
                if self.uncached || !self.pages.is_damaged() {
                    opened
                } else {
                    drop(opened);
                    self.uncached = true;
                    self.open_database(name)?
                }
            }
        };
        Ok(self.database.insert(opened))
    }

    fn open_database(&self, name: &str) -> Result<Database, redb::Error> {
        let file = if self.exists {
            self.disk.open(name)
        } else {
            self.disk.create(name)
        }?;
        let backend = TablesFile {
            file,
            pages: Arc::clone(&self.pages),
            sync_failed: Arc::clone(&self.sync_failed),
            written: Arc::clone(&self.written),
        };
        let cache_bytes = if self.uncached { 0 } else { self.cache_bytes };
        let open = || {
            Builder::new()
                .set_cache_size(cache_bytes)
                .create_with_backend(backend)
        };
        // With debug assertions redb reads all pages, also those with rows.
        if cfg!(debug_assertions) {
            Ok(leniently(open).0?)
        } else {
            Ok(open()?)
        }
    }
}

/// Moves rows of format 1 to the table with seals.
fn seal_all(writing: &WriteTransaction, sums: &mut Sums) -> Result<(), Fault> {
    let unsealed = match writing.open_table(UNSEALED) {
        Ok(unsealed) => unsealed,
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        Err(err) => return Err(err.into()),
    };
    let mut rows = writing.open_table(ROWS)?;
    let mut cursor = rows.upper_bound_mut(std::ops::Bound::<&[u8]>::Unbounded)?;
    let mut stored = Vec::new();
    for row in unsealed.iter()? {
        let (key, value) = row?;
        seal(key.value(), value.value(), &mut stored);
        cursor.insert_before(key.value(), stored.as_slice())?;
        sums.add(key.value(), &stored);
    }
    cursor.close()?;
    drop(rows);
    writing.delete_table(unsealed)?;
    Ok(())
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tables")
            .field("exists", &self.exists)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

fn key_of(full: &mut Vec<u8>, table: Table, key: &[u8]) {
    full.clear();
    full.reserve(1 + key.len());
    full.push(table.to_byte());
    full.extend_from_slice(key);
}

/// A file of the disk as a redb backend.
#[derive(Debug)]
struct TablesFile {
    file: Box<dyn DiskFile>,
    pages: Arc<PageSums>,
    sync_failed: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
}

impl StorageBackend for TablesFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, out)?;
        self.pages.check(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.pages.cut(len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.pages.save()?;
        let synced = self.file.sync_data();
        synced.inspect_err(|_| self.sync_failed.store(true, Ordering::SeqCst))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.written.fetch_add(data.len() as u64, Ordering::Relaxed);
        self.pages.forget(offset, data.len());
        self.file.write_at(offset, data)?;
        self.pages.keep(offset, data);
        Ok(())
    }
}
