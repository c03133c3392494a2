//! What can go wrong between rows and a disk.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::row::Table;

/// Why a store does not open, or a row cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The folder is in use, by another process or by another store of this one.
    #[error("data folder {folder} is in use by another process; stop it or choose another folder")]
    Locked {
        /// The folder.
        folder: String,
    },
    /// A file of the folder is damaged where no crash damages it; nothing was changed.
    #[error("{file} is damaged at byte {offset}: {fault}; {remedy}")]
    Damaged {
        /// The file.
        file: String,
        /// Where the damage starts.
        offset: u64,
        /// What is wrong there.
        fault: String,
        /// What the operator can do.
        remedy: &'static str,
    },
    /// The tables are damaged; no crash does that.
    #[error("{file} is damaged: {fault}; {remedy}")]
    DamagedTables {
        /// The file.
        file: String,
        /// What is wrong.
        fault: String,
        /// What the operator can do.
        remedy: &'static str,
    },
    /// One row of the tables is not what was written there. The others are not touched by it.
    #[error(
        "{file} is damaged: row `{}` of {table:?} is not what was written; restore a backup of the whole folder, or delete the value",
        shown(key)
    )]
    DamagedRow {
        /// The file.
        file: String,
        /// The table of the row.
        table: Table,
        /// Its key.
        key: Bytes,
    },
    /// A part of the folder is gone.
    #[error("data folder {folder} was used before, and {missing}; {remedy}")]
    Lost {
        /// The folder.
        folder: String,
        /// What is not there.
        missing: String,
        /// What the operator can do.
        remedy: &'static str,
    },
    /// A file was written by another version of this crate.
    #[error(
        "{file} has format {found}, this version reads {expected}; use the version that wrote it"
    )]
    Format {
        /// The file.
        file: String,
        /// The format it has.
        found: u32,
        /// The format that this version reads.
        expected: u32,
    },
    /// The file system refused something.
    #[error("cannot {action}")]
    Io {
        /// What was tried, with the name of the file.
        action: String,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// The tables (the part of the store that a checkpoint writes) cannot be opened, read or written.
    #[error("cannot {action} the tables")]
    Tables {
        /// What was tried.
        action: &'static str,
        /// What the tables' engine said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store has closed after a failed sync; the next start finds out what was written.
    #[error("storage is closed: {reason}; restart to recover")]
    Closed {
        /// What happened.
        reason: Arc<str>,
    },
}

/// A key in one short line: names and ids in it are readable.
fn shown(key: &[u8]) -> String {
    let text = key.escape_ascii().to_string();
    let short: String = text.chars().take(200).collect();
    if short.len() < text.len() {
        format!("{short}…")
    } else {
        short
    }
}

impl StorageError {
    /// A row whose bytes are what was written, and make no sense to whom they belong.
    #[cfg(any(feature = "runtime", feature = "testing"))]
    pub(crate) fn senseless(table: Table, key: &[u8]) -> Self {
        Self::DamagedRow {
            file: "the data folder".to_owned(),
            table,
            key: Bytes::copy_from_slice(key),
        }
    }

    /// Whether it is about one row only: what else is asked for may be answered.
    pub const fn is_of_one_row(&self) -> bool {
        matches!(self, Self::DamagedRow { .. })
    }
}

#[cfg(feature = "embedded")]
impl StorageError {
    /// Whether there was no room on the disk.
    pub(super) fn is_full(&self) -> bool {
        let source = std::error::Error::source(self);
        std::iter::successors(source, |err| err.source()).any(|err| {
            let io = err.downcast_ref::<io::Error>();
            let below = err.downcast_ref::<redb::Error>();
            match (io, below) {
                (Some(io), _) | (_, Some(redb::Error::Io(io))) => super::disk::is_full(io),
                _ => false,
            }
        })
    }

    pub(super) fn io(action: impl Into<String>, source: io::Error) -> Self {
        let action = action.into();
        Self::Io { action, source }
    }
}

/// Why a round did not become durable. Nothing staged is lost by it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// There is no room on the disk. Nothing of the round is on it, all of it is kept: sync again later.
    #[error("disk is full; will retry")]
    Full(#[source] io::Error),
    /// The store has closed: it is not known what reached the disk, and nothing more is written to it.
    #[error("storage is closed: {reason}; restart to recover")]
    Closed {
        /// What happened.
        reason: Arc<str>,
    },
}
