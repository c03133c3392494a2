//! The starts of a data folder, each with a mark that no other start of any folder has.
//!
//! Starts are numbered, but a folder restored from a backup uses the same numbers again, and so does a new folder. A position stored by
//! a target is valid only where the marks are the same.

use std::collections::HashMap;
use std::sync::Arc;

use crate::runtime::core::keys::{META, after_prefix};
use crate::storage::{Rows as _, StorageError, Store, Write};

/// Prefix of the keys of the marks in [`META`], followed by the number of the start.
const PREFIX: &[u8] = b"life/";
/// Rows read at a time.
const PAGE: usize = 1_000;

/// The marks by the number of the start; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(in crate::runtime) struct Lives {
    boot: u32,
    marks: Arc<HashMap<u32, u64>>,
}

impl Lives {
    /// The marks of the folder, with `mark` for the current start.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(in crate::runtime) fn begin(store: &Store, mark: u64) -> Result<Self, StorageError> {
        let (mut lives, mut from) = (HashMap::new(), PREFIX.to_vec());
        let end = after_prefix(PREFIX);
        loop {
            let rows = store.scan(META, &from, end.as_deref(), PAGE)?;
            let full = rows.len() == PAGE;
            for (key, value) in rows {
                let boot = key.get(PREFIX.len()..).and_then(|key| key.try_into().ok());
                let mark = value[..].try_into().ok();
                let (Some(boot), Some(mark)) = (boot, mark) else {
                    return Err(StorageError::senseless(META, &key));
                };
                lives.insert(u32::from_be_bytes(boot), u64::from_be_bytes(mark));
                from = [&key[..], &[0]].concat();
            }
            if !full {
                break;
            }
        }
        let boot = u32::try_from(store.boot()).unwrap_or(u32::MAX);
        lives.insert(boot, mark);
        Ok(Self {
            boot,
            marks: Arc::new(lives),
        })
    }

    /// The write that stores the mark of the current start. It must be on disk before any target stores the mark.
    pub(super) fn mark(&self) -> Write {
        let key = [PREFIX, &self.boot.to_be_bytes()].concat();
        Write::put(META, key, self.of(self.boot).to_be_bytes().to_vec())
    }

    /// The mark of a start; 0 for one from before there were marks.
    pub(super) fn of(&self, boot: u32) -> u64 {
        self.marks.get(&boot).copied().unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn of_tests(marks: &[(u32, u64)]) -> Self {
        Self {
            boot: 0,
            marks: Arc::new(marks.iter().copied().collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Memory;

    #[test]
    fn every_start_keeps_its_mark() {
        let memory = Memory::default();
        let (store, mut syncer) = memory.open();
        let first = u32::try_from(store.boot()).unwrap();
        let lives = Lives::begin(&store, 7).unwrap();
        store.stage(vec![lives.mark()]);
        syncer.sync().unwrap();
        drop((store, syncer));
        let (store, _syncer) = memory.open();
        let lives = Lives::begin(&store, 8).unwrap();
        assert_eq!((lives.of(first), lives.of(first + 1)), (7, 8));
        assert_eq!(lives.of(99), 0);
    }
}
