//! A checksum for each page of the tables, in a file of its own.
//!
//! redb keeps checksums of its pages but does not compare them when it reads, so behind a damaged inner page rows look absent. Here every
//! page that is read from the file is compared with the checksum of what was written there last. A page with the place of
//! another one, or as an earlier checkpoint left it, does not match either.
//!
//! Rows have [seals](super::seal) of their own. So a damaged leaf can be read [leniently](leniently): what is found there with a good seal is
//! right, and what is not found there may be lost.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::super::StorageError;
use super::super::disk::{Disk, DiskFile, is_full};
use super::guard::damaged;

/// The name of the file. It exists only beside tables of a format whose writers all keep it.
pub(in super::super) const SUMS_FILE: &str = "tables.sums";

/// Bytes of a page of redb; larger ones consist of several.
const PAGE: usize = 4096;
/// Bytes of the file that are written together: a checksum of the rest, and the checksums of pages.
const BLOCK: usize = 512;
const SUM: usize = size_of::<u32>();
/// Pages in a block.
const PAGES: usize = BLOCK / SUM - 1;

/// The first byte of a page with rows.
const LEAF: u8 = 1;

/// The checksum of a page; its lowest bits say what the page is.
type Sum = u32;
const UNKNOWN: Sum = 0;
const IS_LEAF: Sum = 1;
const IS_OTHER: Sum = 2;

/// The checksums of all pages of the tables.
pub(in super::super) struct PageSums {
    disk: Arc<dyn Disk>,
    /// The file of the tables, with the folder.
    tables: Arc<str>,
    sums: RwLock<Sums>,
    file: Mutex<Option<Box<dyn DiskFile>>>,
    /// The first damaged page that was found.
    damage: OnceLock<u64>,
    /// All rows from earlier starts were read and are sound.
    trusted: AtomicBool,
}

#[derive(Default)]
struct Sums {
    written: Vec<Sum>,
    /// What was read where no checksum is known; it counts once all rows have been found.
    read: Vec<Sum>,
    /// Blocks that differ from the file.
    changed: BTreeSet<usize>,
}

