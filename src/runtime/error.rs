//! Why a runtime does not start.

use std::io;

use crate::sdk::BoxError;
use crate::storage::StorageError;

/// Why a runtime does not start. Nothing is left running then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data folder cannot be used.
    #[error("the data folder can't be used")]
    Storage(#[from] StorageError),
    /// A listener cannot be opened.
    #[error("the {name} cannot listen on {address}")]
    Listen {
        /// The name of the listener.
        name: String,
        /// Its address.
        address: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A resource of a source or a sink cannot be opened.
    #[error("{what} can't be opened")]
    Connector {
        /// The resource, such as `file out.jsonl`.
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
    /// A declared part cannot be built.
    #[error("{what}")]
    Declared {
        /// The location and the fault.
        what: String,
    },
    /// The system cannot start a thread.
    #[error("a thread can't be started")]
    Thread(#[source] io::Error),
}

impl StartError {
    /// A resource of a source or a sink cannot be opened: `what` it is, and why.
    pub fn connector(what: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Connector {
            what: what.into(),
            source: source.into(),
        }
    }
}
