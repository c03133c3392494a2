//! Reads a table page by page, for lists that may not fit in memory.

use bytes::Bytes;

use super::damaged::Damaged;
use crate::runtime::core::keys::after_prefix;
use crate::storage::{Rows, StorageError, Stretch, Table, stretch};

/// Maximum rows read for one page; with a filter that few rows match, a page ends early.
const MAX_SCANNED: usize = 20_000;
/// Rows read at a time.
const CHUNK: usize = 500;
/// A page ends at this size, whatever its limit, because a thousand payloads may not fit in memory.
const MAX_BYTES: usize = 4 << 20;

/// The size of an item of a list.
pub(crate) trait Weigh {
    /// Its approximate size in bytes.
    fn weight(&self) -> usize;
}

/// Some items of a list, and where the list continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page<T> {
    /// Items, with damaged ones at their positions.
    pub(crate) items: Vec<Result<T, Damaged>>,
    /// The key after which the list continues; `None` at its end.
    pub(crate) next: Option<Bytes>,
}

/// At most `limit` items made by `item` from the rows of `table` whose keys begin with `prefix`, after the key `after`.
///
/// `item` also gets damaged rows. An error about a single row is shown in the list, which continues after it; any
/// other error fails the whole list.
pub(crate) fn page<T: Weigh>(
    rows: &dyn Rows,
    table: Table,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: usize,
    mut item: impl FnMut(&Bytes, Result<Bytes, StorageError>) -> Result<Option<T>, StorageError>,
) -> Result<Page<T>, StorageError> {
    let end = after_prefix(prefix);
    let mut from = after.map_or_else(|| prefix.to_vec(), behind);
    let (mut items, mut scanned, mut bytes) = (Vec::new(), 0, 0_usize);
    loop {
        let chunk = stretch(rows, table, &from, end.as_deref(), CHUNK)?;
        let Stretch {
            rows: chunk,
            is_last,
        } = chunk;
        for (key, row) in chunk {
            if items.len() == limit || scanned == MAX_SCANNED || bytes >= MAX_BYTES {
                // This row begins the next page.
                return Ok(Page {
                    items,
                    next: Some(before(&from)),
                });
            }
            scanned += 1;
            match item(&key, row) {
                Ok(Some(item)) => {
                    bytes = bytes.saturating_add(item.weight());
                    items.push(Ok(item));
                }
                Ok(None) => {}
                Err(error) => items.push(Err(Damaged::of(error)?)),
            }
            from = behind(&key);
        }
        if is_last {
            return Ok(Page { items, next: None });
        }
    }
}

/// The first key after `key`.
fn behind(key: impl AsRef<[u8]>) -> Vec<u8> {
    [key.as_ref(), &[0]].concat()
}

/// The key from which [`behind`] was computed.
fn before(from: &[u8]) -> Bytes {
    Bytes::copy_from_slice(from.strip_suffix(&[0]).unwrap_or(from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Memory, Write};

    const TABLE: Table = Table::new(100);

    impl Weigh for String {
        fn weight(&self) -> usize {
            self.len()
        }
    }

    #[test]
    fn a_page_ends_when_it_has_grown_large() {
        let (store, _syncer) = Memory::default().open();
        let large = "x".repeat(MAX_BYTES / 2);
        let writes = (0..5).map(|n| Write::put(TABLE, format!("k{n}"), large.clone()));
        store.stage(writes.collect());
        let (mut after, mut sizes) = (None::<Bytes>, Vec::new());
        loop {
            let read = |_: &Bytes, value: Result<Bytes, StorageError>| {
                Ok(Some(String::from_utf8(value?.to_vec()).unwrap()))
            };
            let page = page(&store, TABLE, b"k", after.as_deref(), 100, read).unwrap();
            sizes.push(page.items.len());
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(sizes, [2, 2, 1]);
    }

    #[test]
    fn pages_follow_one_another_without_gap_or_repetition() {
        let (store, _syncer) = Memory::default().open();
        let keys: Vec<String> = (0..1_234).map(|n| format!("k{n:04}")).collect();
        let write = |key: &String| Write::put(TABLE, key.clone(), "v");
        store.stage(
            keys.iter()
                .map(write)
                .chain([Write::put(TABLE, "l", "v")])
                .collect(),
        );
        let expected: Vec<String> = keys.into_iter().step_by(2).collect();
        let even = |key: &Bytes, _: Result<Bytes, StorageError>| {
            let is_even = key.last().is_some_and(|digit| digit % 2 == 0);
            Ok(is_even.then(|| String::from_utf8(key.to_vec()).unwrap()))
        };
        // Pages that are smaller than what is read at a time, and larger.
        for (limit, count) in [(100, 7), (600, 2)] {
            let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
            loop {
                let page = page(&store, TABLE, b"k", after.as_deref(), limit, even).unwrap();
                assert!(page.items.len() <= limit);
                seen.extend(page.items.into_iter().map(Result::unwrap));
                pages += 1;
                match page.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
            assert_eq!((&seen, pages), (&expected, count));
        }
    }
}
