//! The rows after one checkpoint, unchanged by later ones.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use redb::{ReadOnlyTable, ReadableTable};

use super::super::row::Table;
use super::super::{Keys, StorageError};
use super::gaps::Gaps;
use super::guard::{Fault, guarded};
use super::marks::Marks;
use super::pages::{PageSums, leniently};
use super::seal::{Sum, Sums, unseal};
use super::{Mark, key_of};

pub(super) type OpenRows = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The rows after one checkpoint.
pub(in super::super) struct Snapshot {
    /// With the folder.
    file: Arc<str>,
    rows: Option<OpenRows>,
    marks: Marks,
    gaps: Gaps,
    pages: Arc<PageSums>,
    seen: Seen,
    generation: u64,
}

/// How damaged pages are noticed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    /// Each page is read from the file each time, so that damaged ones are noticed each time.
    pub(super) uncached: bool,
    /// The first page, which is read only once, is damaged.
    pub(super) first_page_is_damaged: bool,
}

impl Snapshot {
    pub(super) fn new(
        pages: Arc<PageSums>,
        generation: u64,
        rows: Option<OpenRows>,
        marks: Marks,
        seen: Seen,
    ) -> Self {
        Self {
            file: pages.tables(),
            rows,
            marks,
            gaps: Gaps::default(),
            pages,
            seen,
            generation,
        }
    }

    pub(in super::super) const fn mark(&self) -> Mark {
        self.marks.mark()
    }

