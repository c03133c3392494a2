//! Where messages come from: the contract of a source, what it brings, and the task that runs it. Systems are in `connectors`.

mod batch;
mod driver;
mod inlet;

use std::fmt;

use async_trait::async_trait;

pub use self::batch::{Batch, SourceRecord};
pub(super) use self::driver::drive;
pub use self::inlet::{Inlet, Receipt};

use super::error::StartError;
use super::http_listeners::HttpListeners;
use super::listener::Listener;
use crate::sdk::BoxError;

/// A source of messages: a log that is read, a broker that pushes, a server that takes requests.
///
/// A source *brings* what it has to its [`Inlet`]. `bring` waits while the runtime has no room, which is all a source has to know
/// of back-pressure. It comes back when records and positions are staged as one list: whatever is killed from there on, the records
/// take effect exactly once if and only if the positions are stored. The [`Receipt`] that it gives is ready when they are on disk;
/// only then may the far side be told to forget them.
///
/// What the runtime promises:
/// - `open` is called once, before anything runs; its error stops the start.
/// - `run` is called after it, and again whenever it returned an error, with growing waits. Each time the positions are those
///   that were stored last, so `run` begins with [`Inlet::positions`] and takes up its work behind them.
/// - Records of one `bring` reach one address in their order, and those of a later `bring` behind them.
/// - When the runtime stops, `run` is dropped where it waits, unless [`ends_by_itself`](Self::ends_by_itself).
///
/// What a source keeps:
/// - It may be dropped at every `.await`, and may be killed at any instruction: nothing but its positions survives.
/// - A position says where to go on when everything brought with it is done: never more, or records are lost.
/// - Positions of a split only go with records of that split, in their order. Splits are independent of each other.
/// - No task that it has started outlives `run`. What an earlier run's inlet brings is refused.
/// - What the far side may give twice although it was acknowledged, or again after a crash, is recognised by its position.
///
/// `docs/connectors.md` thinks the contract through for Kafka, Kinesis, files, MQTT and Redis.
#[async_trait]
pub trait Source: fmt::Debug + Send + 'static {
    /// Opens what has to be there before the runtime starts, such as a socket; tells where it listens, if it does. Listeners of
    /// the runtime share `listeners`.
    async fn open(&mut self, listeners: &HttpListeners) -> Result<Option<Listener>, StartError> {
        let _ = listeners;
        Ok(None)
    }

    /// Brings what there is until it ends. `Ok`: there will never be more. An error is shown to operators, and `run` is called again.
    async fn run(&mut self, inlet: &Inlet) -> Result<(), BoxError>;

    /// Whether `run` ends soon after [`Inlet::stopped`], having answered who waits for it. Default false: it is dropped then.
    fn ends_by_itself(&self) -> bool {
        false
    }
}
