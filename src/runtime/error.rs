//! Why a runtime does not start.

use std::io;

use crate::sdk::BoxError;
use crate::storage::StorageError;

/// Why a runtime does not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data folder can't be used.
    #[error("the data folder can't be used")]
    Storage(#[from] StorageError),
    /// A listener can't be opened.
    #[error("{name} can't listen on {address}")]
    Listen {
        /// What was to listen.
        name: String,
        /// Where.
        address: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// What a source or a sink needs can't be opened.
    #[error("{what} can't be opened")]
    Connector {
        /// What it is, such as `file out.jsonl`.
        what: String,
        /// Why not.
        #[source]
        source: BoxError,
    },
    /// A name is bound twice.
    #[error("{what} is bound twice")]
    BoundTwice {
        /// What it is.
        what: String,
    },
    /// A declared part can't be built.
    #[error("{what}")]
    Declared {
        /// Where and what.
        what: String,
    },
    /// The system refuses a thread.
    #[error("a thread can't be started")]
    Thread(#[source] io::Error),
}

impl StartError {
    /// What a source or a sink needs can't be opened: `what` it is, and why.
    pub fn connector(what: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Connector {
            what: what.into(),
            source: source.into(),
        }
    }
}