    /// The number of the snapshot; later ones are higher.
    pub(in super::super) const fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) const fn is_sealed(&self) -> bool {
        self.marks.is_sealed()
    }

    /// The rows, unless the table has none.
    fn rows_of(&self, table: Table) -> Option<&OpenRows> {
        let known_empty = self.is_sealed() && self.marks.sums.get(table.to_byte()).rows == 0;
        self.rows.as_ref().filter(|_| !known_empty)
    }

    pub(in super::super) fn get(
        &self,
        table: Table,
        key: &[u8],
    ) -> Result<Option<Bytes>, StorageError> {
        let Some(rows) = self.rows_of(table) else {
            return Ok(None);
        };
        self.look(rows, &mut Vec::new(), table, key, false)
    }

    /// Reads the rows that are not in `found` yet; their keys consist of `keys` and `ends`.
    pub(in super::super) fn get_all(
        &self,
        table: Table,
        keys: &mut Keys,
        ends: &[&[u8]],
        found: &mut [Option<Option<Bytes>>],
    ) -> Result<(), StorageError> {
        let Some(rows) = self.rows_of(table) else {
            return Ok(());
        };
        let mut full = Vec::new();
        let mut missing = found.iter().filter(|row| row.is_none()).count();
        for (end, row) in ends.iter().zip(found) {
            if row.is_none() {
                missing -= 1;
                // The next row is nearby.
                let more = missing > 1;
                *row = Some(self.look(rows, &mut full, table, keys.with(end), more)?);
            }
        }
        Ok(())
    }

    /// The row at a key. If it is absent and `more` rows are to be read, the end of the gap is determined as well.
    fn look(
        &self,
        rows: &OpenRows,
        full: &mut Vec<u8>,
        table: Table,
        key: &[u8],
        more: bool,
    ) -> Result<Option<Bytes>, StorageError> {
        key_of(full, table, key);
        if self.gaps.hold(full) {
            return Ok(None);
        }
        let full = full.as_slice();
        guarded(&self.file, "read", || {
            let (stored, in_damaged_page) = leniently(|| rows.get(full));
            let stored = stored?;
            let in_damaged_page = in_damaged_page || self.seen.first_page_is_damaged;
            self.must_see_damage()?;
            let value = stored.map(|stored| self.opened(full, stored.value()));
            let value = value.transpose()?;
            let is_unsure = in_damaged_page || self.marks.damaged && !self.pages.is_trusted();
            let is_doubtful = in_damaged_page && !is_explained(rows, full)?
                || value.is_none() && is_unsure && is_beside_damage(rows, full)?;
            if is_doubtful {
                return Err(Fault::Ours(self.damaged_row(full)));
            }
            if value.is_some() {
                return Ok(value);
            }
            // In a damaged file a row may appear far from its place.
            if self.pages.is_trusted() && (self.gaps.are_wanted() || more) {
                let mut behind = ReadableTable::range::<&[u8]>(rows, full..)?;
                let next = behind.next().transpose()?;
                let next = next.as_ref().map(|(key, _)| key.value());
                self.gaps.learn(full, next);
            }
            Ok(None)
        })
    }

    /// Fails if a damaged page may have come from the cache unnoticed. The reader then opens the tables again, without a cache.
    fn must_see_damage(&self) -> Result<(), Fault> {
        match self.pages.damage() {
            Some(damage) if !self.seen.uncached => Err(Fault::Ours(damage)),
            _ => Ok(()),
        }
    }

    /// The value at a key, if its seal matches.
    fn opened(&self, full_key: &[u8], stored: &[u8]) -> Result<Bytes, Fault> {
        if !self.is_sealed() {
            return Ok(Bytes::copy_from_slice(stored));
        }
        match unseal(full_key, stored) {
            Some(value) => Ok(Bytes::copy_from_slice(value)),
            None => Err(Fault::Ours(self.damaged_row(full_key))),
        }
    }

    fn damaged_row(&self, full_key: &[u8]) -> StorageError {
        let (table, key) = full_key.split_first().unwrap_or((&0, &[]));
        StorageError::DamagedRow {
            file: self.file.to_string(),
            table: Table::from_byte(*table),
            key: Bytes::copy_from_slice(key),
        }
    }

    /// Rows of the table from `from` to `to`, ascending by key.
    pub(in super::super) fn range(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> Result<Range<'_>, StorageError> {
        let none = Range {
            snapshot: self,
            rows: None,
        };
        let Some(rows) = self.rows_of(table) else {
            return Ok(none);
        };
        let (mut start, mut end) = (Vec::new(), Vec::new());
        key_of(&mut start, table, from);
        match to {
            Some(to) => key_of(&mut end, table, to),
            None => end.extend(table.to_byte().checked_add(1)),
        }
        let end = match end.as_slice() {
            [] => Bound::Unbounded,
            end if end <= start.as_slice() => return Ok(none),
            end => Bound::Excluded(end),
        };
        guarded(&self.file, "read", || {
            let range = (Bound::Included(start.as_slice()), end);
            Ok(Range {
                snapshot: self,
                rows: Some(leniently(|| ReadableTable::range::<&[u8]>(rows, range)).0?),
            })
        })
    }

    /// Reads all rows, and checks them against their seals and the marks. Ends early when `stop` is set, and pauses
    /// as long as it works if `gently`.
    ///
    /// # Errors
    /// The first damage found.
    pub(in super::super) fn verify(
        &self,
        stop: &AtomicBool,
        gently: bool,
    ) -> Result<u64, StorageError> {
        let Some(rows) = self.rows.as_ref().filter(|_| self.is_sealed()) else {
            return Ok(0);
        };
        let (counted, _) = leniently(|| self.count(rows, stop, gently));
        // The first row that is damaged tells more than the page that it is in.
        let counted = match (counted, self.pages.damage()) {
            (Err(err), _) if err.is_of_one_row() => return Err(err),
            (_, Some(damage)) => return Err(damage),
            (counted, None) => counted?,
        };
        if !stop.load(Ordering::Relaxed) {
            self.pages.trust();
        }
        Ok(counted)
    }

    fn count(&self, rows: &OpenRows, stop: &AtomicBool, gently: bool) -> Result<u64, StorageError> {
        let mut all = guarded(&self.file, "read", || Ok(ReadableTable::iter(rows)?))?;
        let (mut found, mut counted, mut ended) = (Sums::default(), 0, false);
        while !ended {
            let begun = Instant::now();
            guarded(&self.file, "read", || {
                for _ in 0..PAGE {
                    let Some((key, stored)) = all.next().transpose()? else {
                        ended = true;
                        break;
                    };
                    if unseal(key.value(), stored.value()).is_none() {
                        return Err(Fault::Ours(self.damaged_row(key.value())));
                    }
                    // The path to it may be damaged even if the row is not.
                    if rows.get(key.value())?.is_none() {
                        let key = key.value().escape_ascii();
                        let fault = format!("its row `{key}` is not found by its key");
                        return Err(redb::Error::Corrupted(fault).into());
                    }
                    found.add(key.value(), stored.value());
                    counted += 1;
                }
                Ok(())
            })?;
            if stop.load(Ordering::Relaxed) {
                return Ok(counted);
            }
            if gently {
                thread::sleep(begun.elapsed());
            }
        }
        self.hold_against_marks(&found)?;
        Ok(counted)
    }

    fn hold_against_marks(&self, found: &Sums) -> Result<(), StorageError> {
        let bytes = self.marks.sums.iter().chain(found.iter());
        for table in bytes.map(|(table, _)| table) {
            let (Sum { rows: wanted, .. }, Sum { rows, .. }) =
                (self.marks.sums.get(table), found.get(table));
            if self.marks.sums.get(table) != found.get(table) {
                let table = Table::from_byte(table);
                let fault = if rows == wanted {
                    format!("{table:?} holds rows of another time")
                } else {
                    format!("{table:?} has {rows} rows, and the last checkpoint left {wanted}")
                };
                return guarded(&self.file, "read", || {
                    Err(redb::Error::Corrupted(fault).into())
                });
            }
        }
        Ok(())
    }
}

