//! HTTP: the handler as a server, and the client that calls remote endpoints. Bytes in, bytes out.
//! Names `crate::handler`; the client names nothing of ours.

#[cfg(feature = "http-client")]
pub mod client;

mod body;
#[cfg(feature = "http")]
mod connection;
mod encoding;
#[cfg(feature = "http")]
mod listener;
#[cfg(feature = "http")]
pub(crate) mod server;
#[cfg(feature = "http")]
mod service;

#[cfg(feature = "http")]
pub use self::listener::Listener;
#[cfg(feature = "runtime")]
pub(crate) use self::server::serve_connections;
#[cfg(feature = "http")]
pub use self::server::{Serve, ServerLimits, serve};
#[cfg(feature = "http")]
pub use self::service::{HandlerService, ReplyBody};
