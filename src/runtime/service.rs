//! Listeners above the runtime, such as the admin API. They are not sources, because they also inspect and repair.

use std::fmt;

use async_trait::async_trait;
use tokio::sync::watch;

use super::error::StartError;
use super::handle::RuntimeHandle;
use super::http_listeners::HttpListeners;
use super::listener::Listener;

/// A listener that accesses the runtime through its handle.
#[async_trait]
pub(crate) trait Service: fmt::Debug + Send {
    /// Opens its listener; an error stops the start.
    async fn open(&mut self, listeners: &HttpListeners) -> Result<Listener, StartError>;

    /// Answers requests until `stop` becomes true, then finishes those in flight.
    async fn run(self: Box<Self>, runtime: RuntimeHandle, stop: watch::Receiver<bool>);
}
