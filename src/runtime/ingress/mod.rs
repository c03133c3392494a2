//! Where messages come from. An ingress opens first, so that what is wrong with it stops the start, and runs then.

pub(super) mod http;
pub(crate) mod playground;

use std::fmt;

use async_trait::async_trait;
use tokio::sync::watch;

use super::door::Doors;
use super::error::StartError;
use super::intake::Intake;
use super::listener::Listener;

/// A source of messages that was read from a module.
#[async_trait]
pub(crate) trait Ingress: fmt::Debug + Send {
    /// The size of the largest request body that it takes.
    fn largest_body(&self) -> usize {
        0
    }

    /// Opens what the ingress listens on.
    async fn open(self: Box<Self>, doors: &Doors) -> Result<Box<dyn OpenIngress>, StartError>;
}

/// An ingress that is ready to take messages.
#[async_trait]
pub(crate) trait OpenIngress: fmt::Debug + Send {
    /// What it is, and where it listens.
    fn listening(&self) -> Listener;

    /// Takes messages until `stop` turns true, and finishes those in flight.
    async fn run(self: Box<Self>, intake: Intake, stop: watch::Receiver<bool>);
}
