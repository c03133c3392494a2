//! HTTP: the handler as a server, and the client that calls remote endpoints. Bytes in, bytes out; no decisions about them.
//! Names `crate::handler`; the client names nothing of ours.

#[cfg(feature = "http-client")]
pub mod client;

mod body;
mod encoding;
