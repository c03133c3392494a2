//! Reads rows from the layers, reopening the tables once if they fail, and reports damage in health.

use std::sync::Arc;

use bytes::Bytes;

use super::super::{Keys, Rows, StorageError, Table};
use super::store::LogStore;

impl LogStore {
    /// Reads from the layers; again if the tables had to be reopened.
    fn read<T>(
        &self,
        mut ask: impl FnMut(&Self) -> Result<T, (u64, StorageError)>,
    ) -> Result<T, StorageError> {
        let answer = match ask(self) {
            Err((generation, err)) if !err.is_of_one_row() => {
                match self.reopen_tables(generation) {
                    Ok(()) => ask(self),
                    Err(_) => Err((generation, err)),
                }
            }
            answer => answer,
        };
        answer.map_err(|(_, err)| {
            self.note_damage(&err);
            err
        })
    }

    /// Reports damage in health.
    pub(super) fn note_damage(&self, err: &StorageError) {
        use StorageError::{DamagedRow, DamagedTables};
        if !matches!(err, DamagedRow { .. } | DamagedTables { .. }) {
            return;
        }
        let text: Arc<str> = err.to_string().into();
        let mut state = self.locked();
        if state.health.damage.as_ref() != Some(&text) {
            tracing::error!("{text}");
            state.health.damage = Some(text);
        }
    }

    /// Reads all rows of the tables, and checks them against their checksums and counts.
    pub(super) fn verify(&self, gently: bool) -> Result<u64, StorageError> {
        let tables = Arc::clone(&self.locked().layers.lower.tables);
        let verified = tables.verify(&self.retired, gently);
        verified.inspect_err(|err| self.note_damage(err))
    }
}

impl Rows for LogStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.read(|store| {
            let state = store.locked();
            if let Some(row) = state.layers.current.get(table, key) {
                return Ok(row);
            }
            let lower = state.layers.lower.clone();
            drop(state);
            if let Some(row) = lower.frozen_row(table, key) {
                return Ok(row);
            }
            let row = lower.tables.get(table, key);
            row.map_err(|err| (lower.tables.generation(), err))
        })
    }

    fn get_all(
        &self,
        table: Table,
        prefix: &[u8],
        ends: &[&[u8]],
    ) -> Result<Vec<Option<Bytes>>, StorageError> {
        let mut keys = Keys::of(prefix);
        self.read(|store| {
            let state = store.locked();
            let known = |end: &&[u8]| state.layers.current.get(table, keys.with(end));
            let mut found: Vec<_> = ends.iter().map(known).collect();
            if found.iter().any(Option::is_none) {
                let lower = state.layers.lower.clone();
                drop(state);
                let answer = lower.get_all(table, &mut keys, ends, &mut found);
                answer.map_err(|err| (lower.tables.generation(), err))?;
            }
            Ok(found.into_iter().map(Option::flatten).collect())
        })
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        let mut found = Vec::new();
        let mut next = Some(Bytes::copy_from_slice(from));
        while let Some(from) = next.filter(|_| found.len() < limit) {
            let so_far = found.len();
            next = self.read(|store| {
                found.truncate(so_far);
                let state = store.locked();
                let page = state.layers.page(table, &from, to, limit - so_far);
                let lower = state.layers.lower.clone();
                drop(state);
                let next = lower.complete(page, table, &from, to, limit, &mut found);
                next.map_err(|err| (lower.tables.generation(), err))
            })?;
        }
        Ok(found)
    }
}
