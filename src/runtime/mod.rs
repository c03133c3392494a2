//! The embedded durable runtime: plays the StateFun side of the protocol in one process.
//!
//! `core` decides, and everything else here is a thin driver around it. Feature `testing` opens the core alone.

#[doc(hidden)]
pub mod core;
#[cfg(feature = "runtime")]
pub mod module;
#[cfg(feature = "runtime")]
pub mod samples;