impl PageSums {
    /// The checksums beside the tables in `tables`, if those exist.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        names: &[String],
        tables: Arc<str>,
        exists: bool,
    ) -> io::Result<Self> {
        let is_there = names.iter().any(|name| name == SUMS_FILE);
        let (mut sums, mut file) = (Sums::default(), None);
        if is_there && exists {
            let opened = disk.open(SUMS_FILE)?;
            sums.written = load(&*opened)?;
            file = Some(opened);
        } else if is_there {
            disk.remove(SUMS_FILE)?;
            disk.sync_names()?;
        }
        Ok(Self {
            disk,
            tables,
            sums: RwLock::new(sums),
            file: Mutex::new(file),
            damage: OnceLock::new(),
            trusted: AtomicBool::new(!exists),
        })
    }

    /// The file of the tables, with the folder.
    pub(super) fn tables(&self) -> Arc<str> {
        Arc::clone(&self.tables)
    }

    /// Compares what was read at `offset`.
    ///
    /// # Errors
    /// If it is not what was written, and is not read leniently.
    pub(super) fn check(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let kind = bytes.first().copied();
        let (mut unknown, mut wrong) = (false, None);
        let sums = self.reading();
        for (page, content) in whole_pages(offset, bytes) {
            match sums.written.get(page).copied().unwrap_or(UNKNOWN) {
                UNKNOWN => unknown = true,
                sum if sum == checksum(content, sum & IS_LEAF != 0) => {}
                sum => wrong = wrong.or(Some((page, sum))),
            }
        }
        drop(sums);
        let Some((page, sum)) = wrong else {
            if unknown {
                let mut sums = self.writing();
                for (page, content) in whole_pages(offset, bytes) {
                    put(&mut sums.read, page, checksum(content, kind == Some(LEAF)));
                }
            }
            return Ok(());
        };
        self.report(page as u64 * PAGE as u64);
        if sum & IS_LEAF != 0 && is_noted() {
            return Ok(());
        }
        let fault = fault(page as u64 * PAGE as u64);
        Err(io::Error::new(io::ErrorKind::InvalidData, fault))
    }

    /// Called before `len` bytes at `offset` are written: until that is done nothing is known about them.
    pub(super) fn forget(&self, offset: u64, len: usize) {
        let mut sums = self.writing();
        let last = (offset + len as u64).div_ceil(PAGE as u64);
        for page in (offset / PAGE as u64)..last {
            sums.set(page as usize, UNKNOWN);
        }
    }

    /// Called after `bytes` were written at `offset`.
    pub(super) fn keep(&self, offset: u64, bytes: &[u8]) {
        let is_leaf = bytes.first() == Some(&LEAF);
        let mut sums = self.writing();
        for (page, content) in whole_pages(offset, bytes) {
            sums.set(page, checksum(content, is_leaf));
        }
    }

    /// Called when the file has `len` bytes.
    pub(super) fn cut(&self, len: u64) {
        let pages = usize::try_from(len.div_ceil(PAGE as u64)).unwrap_or(usize::MAX);
        let mut sums = self.writing();
        for page in pages..sums.written.len() {
            sums.set(page, UNKNOWN);
        }
        sums.written.truncate(pages);
        sums.read.truncate(pages);
    }

    /// Makes all changes durable, if there is a file for them. Must be called before the pages become durable.
    ///
    /// On a full disk the file does not grow: nothing is known of pages beyond its end, which is true.
    pub(super) fn save(&self) -> io::Result<()> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = &*file else {
            return Ok(());
        };
        let end = usize::try_from(file.len()?).unwrap_or(0) / BLOCK;
        let (changed, runs) = self.writing().take_changes(end);
        if runs.is_empty() {
            return Ok(());
        }
        let write = || -> io::Result<()> {
            for (block, bytes) in &runs {
                match file.write_at((block * BLOCK) as u64, bytes) {
                    Err(err) if is_full(&err) && *block >= end => {
                        let blocks = *block..block + bytes.len() / BLOCK;
                        self.writing().changed.extend(blocks);
                    }
                    written => written?,
                }
            }
            file.sync_data()
        };
        write().inspect_err(|_| self.writing().changed.extend(changed))
    }

    /// Creates the file, if it does not exist. Must be called after the format of the tables has become durable.
    pub(super) fn create(&self) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.is_some() {
            return Ok(());
        }
        match self.disk.create(SUMS_FILE) {
            Err(err) if is_full(&err) => return Ok(()), // the next checkpoint tries again
            created => *file = Some(created?),
        }
        drop(file);
        {
            let mut sums = self.writing();
            let blocks = sums.written.len().div_ceil(PAGES);
            sums.changed.extend(0..blocks);
        }
        self.save()?;
        self.disk.sync_names()
    }

    /// Called when all rows have been found: the pages they were read from are sound.
    pub(super) fn trust(&self) {
        let mut sums = self.writing();
        let read = std::mem::take(&mut sums.read);
        for (page, sum) in read.into_iter().enumerate() {
            if sums.written.get(page).is_none_or(|known| *known == UNKNOWN) && sum != UNKNOWN {
                sums.set(page, sum);
            }
        }
        if !self.is_damaged() {
            self.trusted.store(true, Ordering::SeqCst);
        }
    }

    /// Whether all rows from earlier starts were found, and no damaged page since.
    pub(super) fn is_trusted(&self) -> bool {
        self.trusted.load(Ordering::SeqCst)
    }

    /// Whether a damaged page has been read.
    pub(super) fn is_damaged(&self) -> bool {
        self.damage.get().is_some()
    }

    /// The first damaged page that was read.
    pub(in super::super) fn damage(&self) -> Option<StorageError> {
        let offset = *self.damage.get()?;
        Some(damaged(&self.tables, fault(offset)))
    }

    fn report(&self, offset: u64) {
        self.trusted.store(false, Ordering::SeqCst);
        if self.damage.set(offset).is_ok() {
            let told = damaged(&self.tables, fault(offset));
            tracing::error!("{told}");
        }
    }

    fn reading(&self) -> RwLockReadGuard<'_, Sums> {
        self.sums.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> RwLockWriteGuard<'_, Sums> {
        self.sums.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for PageSums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageSums")
            .field("damage", &self.damage.get())
            .field("trusted", &self.is_trusted())
            .finish_non_exhaustive()
    }
}

impl Sums {
    fn set(&mut self, page: usize, sum: Sum) {
        put(&mut self.written, page, sum);
        if let Some(read) = self.read.get_mut(page) {
            *read = UNKNOWN;
        }
        self.changed.insert(page / PAGES);
    }

