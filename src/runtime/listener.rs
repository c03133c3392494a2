//! Names and addresses of listeners, and the stop signal, for sources and sinks.

use std::net::SocketAddr;

use tokio::sync::watch;

/// Something that listens on an address.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listener {
    /// Its name, such as `http ingress`.
    pub name: String,
    /// Its address, with the actual port even if 0 was requested.
    pub address: SocketAddr,
}

impl Listener {
    /// What listens, and where.
    pub fn new(name: impl Into<String>, address: SocketAddr) -> Self {
        Self {
            name: name.into(),
            address,
        }
    }
}

/// Ready when `stop` is true, or its sender is gone.
pub(crate) async fn stopped(mut stop: watch::Receiver<bool>) {
    // If the sender is gone, so is the runtime.
    let _ = stop.wait_for(|stop| *stop).await;
}
