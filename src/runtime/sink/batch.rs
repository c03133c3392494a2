//! The batches of a sink.

use bytes::Bytes;
use prost::Message as _;
use tracing::{error, warn};

use super::SinkPosition;
use crate::protocol::reqreply::TypedValue;
use crate::runtime::core::MessageId;
use crate::runtime::egress::{Outbox, OutboxRecord, SetAside};
use crate::sdk::TypeName;

/// A record that leaves the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EgressRecord {
    /// The id of the record: the same at every attempt, even after a crash, so that the target can drop duplicates.
    pub id: String,
    /// The typename of the value, such as `io.statefun.types/string`.
    pub value_type_name: String,
    /// The encoded value.
    pub value: Bytes,
}

/// Records in the order of their outbox.
#[derive(Debug)]
pub struct SinkBatch {
    egress: TypeName,
    records: Vec<EgressRecord>,
    ids: Vec<MessageId>,
    position: SinkPosition,
    outbox: Outbox,
}

impl SinkBatch {
    pub(super) fn new(
        egress: &TypeName,
        records: &[OutboxRecord],
        position: SinkPosition,
        outbox: &Outbox,
    ) -> Self {
        Self {
            egress: egress.clone(),
            ids: records.iter().map(|record| record.id).collect(),
            records: records
                .iter()
                .map(|record| readable(egress, record))
                .collect(),
            position,
            outbox: outbox.clone(),
        }
    }

    /// The egress whose records they are.
    pub const fn egress(&self) -> &TypeName {
        &self.egress
    }

    /// The records; at least one.
    pub fn records(&self) -> &[EgressRecord] {
        &self.records
    }

    /// The position after these records: once they have arrived, all records up to it have.
    pub const fn position(&self) -> &SinkPosition {
        &self.position
    }

    /// Sets the record at `index` aside, because the target system will never accept it: it counts as delivered, and `why` and its
    /// bytes are kept for operators. Ready when they are on disk; only then may later records be delivered.
    pub async fn set_aside(&self, index: usize, why: &str) {
        let (Some(id), Some(record)) = (self.ids.get(index), self.records.get(index)) else {
            return;
        };
        let (egress, id_text) = (&self.egress, &record.id);
        let refused = SetAside {
            why: why.to_owned(),
            value_type_name: record.value_type_name.clone(),
            value: record.value.clone(),
        };
        // A batch that fails is delivered again, with the records that it has set aside.
        if self.outbox.set_aside(*id, &refused).await {
            error!(%egress, id = %id_text, why, "a record is set aside: its target system refuses it");
        }
    }

    /// Shows operators what delays the delivery of the batch, such as a target system that does not answer, while the sink goes on trying. It is
    /// shown until the batch is delivered. Other failures are errors of [`deliver`](super::Sink::deliver).
    pub fn struggles(&self, failure: &str) {
        let condition = self.outbox.condition();
        let attempts = condition.failing().map_or(1, |failing| failing.attempts);
        condition.fails(attempts, failure.to_owned());
    }

    /// The settler of the record at `index`; `None` after the last one.
    pub fn settler(&self, index: usize) -> Option<Settler> {
        Some(Settler {
            id: *self.ids.get(index)?,
            outbox: self.outbox.clone(),
        })
    }
}

/// Settles one record of a sink that [settles itself](super::Sink::settles_itself). If it is dropped, the record is delivered again
/// after the next start.
#[derive(Debug)]
#[must_use = "a record that is not settled comes again after the next start"]
pub struct Settler {
    id: MessageId,
    outbox: Outbox,
}

impl Settler {
    /// Settles the record, which has been delivered.
    pub fn settle(self) {
        self.outbox.settle(&[self.id]);
    }
}

/// Bytes that are not a `TypedValue` are delivered unchanged.
fn readable(egress: &TypeName, record: &OutboxRecord) -> EgressRecord {
    let id = format!("{}-{}", record.id.boot, record.id.number);
    let decoded = TypedValue::decode(record.value.clone()).unwrap_or_else(|failure| {
        warn!(%egress, %id, %failure, "the record is not a TypedValue; it goes out as it is");
        TypedValue {
            typename: String::new(),
            has_value: true,
            value: record.value.clone(),
        }
    });
    EgressRecord {
        id,
        value_type_name: decoded.typename,
        value: decoded.value,
    }
}
