//! What can go wrong between rows and a disk.

use std::io;
use std::sync::Arc;

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

#[cfg(feature = "embedded")]
impl StorageError {
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
