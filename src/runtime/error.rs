//! Why a runtime does not start.

use std::io;

use crate::sdk::TypeName;
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
    /// An egress can't be opened.
    #[error("egress {egress} can't be opened")]
    Egress {
        /// Its name.
        egress: TypeName,
        /// Why not.
        #[source]
        source: crate::sdk::BoxError,
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
