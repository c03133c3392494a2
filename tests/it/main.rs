//! The one integration binary, a module a topic.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed"
)]

#[cfg(feature = "http-client")]
mod client;
mod handler;
#[cfg(feature = "runtime")]
mod modules;
#[cfg(any(feature = "http", feature = "http-client"))]
mod support;
