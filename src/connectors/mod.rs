//! Sources and sinks, a folder per system: `ingress` where messages come from, `egress` where records go, `config` the settings. A
//! connector knows its system and the traits of the runtime, and no other connector: `Source` and `Sink`, and `Examine`, by which it says what it finds in
//! its documents, and asks its system for `statefun check --connect`. `runtime::assemble` builds them from documents of a module.

pub(crate) mod file;
pub(crate) mod http;
#[cfg(feature = "kafka")]
pub(crate) mod kafka;
#[cfg(feature = "kinesis")]
pub(crate) mod kinesis;
mod line;
#[cfg(feature = "mqtt")]
pub(crate) mod mqtt;
pub(crate) mod playground;
#[cfg(feature = "redis")]
pub(crate) mod redis;
pub(crate) mod stdout;
