//! The embedded durable runtime: the StateFun side of the protocol in one process.
//!
//! `core` decides, and everything else here is a thin driver around it: `partition` drives a core, `commit` makes rounds durable,
//! `endpoint` calls functions, `source` and `sink` are the traits of the connectors, and `assemble` builds a runtime from a module. Parts above a
//! running runtime, such as the admin API, use its `handle`. Feature `testing` makes the core public.

#[cfg(feature = "runtime")]
mod acknowledgements;
#[cfg(feature = "runtime")]
pub(crate) mod assemble;
#[cfg(feature = "runtime")]
pub(crate) mod bearer;
#[cfg(feature = "runtime")]
mod binding;
#[cfg(feature = "runtime")]
mod builder;
#[cfg(feature = "runtime")]
mod callers;
#[cfg(feature = "runtime")]
mod commit;
#[cfg(feature = "runtime")]
pub(crate) mod condition;
#[cfg(feature = "runtime")]
mod config;
#[doc(hidden)]
pub mod core;
#[cfg(feature = "runtime")]
pub(crate) mod egress;
#[cfg(feature = "runtime")]
pub(crate) mod endpoint;
#[cfg(feature = "runtime")]
mod entrance;
#[cfg(feature = "runtime")]
mod environment;
#[cfg(feature = "runtime")]
mod error;
#[cfg(feature = "runtime")]
pub(crate) mod exchange;
#[cfg(feature = "runtime")]
mod fatal_failure;
#[cfg(feature = "runtime")]
pub(crate) mod function_set;
#[cfg(feature = "runtime")]
pub(crate) mod gone;
#[cfg(feature = "runtime")]
pub(crate) mod handle;
#[cfg(feature = "runtime")]
pub(crate) mod http_listeners;
#[cfg(feature = "runtime")]
pub(crate) mod intake;
#[cfg(feature = "runtime")]
pub(crate) mod listener;
#[cfg(feature = "runtime")]
mod numbers;
#[cfg(feature = "runtime")]
mod opened;
#[cfg(feature = "runtime")]
pub(crate) mod partition;
#[cfg(feature = "runtime")]
mod parts;
#[cfg(feature = "runtime")]
pub(crate) mod request;
#[cfg(feature = "runtime")]
pub(crate) mod respond;
#[cfg(feature = "runtime")]
mod router;
#[cfg(feature = "runtime")]
mod running;
#[cfg(feature = "runtime")]
pub mod samples;
#[cfg(feature = "runtime")]
pub(crate) mod service;
#[cfg(feature = "runtime")]
pub(crate) mod sink;
#[cfg(feature = "runtime")]
pub(crate) mod source;
#[cfg(feature = "runtime")]
mod startup_scan;
#[cfg(feature = "runtime")]
mod stopping;
#[cfg(feature = "runtime")]
mod systems;
#[cfg(feature = "runtime")]
mod told;
#[cfg(feature = "runtime")]
pub(crate) mod values;
#[cfg(feature = "runtime")]
mod waits;

#[cfg(feature = "runtime")]
pub use crate::module::{InvalidToken, Token};

pub use self::core::{AnswerLimits, Failure, FailurePolicy, OnError};
#[cfg(feature = "runtime")]
pub(crate) use self::source::NotBrought;
#[cfg(feature = "runtime")]
pub(crate) use self::systems::Examine;
#[cfg(feature = "runtime")]
pub use self::{
    assemble::{ask_systems, connector_findings},
    builder::RuntimeBuilder,
    commit::StoreStatus,
    config::RuntimeConfig,
    endpoint::TlsFindings,
    environment::Environment,
    error::StartError,
    fatal_failure::ApplicationFailure,
    http_listeners::HttpListeners,
    intake::IntakeError,
    listener::Listener,
    running::Runtime,
    sink::{EgressRecord, KeptRecord, Settler, Sink, SinkBatch, SinkPosition},
    source::{Batch, Inlet, Receipt, Source, SourceRecord},
    systems::{Asking, ConnectorFindings, SystemAnswer, Verdict},
};
/// Storage types in the settings and errors of a runtime.
#[cfg(feature = "runtime")]
#[doc(inline)]
pub use crate::storage::{Disk, DiskFile, Folder, LogSettings, StorageError};
