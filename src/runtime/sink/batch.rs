//! The batches of a sink.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    /// Records that the sink delivers beyond the batch.
    kept: Mutex<HashSet<MessageId>>,
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
            kept: Mutex::default(),
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
        set_aside(&self.egress, *id, record, why, &self.outbox).await;
    }

    /// Shows operators what delays the delivery of the batch, such as a target system that does not answer, while the sink goes on trying. It is
    /// shown until the batch is delivered. Other failures are errors of [`deliver`](super::Sink::deliver).
    pub fn struggles(&self, failure: &str) {
        self.outbox.condition().struggles(failure);
    }

    /// Takes the record at `index` out of the batch, so that it does not delay the records after it: the sink goes on delivering it while it gets
    /// further batches, and has to keep the order with later records itself. `None` after the last record, and if it was taken before. Only for sinks without
    /// a [position](super::Sink::position), because the position after later records would cover it.
    pub fn keep(&self, index: usize) -> Option<KeptRecord> {
        let (id, record) = (*self.ids.get(index)?, self.records.get(index)?);
        if !self.kept().insert(id) {
            return None;
        }
        self.outbox.keeps();
        Some(KeptRecord {
            egress: self.egress.clone(),
            record: record.clone(),
            settler: Settler {
                id,
                outbox: self.outbox.clone(),
            },
        })
    }

    /// Whether the sink has taken the record out of the batch.
    pub(super) fn keeps(&self, id: MessageId) -> bool {
        self.kept().contains(&id)
    }

    fn kept(&self) -> MutexGuard<'_, HashSet<MessageId>> {
        // Single ids are added: a panic leaves none half written.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
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

/// A record that a sink delivers beyond its batch. If it is dropped, the record is delivered again after the next start.
#[derive(Debug)]
#[must_use = "a record that is not settled comes again after the next start"]
pub struct KeptRecord {
    egress: TypeName,
    record: EgressRecord,
    settler: Settler,
}

impl KeptRecord {
    /// The record.
    pub const fn record(&self) -> &EgressRecord {
        &self.record
    }

    /// Settles the record, which has been delivered.
    pub fn settle(self) {
        let outbox = self.settler.outbox.clone();
        self.settler.settle();
        outbox.keeps_no_longer();
    }

    /// Sets the record aside, as [`SinkBatch::set_aside`] does, and settles it.
    pub async fn set_aside(self, why: &str) {
        let Settler { id, outbox } = &self.settler;
        set_aside(&self.egress, *id, &self.record, why, outbox).await;
        self.settle();
    }

    /// Shows operators what delays the record, until no record is kept.
    pub fn struggles(&self, failure: &str) {
        self.settler.outbox.condition().struggles(failure);
    }
}

/// Sets a record aside; ready when that is on disk.
async fn set_aside(
    egress: &TypeName,
    id: MessageId,
    record: &EgressRecord,
    why: &str,
    outbox: &Outbox,
) {
    let refused = SetAside {
        why: why.to_owned(),
        value_type_name: record.value_type_name.clone(),
        value: record.value.clone(),
    };
    // A batch that fails is delivered again, with the records that it has set aside.
    if outbox.set_aside(id, &refused).await {
        let id = &record.id;
        error!(%egress, %id, why, "a record is set aside: its target system refuses it");
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
