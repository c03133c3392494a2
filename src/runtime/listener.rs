//! What listens on an address, and the signal to stop: below sources and sinks, which both use them.

use std::net::SocketAddr;

use tokio::sync::watch;

/// Something that listens on an address.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listener {
    /// What it is, such as `http ingress`.
    pub name: String,
    /// Where it listens; the port is the real one, also when 0 was asked for.
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
    // A sender that is gone means that the runtime is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}