    /// The changed blocks, and the bytes of each run of neighbours with its first block. A new run begins at block `end`.
    fn take_changes(&mut self, end: usize) -> (BTreeSet<usize>, Vec<(usize, Vec<u8>)>) {
        let changed = std::mem::take(&mut self.changed);
        let mut runs: Vec<(usize, Vec<u8>)> = Vec::new();
        for block in &changed {
            let bytes = self.block(*block);
            match runs.last_mut() {
                Some((begin, run)) if *begin + run.len() / BLOCK == *block && *block != end => {
                    run.extend(bytes);
                }
                _ => runs.push((*block, bytes)),
            }
        }
        (changed, runs)
    }

    fn block(&self, block: usize) -> Vec<u8> {
        let mut bytes = vec![0; SUM];
        for page in block * PAGES..(block + 1) * PAGES {
            let sum = self.written.get(page).copied().unwrap_or(UNKNOWN);
            bytes.extend_from_slice(&sum.to_le_bytes());
        }
        let check = check_of(block, bytes.get(SUM..).unwrap_or_default());
        if let Some(place) = bytes.first_chunk_mut() {
            *place = check.to_le_bytes();
        }
        bytes
    }
}

/// The checksums in the file. Blocks that a crash left incomplete hold none.
fn load(file: &dyn DiskFile) -> io::Result<Vec<Sum>> {
    let len = usize::try_from(file.len()?).unwrap_or(0);
    let mut bytes = vec![0; len / BLOCK * BLOCK];
    file.read_at(0, &mut bytes)?;
    let mut sums = Vec::with_capacity(len / SUM);
    for (number, block) in bytes.chunks_exact(BLOCK).enumerate() {
        let (check, entries) = block.split_at(SUM);
        let is_good = check == check_of(number, entries).to_le_bytes();
        sums.extend(
            entries
                .chunks_exact(SUM)
                .map(|entry| match entry.try_into() {
                    Ok(entry) if is_good => Sum::from_le_bytes(entry),
                    _ => UNKNOWN,
                }),
        );
    }
    Ok(sums)
}

fn check_of(block: usize, entries: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(block as u64).to_le_bytes());
    hasher.update(entries);
    hasher.finalize()
}

fn checksum(page: &[u8], is_leaf: bool) -> Sum {
    let kind = if is_leaf { IS_LEAF } else { IS_OTHER };
    crc32fast::hash(page) & !(IS_LEAF | IS_OTHER) | kind
}

fn put(sums: &mut Vec<Sum>, page: usize, sum: Sum) {
    if sums.len() <= page {
        sums.resize(page + 1, UNKNOWN);
    }
    if let Some(place) = sums.get_mut(page) {
        *place = sum;
    }
}

/// The pages that lie in `bytes` completely. The first page of the file is redb's header, which is written in part and has checksums of its own.
fn whole_pages(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let skipped = offset.next_multiple_of(PAGE as u64).max(PAGE as u64) - offset;
    let begin = usize::try_from((offset + skipped) / PAGE as u64).unwrap_or(usize::MAX);
    let whole = bytes.get(skipped as usize..).unwrap_or_default();
    whole
        .chunks_exact(PAGE)
        .enumerate()
        .map(move |(number, page)| (begin + number, page))
}

fn fault(offset: u64) -> String {
    format!("the page at byte {offset} is not what was written")
}

#[derive(Clone, Copy)]
enum Reading {
    Strictly,
    /// With a damaged leaf that has been read.
    Leniently(bool),
}

thread_local! {
    static READING: Cell<Reading> = const { Cell::new(Reading::Strictly) };
}

/// Does `work`, in which damaged leaves are read as they are. Also returns whether there were any.
///
/// Each row found must be held against its seal, and a row that is not found may be lost.
pub(super) fn leniently<T>(work: impl FnOnce() -> T) -> (T, bool) {
    struct Restore(Reading);
    impl Drop for Restore {
        fn drop(&mut self) {
            READING.set(self.0);
        }
    }
    let _outer = Restore(READING.replace(Reading::Leniently(false)));
    let done = work();
    (done, matches!(READING.get(), Reading::Leniently(true)))
}