/// Rows on each side of a key, among which are all of its page.
const MOST_OF_A_PAGE: usize = 300;

type Row = Result<
    (
        redb::AccessGuard<'static, &'static [u8]>,
        redb::AccessGuard<'static, &'static [u8]>,
    ),
    redb::StorageError,
>;

/// Whether the row of an absent key may be there with a damaged key: it would be beside the place of the key. A damaged row on its own has
/// either its key or its value damaged, and its seal tells whether its key was this one; of several in a row nothing is known.
fn is_beside_damage(rows: &OpenRows, key: &[u8]) -> Result<bool, Fault> {
    let judge = |row: Row| -> Result<(bool, bool), Fault> {
        let (at, stored) = row?;
        let is_damaged = unseal(at.value(), stored.value()).is_none();
        Ok((
            is_damaged,
            is_damaged && unseal(key, stored.value()).is_some(),
        ))
    };
    let (found, _) = leniently(|| -> Result<bool, Fault> {
        let before = rows.range::<&[u8]>(..key)?.rev().take(2).map(judge);
        let before = before.collect::<Result<Vec<_>, _>>()?;
        let after = rows.range::<&[u8]>(key..)?.take(2).map(judge);
        let after = after.collect::<Result<Vec<_>, _>>()?;
        let nearby: Vec<_> = before.into_iter().rev().chain(after).collect();
        let is_it = nearby.iter().any(|(_, is_it)| *is_it);
        let several = nearby
            .windows(2)
            .any(|two| two.iter().all(|(is_damaged, _)| *is_damaged));
        Ok(is_it || several)
    });
    found
}

/// Whether the page of the key differs from what was written because of a damaged row. If not, it may be another page, or one of
/// an earlier time, in which all rows are sound and wrong.
fn is_explained(rows: &OpenRows, key: &[u8]) -> Result<bool, Fault> {
    let (found, _) = leniently(|| -> Result<bool, Fault> {
        let before = rows.range::<&[u8]>(..key)?.rev().take(MOST_OF_A_PAGE);
        let after = rows.range::<&[u8]>(key..)?.take(MOST_OF_A_PAGE);
        for row in before.chain(after) {
            let (key, stored) = row?;
            if unseal(key.value(), stored.value()).is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    });
    found
}

/// Rows verified at a time.
const PAGE: usize = 1024;

impl Drop for Snapshot {
    fn drop(&mut self) {
        let rows = self.rows.take();
        // With a damaged file redb may panic here, too.
        let _ = guarded(&self.file, "close", || {
            drop(rows);
            Ok(())
        });
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("mark", &self.mark())
            .finish_non_exhaustive()
    }
}

/// Rows in order; see [`Snapshot::range`].
pub(in super::super) struct Range<'a> {
    snapshot: &'a Snapshot,
    rows: Option<redb::Range<'a, &'static [u8], &'static [u8]>>,
}

impl Iterator for Range<'_> {
    type Item = Result<(Bytes, Bytes), StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = self.rows.as_mut()?;
        let row = guarded(&self.snapshot.file, "read", || {
            let (row, in_damaged_page) = leniently(|| rows.next());
            let row = row.transpose()?;
            let in_damaged_page = in_damaged_page || self.snapshot.seen.first_page_is_damaged;
            self.snapshot.must_see_damage()?;
            let Some((key, stored)) = row else {
                return Ok(None);
            };
            if in_damaged_page
                && let (Some(all), Some(damage)) =
                    (&self.snapshot.rows, self.snapshot.pages.damage())
                && !is_explained(all, key.value())?
            {
                return Err(Fault::Ours(damage));
            }
            let value = self.snapshot.opened(key.value(), stored.value())?;
            let key = key.value().get(1..).unwrap_or_default();
            Ok(Some((Bytes::copy_from_slice(key), value)))
        });
        row.transpose()
    }
}
