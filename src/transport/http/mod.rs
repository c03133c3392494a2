//! HTTP: the handler as a server, and the client that calls remote endpoints. Bytes in, bytes out.
//! Imports `crate::handler`; the client imports only `random`.

#[cfg(feature = "http-client")]
pub mod client;

mod body;
#[cfg(feature = "http")]
mod connection;
#[cfg(feature = "http")]
mod connection_slots;
#[cfg(feature = "http")]
mod descriptors;
mod encoding;
#[cfg(feature = "http")]
mod guarded;
#[cfg(feature = "http")]
pub(crate) mod head;
#[cfg(feature = "http")]
mod listener;
#[cfg(feature = "http")]
mod memory;
#[cfg(feature = "http")]
mod request_body;
#[cfg(feature = "http")]
mod seldom;
#[cfg(feature = "http")]
pub(crate) mod server;
#[cfg(feature = "http")]
mod service;
#[cfg(feature = "cli")]
mod trial;
#[cfg(feature = "http")]
mod wordless;

#[cfg(feature = "http")]
pub use self::listener::Listener;
#[cfg(feature = "http")]
#[doc(hidden)]
pub use self::server::Answers;
#[cfg(feature = "http")]
pub use self::server::{Serve, ServerLimits, serve};
#[cfg(feature = "http")]
pub use self::service::{HandlerService, ReplyBody};
/// For the binary.
#[cfg(feature = "cli")]
#[doc(hidden)]
pub use self::trial::TrialServer;
#[cfg(feature = "runtime")]
pub(crate) use self::{
    connection_slots::ConnectionSlots,
    encoding::Encoding,
    memory::BodyMemory,
    request_body::{BodyFault, BodyLimits, BodyReader, TooSlow},
    server::serve_connections,
};
