//! Where records leave the runtime: the contract of a sink, what it is given, and the task that brings the records of an outbox to
//! it. Systems are in `connectors`.

mod batch;
mod driver;
mod lives;
mod position;

use std::fmt;

use async_trait::async_trait;

pub use self::batch::{EgressRecord, Settler, SinkBatch};
pub(super) use self::driver::drive;
pub(super) use self::lives::Lives;
pub use self::position::SinkPosition;

use super::error::StartError;
use super::http_listeners::HttpListeners;
use super::listener::Listener;
use crate::sdk::BoxError;

/// Takes the records of an egress out of the runtime.
///
/// What the runtime promises:
/// - `open` is called once, before anything is delivered; its error stops the start.
/// - Records come only when they are on disk, a batch at a time, and those that one function sent come in its order. A batch holds
///   at least one record.
/// - A batch whose delivery failed comes again, for ever, with growing waits; nothing else comes before it.
/// - A record has the same [`id`](EgressRecord::id) at every attempt, also after a crash. Ids ascend within a partition of the
///   runtime, and only there.
///
/// What a sink keeps:
/// - `Ok` means that the far side has every record of the batch, and will have it after a crash of its own.
/// - An error says nothing: some of the batch may have arrived.
/// - `deliver` may be dropped at every `.await`.
///
/// That alone makes a sink *at least once*: after a crash, records that had arrived come once more. A far side that drops
/// repetitions by their ids needs no more than that. A sink is *exactly once* when it also implements [`position`](Self::position):
/// in the transaction that takes a batch it stores [`SinkBatch::position`] on the far side, and `position` reads back what is
/// stored there. It is asked before the first delivery and after each that failed, and what it covers is not delivered again.
#[async_trait]
pub trait Sink: fmt::Debug + Send + Sync + 'static {
    /// Opens what has to be there before the runtime starts, such as a file; tells where it listens, if records are fetched from it.
    /// Listeners of the runtime share `listeners`.
    async fn open(&mut self, listeners: &HttpListeners) -> Result<Option<Listener>, StartError> {
        let _ = listeners;
        Ok(None)
    }

    /// The position that the far side has stored; [`SinkPosition::default`] when it has none yet. `None`: it stores none, ever.
    async fn position(&self) -> Result<Option<SinkPosition>, BoxError> {
        Ok(None)
    }

    /// Delivers all records of `batch`, in their order.
    async fn deliver(&self, batch: &SinkBatch) -> Result<(), BoxError>;

    /// Whether `Ok` of [`deliver`](Self::deliver) only means that the sink has the records in hand, and settles each by
    /// [`SinkBatch::settler`] when it is gone. Default false.
    fn settles_itself(&self) -> bool {
        false
    }

    /// Records that a batch has at most. Default 256.
    fn max_batch(&self) -> usize {
        256
    }

    /// What goes on beside deliveries, such as a server that records are fetched from, until `stop` turns true.
    async fn serve(&self, stop: tokio::sync::watch::Receiver<bool>) {
        super::listener::stopped(stop).await;
    }
}
