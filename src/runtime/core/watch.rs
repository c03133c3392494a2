//! Reports changes of values to a part above the runtime that keeps counts of them.

use std::fmt;

use bytes::Bytes;

use super::Core;
use super::keys::STATE;
use crate::storage::{Rows as _, StorageError, Write};

/// Is notified of each change of the values with a certain name.
pub trait ValueWatch: fmt::Debug + Send + Sync {
    /// The name of the values.
    fn name(&self) -> &str;

    /// The row at `key` is about to change: it is staged next, and the new value cannot be read yet.
    fn changes(&self, key: &Bytes, before: Option<&Bytes>, after: Option<&Bytes>);

    /// Whether messages from outside have to wait for some function.
    fn has_full(&self) -> bool {
        false
    }

    /// Why messages from outside for this function, and for functions that send to it, have to wait; `None` if they need not.
    fn full(&self, _namespace: &str, _name: &str) -> Option<String> {
        None
    }
}

/// A watched row that is about to change.
pub(super) struct Change {
    key: Bytes,
    before: Option<Bytes>,
    after: Option<Bytes>,
}

/// Adds the change of the watched row by `write`; of two writes of one row the last one counts.
pub(super) fn add(changes: &mut Vec<Change>, change: Change) {
    match changes.iter_mut().find(|known| known.key == change.key) {
        Some(known) => known.after = change.after,
        None => changes.push(change),
    }
}

/// The row of the watched value that went with the call in progress.
#[derive(Debug, Clone, Default)]
pub(super) enum Given {
    /// It was not read.
    #[default]
    Unread,
    /// The row, if there is one. Nothing else changes it before the call returns.
    Row(Option<Bytes>),
}

impl Core {
    /// Whether the values `name` are watched.
    pub(super) fn is_watched(&self, name: &str) -> bool {
        self.bindings
            .watch()
            .is_some_and(|watch| watch.name() == name)
    }

    /// The change of the value `name` by `write`, if that value is watched.
    pub(super) fn watched(
        &self,
        name: &str,
        write: &Write,
        given: &Given,
    ) -> Result<Option<Change>, StorageError> {
        if !self.is_watched(name) {
            return Ok(None);
        }
        let before = match given {
            Given::Row(row) => row.clone(),
            Given::Unread => match self.store.get(STATE, &write.key) {
                // It cannot be counted, and writing over it is the remedy.
                Err(error) if error.is_of_one_row() => None,
                before => before?,
            },
        };
        Ok(Some(Change {
            key: write.key.clone(),
            before,
            after: write.value.clone(),
        }))
    }

    /// Reports changes that are staged next.
    pub(super) fn tell<'c>(&self, changes: impl IntoIterator<Item = &'c Change>) {
        if let Some(watch) = self.bindings.watch() {
            for change in changes {
                watch.changes(&change.key, change.before.as_ref(), change.after.as_ref());
            }
        }
    }
}
