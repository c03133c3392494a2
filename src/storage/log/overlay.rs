//! Rows that are in the log, but not in the tables yet.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use super::super::row::{Table, Write};

/// Rows changed since a checkpoint, deletions included, table by table and sorted by key.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    tables: BTreeMap<Table, BTreeMap<Bytes, Option<Bytes>>>,
    bytes: usize,
}

/// The memory of a row beyond its key and value: its slot in a partly filled node, and two allocations.
const ROW_OVERHEAD: usize = 128;

fn cost(key: &[u8], value: Option<&Bytes>) -> usize {
    ROW_OVERHEAD + key.len() + value.map_or(0, Bytes::len)
}

impl Overlay {
    /// Applies the write, which overrides the row here and in all lower layers.
    pub(super) fn apply(&mut self, write: Write) {
        let Write { table, key, value } = write;
        if value.is_none() && self.take_back(table, &key) {
            return;
        }
        let rows = self.tables.entry(table).or_default();
        let (key_bytes, new) = (key.len(), cost(&key, value.as_ref()));
        match rows.insert(key, value) {
            None => self.bytes += new,
            Some(old) => {
                self.bytes += new;
                self.bytes -= ROW_OVERHEAD + key_bytes + old.map_or(0, |old| old.len());
            }
        }
    }

    /// The same with a borrowed key.
    pub(super) fn apply_at(&mut self, table: Table, key: &[u8], value: Option<Bytes>) {
        if value.is_none() && self.take_back(table, key) {
            return;
        }
        let rows = self.tables.entry(table).or_default();
        match rows.get_mut(key) {
            Some(row) => {
                self.bytes += cost(key, value.as_ref());
                self.bytes -= cost(key, row.as_ref());
                *row = value;
            }
            None => {
                self.bytes += cost(key, value.as_ref());
                rows.insert(Bytes::copy_from_slice(key), value);
            }
        }
    }

    /// Deletes a row that was put here and is in no lower layer, so that no tombstone is needed. False if it may be in a lower layer.
    fn take_back(&mut self, table: Table, key: &[u8]) -> bool {
        let rows = self
            .tables
            .get_mut(&table)
            .filter(|_| table.has_fresh_keys());
        let Some((key, before)) = rows.and_then(|rows| rows.remove_entry(key)) else {
            return false;
        };
        self.bytes -= cost(&key, before.as_ref());
        before.is_some()
    }

    /// Copies the values that are slices of `whole`, so that it can be freed.
    pub(super) fn let_go(&mut self, whole: &[u8]) {
        let range = whole.as_ptr_range();
        let values = self.tables.values_mut().flat_map(BTreeMap::values_mut);
        for value in values.flatten() {
            if range.contains(&value.as_ptr()) {
                *value = Bytes::copy_from_slice(value);
            }
        }
    }

    /// The row here: absent (`None`), deleted (`Some(None)`), or its value.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Option<Option<Bytes>> {
        self.tables.get(&table)?.get(key).cloned()
    }

    /// The rows from `from` to `to`, including deletions, ascending by key.
    pub(super) fn range(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> impl Iterator<Item = (&Bytes, &Option<Bytes>)> {
        let range = (
            Bound::Included(from),
            to.map_or(Bound::Unbounded, Bound::Excluded),
        );
        // An inverted range panics in the standard map.
        let empty = to.is_some_and(|to| to <= from);
        let rows = self.tables.get(&table).filter(|_| !empty).into_iter();
        rows.flat_map(move |rows| rows.range::<[u8], _>(range))
    }

    /// Everything, table by table, ascending by key.
    pub(super) fn rows(&self) -> impl Iterator<Item = (Table, &Bytes, Option<&Bytes>)> {
        let tables = self.tables.iter();
        tables.flat_map(|(table, rows)| {
            rows.iter()
                .map(|(key, value)| (*table, key, value.as_ref()))
        })
    }

    /// The number of rows, including deletions.
    pub(super) fn len(&self) -> usize {
        self.tables.values().map(BTreeMap::len).sum()
    }

    /// Bytes in memory, overhead included (estimated).
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: Table = Table::new(1);
    const MESSAGES: Table = Table::with_fresh_keys(2);

    #[test]
    fn a_deletion_is_remembered_because_the_tables_may_have_the_row() {
        let mut overlay = Overlay::default();
        overlay.apply(Write::delete(STATE, "a"));
        overlay.apply(Write::delete(MESSAGES, "m"));
        assert_eq!(overlay.get(STATE, b"a"), Some(None));
        assert_eq!(overlay.get(MESSAGES, b"m"), Some(None));
        assert_eq!(overlay.get(STATE, b"b"), None);
    }

    #[test]
    fn a_fresh_row_put_and_deleted_leaves_nothing_behind() {
        let mut overlay = Overlay::default();
        overlay.apply(Write::put(MESSAGES, "m", "1"));
        overlay.apply(Write::delete(MESSAGES, "m"));
        assert_eq!(overlay.get(MESSAGES, b"m"), None);
        assert_eq!((overlay.rows().count(), overlay.bytes()), (0, 0));
    }

    #[test]
    fn a_fresh_row_that_was_put_below_stays_deleted_however_often_it_is_deleted() {
        let mut overlay = Overlay::default();
        for _ in 0..3 {
            overlay.apply(Write::delete(MESSAGES, "m"));
            assert_eq!(overlay.get(MESSAGES, b"m"), Some(None));
        }
    }

    #[test]
    fn the_cost_follows_each_change() {
        let mut overlay = Overlay::default();
        overlay.apply(Write::put(STATE, "key", "12345"));
        assert_eq!(overlay.bytes(), ROW_OVERHEAD + 8);
        overlay.apply(Write::put(STATE, "key", "1"));
        assert_eq!(overlay.bytes(), ROW_OVERHEAD + 4);
        overlay.apply(Write::delete(STATE, "key"));
        assert_eq!(overlay.bytes(), ROW_OVERHEAD + 3);
    }
}
