//! Sinks: their contract, the batches that they get, and the task that delivers the records of an outbox. The implementations
//! are in `connectors`.

mod batch;
mod driver;
mod lives;
mod position;

use std::fmt;

use async_trait::async_trait;

pub use self::batch::{EgressRecord, KeptRecord, Settler, SinkBatch};
pub(super) use self::driver::drive;
pub(super) use self::lives::Lives;
pub use self::position::SinkPosition;

use super::error::StartError;
use super::http_listeners::HttpListeners;
use super::listener::Listener;
use crate::sdk::BoxError;

/// Delivers the records of an egress to a target system.
///
/// The runtime guarantees:
/// - `open` is called once, before anything is delivered. Its error stops the start.
/// - Records are delivered only once they are on disk, a batch at a time; those of one function are in order. A batch has
///   at least one record.
/// - A batch whose delivery failed is delivered again, without end, with growing waits; nothing else is delivered before it. Records that the sink has
///   [kept](SinkBatch::keep) are no longer part of it.
/// - A record has the same [`id`](EgressRecord::id) at every attempt, even after a crash. Ids ascend within a partition of the
///   runtime, and only there.
///
/// The sink guarantees:
/// - `Ok` means that the target system has every record of the batch, and will have it after a crash of its own; except those that the sink has
///   [kept](SinkBatch::keep), which it settles itself.
/// - After an error, some records of the batch may have arrived.
/// - `deliver` may be dropped at every `.await`.
///
/// This makes a sink *at least once*: after a crash, records that had arrived are delivered again. A target system that drops
/// duplicates by their ids needs no more. A sink is *exactly once* if it also implements [`position`](Self::position):
/// it stores [`SinkBatch::position`] in the target system, in the transaction of the batch, and `position` reads it back.
/// `position` is called before the first delivery and after each failed one, and records that it covers are not delivered again.
#[async_trait]
pub trait Sink: fmt::Debug + Send + Sync + 'static {
    /// Opens whatever must exist before the runtime starts, such as a file. Returns the listener, if records are fetched from the sink.
    /// Listeners of the runtime share `listeners`.
    async fn open(&mut self, listeners: &HttpListeners) -> Result<Option<Listener>, StartError> {
        let _ = listeners;
        Ok(None)
    }

    /// The position stored in the target system; [`SinkPosition::default`] if it has none yet; `None` if it never stores one.
    async fn position(&self) -> Result<Option<SinkPosition>, BoxError> {
        Ok(None)
    }

    /// Delivers all records of `batch`, in order.
    async fn deliver(&self, batch: &SinkBatch) -> Result<(), BoxError>;

    /// Whether `Ok` of [`deliver`](Self::deliver) only means that the sink holds the records, and settles each with
    /// [`SinkBatch::settler`] when it has been fetched. Default false.
    fn settles_itself(&self) -> bool {
        false
    }

    /// Maximum records of a batch. Default 256.
    fn max_batch(&self) -> usize {
        256
    }

    /// Runs beside the deliveries until `stop` becomes true, for example as a server from which records are fetched.
    async fn serve(&self, stop: tokio::sync::watch::Receiver<bool>) {
        super::listener::stopped(stop).await;
    }
}
