//! Sources: their contract, their batches, and the task that runs them. The implementations are in `connectors`.

mod batch;
mod driver;
mod inlet;

use std::fmt;

use async_trait::async_trait;

pub(crate) use self::batch::NotBrought;
pub use self::batch::{Batch, SourceRecord};
pub(super) use self::driver::drive;
pub use self::inlet::{Inlet, Receipt};

use super::error::StartError;
use super::http_listeners::HttpListeners;
use super::listener::Listener;
use crate::sdk::BoxError;

/// A source of messages: a log that is read, a broker that pushes, a server that accepts requests.
///
/// A source *brings* its records to its [`Inlet`]. `bring` waits while the runtime has no room, which is all that a source needs to know
/// about back-pressure. It returns when records and positions are staged as one list: whatever is killed afterwards, the records
/// take effect exactly once if the positions are stored, and not at all otherwise. The [`Receipt`] is ready when they are on disk;
/// only then may they be acknowledged to the system that is read.
///
/// The runtime guarantees:
/// - `open` is called once, before anything runs. Its error stops the start.
/// - Then `run` is called, and again whenever it returns an error, with growing waits. `run` begins with [`Inlet::positions`], which are
///   those stored last, and continues after them.
/// - Records of one `bring` reach an address in order, and before those of a later `bring`.
/// - When the runtime stops, `run` is dropped while it waits, unless [`ends_by_itself`](Self::ends_by_itself).
///
/// The source guarantees:
/// - It can be dropped at every `.await` and killed at any instruction: only its positions survive.
/// - A position says where to continue after everything brought together with it, and never further, or records are lost.
/// - Positions of a split come with records of that split, in order. Splits are independent of each other.
/// - No task that it has started outlives `run`. The inlet of an earlier run refuses batches.
/// - Records that the system delivers again, although they were acknowledged or after a crash, are recognised by their position.
///
/// `docs/connectors.md` applies the contract to Kafka, Kinesis, files, MQTT and Redis.
#[async_trait]
pub trait Source: fmt::Debug + Send + 'static {
    /// Opens whatever must exist before the runtime starts, such as a socket. Returns its listener, if it has one. Listeners of
    /// the runtime share `listeners`.
    async fn open(&mut self, listeners: &HttpListeners) -> Result<Option<Listener>, StartError> {
        let _ = listeners;
        Ok(None)
    }

    /// Brings records until there are no more. `Ok` means that there will never be more. An error is shown to operators, and `run` is called again.
    async fn run(&mut self, inlet: &Inlet) -> Result<(), BoxError>;

    /// Whether `run` ends by itself soon after [`Inlet::stopped`], once it has answered its waiting callers. Default false: it is dropped then.
    fn ends_by_itself(&self) -> bool {
        false
    }
}
