//! The layers in which a row is looked up: the current overlay, the frozen one, the tables.

use std::cmp::Ordering;
use std::sync::Arc;

use bytes::Bytes;

use super::super::row::{Position, Table};
use super::super::tables::Snapshot;
use super::super::{Keys, StorageError};
use super::overlay::Overlay;

/// An overlay without further writes, to be moved to the tables.
#[derive(Debug, Clone)]
pub(super) struct Frozen {
    pub(super) overlay: Arc<Overlay>,
    /// The position of the last list of writes in it, and the end of a round.
    pub(super) position: Position,
    /// Bytes of the rounds in it.
    pub(super) log_bytes: u64,
}

/// All layers; upper ones override lower ones.
#[derive(Debug)]
pub(super) struct Layers {
    pub(super) current: Overlay,
    pub(super) lower: Lower,
}

/// The layers that do not change.
#[derive(Debug, Clone)]
pub(super) struct Lower {
    pub(super) frozen: Option<Frozen>,
    pub(super) tables: Arc<Snapshot>,
}

/// A page of a scan: the rows of the current overlay, and how far it has been read.
#[derive(Debug)]
pub(super) struct Page {
    top: Vec<(Bytes, Option<Bytes>)>,
    /// The key before which the page ends; `None` if it ends with the scan.
    end: Option<Bytes>,
}

/// Maximum rows read from the current overlay at a time, because writers wait meanwhile.
const PAGE_ROWS: usize = 256;

impl Layers {
    /// The part of a scan that begins at `from`.
    pub(super) fn page(&self, table: Table, from: &[u8], to: Option<&[u8]>, limit: usize) -> Page {
        let wanted = limit.clamp(16, PAGE_ROWS);
        let mut rows = self.current.range(table, from, to);
        let top = rows.by_ref().take(wanted);
        let top = top
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let end = rows.next().map(|(key, _)| key.clone());
        Page { top, end }
    }
}

impl Lower {
    /// The row, if it is in the frozen overlay.
    pub(super) fn frozen_row(&self, table: Table, key: &[u8]) -> Option<Option<Bytes>> {
        self.frozen.as_ref()?.overlay.get(table, key)
    }

    /// Reads the rows that are not in `found` yet; their keys consist of `keys` and `ends`.
    pub(super) fn get_all(
        &self,
        table: Table,
        keys: &mut Keys,
        ends: &[&[u8]],
        found: &mut [Option<Option<Bytes>>],
    ) -> Result<(), StorageError> {
        if self.frozen.is_some() {
            for (end, row) in ends.iter().zip(&mut *found) {
                if row.is_none() {
                    *row = self.frozen_row(table, keys.with(end));
                }
            }
        }
        self.tables.get_all(table, keys, ends, found)
    }

    /// Adds the rows of the page to `found` until there are `limit`. Returns where the scan continues, if it does.
    pub(super) fn complete(
        &self,
        page: Page,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
        found: &mut Vec<(Bytes, Bytes)>,
    ) -> Result<Option<Bytes>, StorageError> {
        let Page { top, end } = page;
        let to = end.as_deref().or(to);
        let current = top.into_iter().map(Ok);
        let frozen = self
            .frozen
            .as_ref()
            .map(|frozen| frozen.overlay.range(table, from, to));
        let frozen = frozen
            .into_iter()
            .flatten()
            .map(|(key, value)| Ok((key.clone(), value.clone())));
        let tables = self.tables.range(table, from, to)?;
        let tables = tables.map(|row| row.map(|(key, value)| (key, Some(value))));
        let mut rows = merged(merged(current, frozen), tables);
        while found.len() < limit {
            match rows.next().transpose()? {
                Some((key, value)) => found.extend(value.map(|value| (key, value))),
                None => return Ok(end.clone()),
            }
        }
        Ok(None)
    }
}

/// A key with its value, or with its deletion.
type Row = Result<(Bytes, Option<Bytes>), StorageError>;

/// Merges the rows of both in key order. Of two rows with the same key the upper one counts, even over a damaged one; another error precedes all
/// rows.
fn merged(
    upper: impl Iterator<Item = Row>,
    lower: impl Iterator<Item = Row>,
) -> impl Iterator<Item = Row> {
    fn key(row: &Row) -> Option<&Bytes> {
        match row {
            Ok((key, _)) | Err(StorageError::DamagedRow { key, .. }) => Some(key),
            Err(_) => None,
        }
    }
    let (mut upper, mut lower) = (upper.peekable(), lower.peekable());
    std::iter::from_fn(move || {
        let order = match (upper.peek(), lower.peek()) {
            (None, _) => Ordering::Greater,
            (_, None) => Ordering::Less,
            (Some(upper), Some(lower)) => key(upper).cmp(&key(lower)),
        };
        match order {
            Ordering::Less => upper.next(),
            Ordering::Greater => lower.next(),
            Ordering::Equal => {
                lower.next();
                upper.next()
            }
        }
    })
}
