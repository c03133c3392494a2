//! What listens and stands above the runtime, such as the admin API: no source, as it also looks and repairs.

use std::fmt;

use async_trait::async_trait;
use tokio::sync::watch;

use super::error::StartError;
use super::handle::RuntimeHandle;
use super::http_listeners::HttpListeners;
use super::listener::Listener;

/// Something that listens and sees the runtime through its handle.
#[async_trait]
pub(crate) trait Service: fmt::Debug + Send {
    /// Opens what it listens on; an error stops the start.
    async fn open(&mut self, listeners: &HttpListeners) -> Result<Listener, StartError>;

    /// Answers requests until `stop` turns true, and finishes those in flight.
    async fn run(self: Box<Self>, runtime: RuntimeHandle, stop: watch::Receiver<bool>);
}
