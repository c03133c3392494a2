//! The embedded durable runtime: plays the StateFun side of the protocol in one process.

#[cfg(feature = "runtime")]
pub mod module;
