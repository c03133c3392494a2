//! Where messages come from. An ingress opens first, so that what is wrong with it stops the start, and runs then.

pub(super) mod http;
pub(super) mod playground;

use std::fmt;
use std::net::SocketAddr;

use async_trait::async_trait;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::error::StartError;
use super::intake::Intake;

/// A source of messages that was read from a module.
#[async_trait]
pub(crate) trait Ingress: fmt::Debug + Send {
    /// Opens what the ingress listens on.
    async fn open(self: Box<Self>) -> Result<Box<dyn OpenIngress>, StartError>;
}

/// An ingress that is ready to take messages.
#[async_trait]
pub(crate) trait OpenIngress: fmt::Debug + Send {
    /// What it is, and where it listens.
    fn listening(&self) -> Listener;

    /// Takes messages until `stop` turns true, and finishes those in flight.
    async fn run(self: Box<Self>, intake: Intake, stop: watch::Receiver<bool>);
}

/// Something that listens on an address.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listener {
    /// What it is, such as `http ingress`.
    pub name: String,
    /// Where it listens; the port is the real one, also when 0 was asked for.
    pub address: SocketAddr,
}

/// Opens a listening socket.
pub(crate) async fn listen(
    name: &str,
    address: &str,
) -> Result<(TcpListener, Listener), StartError> {
    let failed = |source| StartError::Listen {
        name: name.to_owned(),
        address: address.to_owned(),
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((
        listener,
        Listener {
            name: name.to_owned(),
            address,
        },
    ))
}

/// Ready when `stop` is true, or its sender is gone.
pub(crate) async fn stopped(mut stop: watch::Receiver<bool>) {
    // A sender that is gone means that the runtime is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}
