//! Pipelines as functions: stages, batches, exports with store and forward, order, waking, commands.

mod batches;
#[cfg(feature = "runtime")]
mod changes;
#[cfg(feature = "edgex")]
pub(crate) mod edgex;
#[cfg(feature = "cli")]
mod edgex_service;
#[cfg(feature = "cli")]
mod entrance;
#[cfg(feature = "runtime")]
mod everywhere;
mod exports;
mod flow;
mod kills;
#[cfg(feature = "runtime")]
mod links;
mod order;
mod reach;
#[cfg(feature = "runtime")]
mod runtime;
#[cfg(feature = "edgex")]
mod store_and_forward;
pub(crate) mod town;
mod waking;