/// Called for a damaged leaf: whether this thread reads leniently.
fn is_noted() -> bool {
    let is_lenient = matches!(READING.get(), Reading::Leniently(_));
    if is_lenient {
        READING.set(Reading::Leniently(true));
    }
    is_lenient
}

#[cfg(test)]
mod tests {
    use super::super::super::disk::Folder;
    use super::*;

    fn sums(folder: &tempfile::TempDir) -> PageSums {
        let disk = Arc::new(Folder::new(folder.path()));
        let names = disk.list().unwrap();
        PageSums::open(disk, &names, "data/tables.redb".into(), true).unwrap()
    }

    fn page(kind: u8) -> Vec<u8> {
        let mut page = vec![7; PAGE];
        page[0] = kind;
        page
    }

    const FAR: u64 = 3 * (PAGES * PAGE) as u64;

    #[test]
    fn other_bytes_than_those_written_are_an_error_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let before = sums(&folder);
        before.keep(PAGE as u64, &page(2));
        before.keep(FAR, &[page(1), page(9)].concat());
        before.create().unwrap();
        before.keep(FAR - PAGE as u64, &page(2));
        before.save().unwrap();
        for sums in [before, sums(&folder)] {
            assert!(sums.check(PAGE as u64, &page(2)).is_ok());
            assert!(sums.check(FAR, &[page(1), page(9)].concat()).is_ok());
            assert!(!sums.is_damaged());
            let told = sums.check(PAGE as u64, &page(3)).unwrap_err().to_string();
            assert_eq!(told, "the page at byte 4096 is not what was written");
            assert!(sums.check(FAR, &page(2)).is_err(), "as it is elsewhere");
            assert!(sums.check(FAR + PAGE as u64, &page(8)).is_err());
            let told = sums.damage().unwrap().to_string();
            assert!(told.starts_with("data/tables.redb is damaged: the page at byte 4096"));
        }
    }

    #[test]
    fn only_leaves_are_read_leniently_and_damage_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let sums = sums(&folder);
        sums.keep(PAGE as u64, &page(1));
        sums.keep(FAR, &page(2));
        let zeros = vec![0; PAGE];
        let (read, seen) = leniently(|| sums.check(PAGE as u64, &page(1)));
        assert!(read.is_ok() && !seen);
        let (read, seen) = leniently(|| sums.check(PAGE as u64, &zeros));
        assert!(read.is_ok() && seen);
        let (read, _) = leniently(|| sums.check(FAR, &zeros));
        assert!(read.is_err());
        assert!(sums.check(PAGE as u64, &zeros).is_err());
    }

    #[test]
    fn nothing_is_known_of_pages_in_writing_of_those_cut_off_and_of_the_header() {
        let folder = tempfile::tempdir().unwrap();
        let sums = sums(&folder);
        sums.keep(0, &page(1));
        sums.keep(PAGE as u64, &page(1));
        sums.keep(FAR, &page(1));
        sums.forget(PAGE as u64, 1);
        sums.cut(FAR);
        for offset in [0, PAGE as u64, FAR] {
            assert!(sums.check(offset, &page(3)).is_ok(), "{offset}");
        }
    }

    #[test]
    fn a_block_that_a_crash_left_incomplete_holds_nothing_and_others_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let before = sums(&folder);
        before.keep(PAGE as u64, &page(2));
        before.keep(FAR, &page(2));
        before.create().unwrap();
        let path = folder.path().join(SUMS_FILE);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[100] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let sums = sums(&folder);
        assert!(sums.check(PAGE as u64, &page(3)).is_ok());
        assert!(sums.check(FAR, &page(3)).is_err());
    }

    #[test]
    fn what_was_read_is_kept_once_all_rows_have_been_found() {
        let folder = tempfile::tempdir().unwrap();
        let before = sums(&folder);
        before.create().unwrap();
        before.check(PAGE as u64, &page(2)).unwrap();
        before.check(FAR, &page(2)).unwrap();
        before.keep(FAR, &page(1));
        assert!(before.check(PAGE as u64, &page(3)).is_ok(), "not yet");
        before.check(PAGE as u64, &page(2)).unwrap();
        before.trust();
        assert!(before.is_trusted());
        before.save().unwrap();
        let sums = sums(&folder);
        assert!(sums.check(PAGE as u64, &page(3)).is_err());
        assert!(sums.check(FAR, &page(1)).is_ok());
    }
}
