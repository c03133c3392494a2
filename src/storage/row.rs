//! Rows: keys and values in numbered tables, changed by writes with ascending positions.

use std::fmt;

use bytes::Bytes;

/// A numbered set of rows. The caller decides what the rows mean.
///
/// The number is part of the format on disk, and so is whether the keys are fresh: change neither for a table in use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Table(u8);

/// Set in the stored byte of a table whose keys are fresh.
const FRESH: u8 = 0x80;

impl Table {
    /// Table `number`, below 128.
    ///
    /// # Panics
    ///
    /// When `number` is 128 or more; in a `const` that is a compile error.
    pub const fn new(number: u8) -> Self {
        assert!(number < FRESH, "table numbers are below 128");
        Self(number)
    }

    /// Table `number`, below 128, in which no key is ever used twice: put once, never changed, and not put again after its deletion.
    ///
    /// A row that is put and deleted between two checkpoints then costs the tables nothing at all. The caller must keep this promise: a
    /// key that is put again may reappear after its deletion (the store in memory asserts it in debug builds).
    ///
    /// # Panics
    ///
    /// See [`new`](Self::new).
    pub const fn with_fresh_keys(number: u8) -> Self {
        Self(Self::new(number).0 | FRESH)
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0 & !FRESH
    }

    /// Whether no key of it is ever used twice.
    pub const fn has_fresh_keys(self) -> bool {
        self.0 & FRESH != 0
    }

    /// Its byte on disk.
    #[cfg(feature = "embedded")]
    pub(crate) const fn to_byte(self) -> u8 {
        self.0
    }

    /// The table of a byte from [`to_byte`](Self::to_byte).
    #[cfg(feature = "embedded")]
    pub(crate) const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fresh = if self.has_fresh_keys() { " fresh" } else { "" };
        write!(f, "Table({}{fresh})", self.number())
    }
}

/// One change of one row.
#[derive(Clone, PartialEq, Eq)]
pub struct Write {
    /// The table of the row.
    pub table: Table,
    /// The key; it may be empty.
    pub key: Bytes,
    /// The new value of the row (it may be empty); `None` deletes the row, if it is there.
    ///
    /// It is kept without copying: a small slice of a large buffer keeps the whole buffer in memory.
    pub value: Option<Bytes>,
}

impl Write {
    /// The write that gives the row this value.
    pub fn put(table: Table, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        let (key, value) = (key.into(), Some(value.into()));
        Self { table, key, value }
    }

    /// The write that deletes the row.
    pub fn delete(table: Table, key: impl Into<Bytes>) -> Self {
        let (key, value) = (key.into(), None);
        Self { table, key, value }
    }
}

/// Lengths only: rows hold users' data.
impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Write")
            .field("table", &self.table)
            .field("key_bytes", &self.key.len())
            .field("value_bytes", &self.value.as_ref().map(Bytes::len))
            .finish()
    }
}

/// The position of a staged list of writes in the total order: 1 for the first, one more for each further one,
/// across restarts. [`Position::START`] is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(u64);

impl Position {
    /// Before the first write of all.
    pub const START: Self = Self(0);

    /// The number of lists of writes up to and including this position.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The position after `count` lists of writes.
    #[cfg(feature = "embedded")]
    pub(crate) const fn from_u64(count: u64) -> Self {
        Self(count)
    }

    /// The position after this one.
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_keeps_its_number_and_its_promise() {
        const MESSAGES: Table = Table::with_fresh_keys(5);
        assert_eq!(MESSAGES.number(), 5);
        assert!(MESSAGES.has_fresh_keys());
        assert!(!Table::new(5).has_fresh_keys());
        assert_ne!(MESSAGES, Table::new(5));
    }

    #[test]
    fn debug_output_shows_no_user_data() {
        let shown = format!("{:?}", Write::put(Table::new(1), "secret", "secret"));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
