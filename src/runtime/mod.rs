//! The embedded durable runtime: plays the StateFun side of the protocol in one process.
//!
//! `core` decides, and everything else here is a thin driver around it: `partition` drives a core, `commit` makes rounds durable,
//! `endpoint` calls functions, `ingress` and `egress` are the edges, `module` reads module files and puts the parts together.
//! Feature `testing` opens the core alone.

#[cfg(feature = "runtime")]
mod admin;
#[cfg(feature = "runtime")]
mod bearer;
#[cfg(feature = "runtime")]
mod builder;
#[cfg(feature = "runtime")]
mod commit;
#[cfg(feature = "runtime")]
mod config;
#[doc(hidden)]
pub mod core;
#[cfg(feature = "runtime")]
mod egress;
#[cfg(feature = "runtime")]
mod endpoint;
#[cfg(feature = "runtime")]
mod error;
#[cfg(feature = "runtime")]
mod fate;
#[cfg(feature = "runtime")]
mod gateways;
#[cfg(feature = "runtime")]
mod ingress;
#[cfg(feature = "runtime")]
mod intake;
#[cfg(feature = "runtime")]
pub mod module;
#[cfg(feature = "runtime")]
mod partition;
#[cfg(feature = "runtime")]
mod request;
#[cfg(feature = "runtime")]
mod respond;
#[cfg(feature = "runtime")]
mod running;
#[cfg(feature = "runtime")]
pub mod samples;
#[cfg(feature = "runtime")]
mod values;

pub use self::core::{Failure, FailurePolicy, OnError};
#[cfg(feature = "runtime")]
pub use self::{
    admin::AdminConfig,
    builder::RuntimeBuilder,
    commit::StoreStatus,
    config::RuntimeConfig,
    egress::{Egress, EgressRecord},
    endpoint::TlsFindings,
    error::StartError,
    fate::ApplicationFailure,
    ingress::Listener,
    intake::IntakeError,
    running::Runtime,
};
