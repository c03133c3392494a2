//! Writes changed rows into the sorted table of redb, so that its pages are full where rows are added in key order.

use std::collections::BTreeSet;
use std::io;
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::ReadableTable as _;

use super::guard::Fault;
use super::seal::{Sum, Sums, reseal, seal, unseal};

type Table<'t> = redb::Table<'t, &'static [u8], &'static [u8]>;

/// After this many unsuccessful searches for a run, only every such number of new rows starts another search.
const VAIN: u32 = 16;

/// A change: the key with the byte of its table in front, and the value without its seal; `None` deletes.
pub(super) type Change<'a> = (Vec<u8>, Option<&'a [u8]>);

/// Writes rows in ascending order of their keys.
///
/// redb splits a full page into halves, so adding rows one by one at the end leaves every page half full. A run of new rows
/// between two existing ones is therefore added as one, which redb packs.
///
/// Reports the tables in which a damaged row was replaced, whose seal may differ from the one that was counted.
pub(super) fn fill<'a>(
    rows: &mut Table<'_>,
    sums: &mut Sums,
    changes: impl Iterator<Item = Change<'a>>,
    mut absent: Absent,
    stop: &AtomicBool,
) -> Result<BTreeSet<u8>, Fault> {
    let mut changes = changes.peekable();
    let (mut vain, mut stored) = (0_u32, Vec::new());
    let mut damaged = BTreeSet::new();
    let mut take = |sums: &mut Sums, key: &[u8], old: &[u8]| {
        sums.take(key, old);
        if unseal(key, old).is_none() {
            damaged.extend(key.first());
        }
    };
    while let Some((key, value)) = changes.next() {
        if stop.load(Ordering::Relaxed) {
            return Err(redb::Error::Io(io::ErrorKind::Interrupted.into()).into());
        }
        let Some(value) = value else {
            if absent.holds(&key) {
                continue;
            }
            let removed = rows.remove(key.as_slice())?;
            let removed = removed.map(|old| take(sums, &key, old.value()));
            if removed.is_none() {
                absent.look(rows, &key)?;
            }
            continue;
        };
        seal(&key, value, &mut stored);
        let replaced = rows
            .insert(key.as_slice(), stored.as_slice())?
            .map(|old| take(sums, &key, old.value()));
        sums.add(&key, &stored);
        if replaced.is_some() {
            continue;
        }
        vain = vain.saturating_add(1);
        if vain < VAIN || vain.is_multiple_of(VAIN) {
            let length = run(rows, sums, &key, &mut changes, &mut stored)?;
            if length > 0 {
                vain = 0;
            }
        }
    }
    Ok(damaged)
}

/// A range of keys without rows, where rows that were put and deleted between two checkpoints are deleted one after the other.
pub(super) struct Absent {
    /// Whether the file is known to be sound. In a damaged one a row may appear far from its place.
    trusted: bool,
    /// It begins with the last key looked up, and ends before this one; `Some(None)`: there is no later row.
    end: Option<Option<Vec<u8>>>,
    vain: u32,
}

impl Absent {
    /// No gap is known yet.
    pub(super) const fn in_rows_that_are(trusted: bool) -> Self {
        Self {
            trusted,
            end: None,
            vain: 0,
        }
    }

    /// Whether the row at `key` is known to be absent. Keys ascend, so rows added meanwhile are before it.
    fn holds(&mut self, key: &[u8]) -> bool {
        let end = self.end.as_ref();
        let holds = end.is_some_and(|end| end.as_deref().is_none_or(|end| key < end));
        if holds {
            self.vain = 0;
        }
        holds
    }

    /// Finds the end of the range without rows, unless that was useless the last times.
    fn look(&mut self, rows: &Table<'_>, key: &[u8]) -> Result<(), Fault> {
        self.vain = self.vain.saturating_add(1);
        if self.trusted && (self.vain < VAIN || self.vain.is_multiple_of(VAIN)) {
            let next = rows.range::<&[u8]>(key..)?.next().transpose()?;
            self.end = Some(next.map(|(key, _)| key.value().to_vec()));
        }
        Ok(())
    }
}

/// Reads all rows after a write in which damaged rows were replaced, in the tables `mended`, or pages were damaged. Computes the seal sums of `mended` again.
/// Tells whether there are still rows without a good seal.
///
/// If a page is damaged (`strictly`), counts and sums must be right except for such rows: the page is replaced by one with a good checksum,
/// and nothing would show any more that rows are missing, or of an earlier time.
pub(super) fn sum_up(
    rows: &Table<'_>,
    sums: &mut Sums,
    mended: &BTreeSet<u8>,
    strictly: bool,
) -> Result<bool, Fault> {
    let (mut found, mut resealed, mut is_damaged) = (Sums::default(), Sums::default(), false);
    let (mut right, mut last) = (Vec::new(), Vec::new());
    for row in rows.iter()? {
        let (key, stored) = row?;
        let (key, stored) = (key.value(), stored.value());
        found.add(key, stored);
        if unseal(key, stored).is_some() {
            resealed.add(key, stored);
            if strictly && key <= last.as_slice() {
                let key = key.escape_ascii();
                let fault = format!("its row `{key}` is not in its place");
                return Err(redb::Error::Corrupted(fault).into());
            }
            key.clone_into(&mut last);
        } else {
            is_damaged = true;
            reseal(key, stored, &mut right);
            resealed.add(key, &right);
        }
    }
    let all: Vec<_> = sums.iter().collect();
    for (table, sum) in all {
        let (read, resealed) = (found.get(table), resealed.get(table));
        if mended.contains(&table) {
            sums.set(
                table,
                Sum {
                    seals: read.seals,
                    ..sum
                },
            );
        } else if strictly && read.seals != sum.seals && resealed.seals != sum.seals {
            let fault = format!(
                "{:?} holds rows of another time",
                super::Table::from_byte(table)
            );
            return Err(redb::Error::Corrupted(fault).into());
        }
        if strictly && read.rows != sum.rows {
            let (table, read, sum) = (super::Table::from_byte(table), read.rows, sum.rows);
            let fault = format!("{table:?} has {read} rows, and {sum} were written");
            return Err(redb::Error::Corrupted(fault).into());
        }
    }
    Ok(is_damaged)
}

/// Adds the new rows between `key` and the existing row after it, and returns their number.
fn run<'a>(
    rows: &mut Table<'_>,
    sums: &mut Sums,
    key: &[u8],
    changes: &mut Peekable<impl Iterator<Item = Change<'a>>>,
    stored: &mut Vec<u8>,
) -> Result<u64, Fault> {
    // Reading the table is not worth it if there is nothing to add.
    if !matches!(changes.peek(), Some((_, Some(_)))) {
        return Ok(0);
    }
    let mut cursor = rows.upper_bound_mut(Bound::Included(key))?;
    let next = cursor.peek_next()?.map(|(key, _)| key.value().to_vec());
    let belongs = |key: &[u8]| next.as_deref().is_none_or(|next| key < next);
    let mut length = 0;
    while let Some((key, Some(value))) =
        changes.next_if(|(key, value)| value.is_some() && belongs(key))
    {
        seal(&key, value, stored);
        cursor.insert_before(key.as_slice(), stored.as_slice())?;
        sums.add(&key, stored);
        length += 1;
    }
    cursor.close()?;
    Ok(length)
}
