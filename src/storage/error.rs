//! Errors of storage.

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
    /// A file of the folder is damaged in a way that no crash causes. Nothing was changed.
    #[error("{file} is damaged at byte {offset}: {fault}; {remedy}")]
    Damaged {
        /// The file.
        file: String,
        /// The start of the damage.
        offset: u64,
        /// The fault.
        fault: String,
        /// What the operator can do.
        remedy: &'static str,
    },
    /// The tables are damaged, which no crash causes.
    #[error("{file} is damaged: {fault}; {remedy}")]
    DamagedTables {
        /// The file.
        file: String,
        /// The fault.
        fault: String,
        /// What the operator can do.
        remedy: &'static str,
    },
    /// One row of the tables differs from what was written, or was looked for in a page that does. Other rows are not affected.
    #[error(
        "{file} is damaged: row `{}` of {table:?} is changed or lost; restore a backup of the whole folder, or delete the value",
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
        /// The missing part.
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
    /// An operation of the file system failed.
    #[error("cannot {action}")]
    Io {
        /// The operation, with the name of the file.
        action: String,
        /// The error of the file system.
        #[source]
        source: io::Error,
    },
    /// The tables (the part of the store that a checkpoint writes) cannot be opened, read or written.
    #[error("cannot {action} the tables")]
    Tables {
        /// The operation.
        action: &'static str,
        /// The error of the table engine.
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

/// A key as one short line, with readable names and ids.
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
    /// A row whose bytes are intact, but invalid for its owner.
    #[cfg(any(feature = "runtime", feature = "testing"))]
    pub(crate) fn senseless(table: Table, key: &[u8]) -> Self {
        Self::DamagedRow {
            file: "the data folder".to_owned(),
            table,
            key: Bytes::copy_from_slice(key),
        }
    }

    /// Whether the error concerns only one row, so that others can still be read.
    pub const fn is_of_one_row(&self) -> bool {
        matches!(self, Self::DamagedRow { .. })
    }
}

#[cfg(feature = "embedded")]
impl StorageError {
    /// Whether the disk was full.
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

/// Why a round did not become durable. Nothing staged is lost.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The disk is full. No part of the round is on it, and all of it is kept: sync again later.
    #[error("the disk is full; will retry")]
    Full(#[source] io::Error),
    /// The store has closed: it is unknown what reached the disk, and nothing more is written.
    #[error("storage is closed: {reason}; restart to recover")]
    Closed {
        /// What happened.
        reason: Arc<str>,
    },
}
