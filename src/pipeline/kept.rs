//! Reads the stored records of stages from outside: lists of deliveries, their histories, dead letters.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::record::Record;
use super::wire;
use crate::delivery::engine::{Delivery, DeliveryState};
use crate::delivery::owner::{HEAD, Item, JOB, LOG, Row};
use crate::delivery::{DeadLetter, Payload};
use crate::sdk::BoxError;

/// A stored record of a stage, read from the values at its address.
///
/// ```
/// use stateful_functions::pipeline::Kept;
///
/// // The values to look up at an address of a stage, in the order in which `Kept::read` takes them.
/// assert_eq!(Kept::VALUES, ["head", "log", "job"]);
/// ```
#[derive(Debug)]
pub struct Kept {
    item: Item,
    unit: Option<wire::Kept>,
    /// Why the record of the delivery cannot be read.
    fault: Option<String>,
}

impl Kept {
    /// The names of the values at the address of a stored record. The first always exists; earlier versions wrote all three, and the
    /// bytes of large records are in the third.
    pub const VALUES: [&'static str; 3] = ["head", "log", "job"];

    /// Reads the bytes of these values. `job` is needed only for [`Kept::details`] and [`Kept::dead_letter`]; an unreadable one
    /// does not hide the delivery.
    ///
    /// # Errors
    /// If the bytes are something else.
    pub fn read(head: &[u8], log: Option<&[u8]>, job: Option<&[u8]>) -> Result<Self, BoxError> {
        let (item, unit) = match HEAD.value_type().decode(head)? {
            Row::Stored(stored) => (stored.item, stored.unit),
            Row::Old(old) => {
                let log = log.map(|log| LOG.value_type().decode(log)).transpose()?;
                (old.into_item(log.unwrap_or_default()), None)
            }
        };
        let unit = match (unit, job) {
            (Some(unit), _) => Some(Ok(unit)),
            (None, Some(job)) => Some(JOB.value_type().decode(job)),
            (None, None) => None,
        };
        let mut kept = Self {
            item,
            unit: None,
            fault: None,
        };
        if let Some(unit) = unit {
            let read = unit.map_err(BoxError::from);
            match read.and_then(|unit| wire::Kept::read(&unit)) {
                Ok(unit) => kept.unit = Some(unit),
                Err(err) => kept.fault = Some(err.to_string()),
            }
        }
        Ok(kept)
    }

    /// Whether the first value was written by an earlier version, so that the history is in the second.
    pub fn is_old(head: &[u8]) -> bool {
        head.starts_with(b"{")
    }

    /// The delivery.
    pub const fn delivery(&self) -> &Delivery {
        &self.item.delivery
    }

    /// The bytes of its payload, or about that.
    #[cfg(feature = "runtime")]
    pub(crate) fn unit_bytes(&self) -> u64 {
        let payload = self.unit.as_ref().map(|unit| unit.record.payload().len());
        self.item.unit_bytes.max(payload.unwrap_or(0) as u64)
    }

    /// One line of a list: target, state, reason, attempts, times and the last error.
    pub fn summary(&self) -> Value {
        Value::Object(self.summary_fields())
    }

    fn summary_fields(&self) -> Map<String, Value> {
        let delivery = &self.item.delivery;
        let stored = serde_json::to_value(delivery).unwrap_or_default();
        let fields = [
            "id",
            "target",
            "key",
            "state",
            "reason",
            "attempt",
            "spent",
            "seq",
            "due",
            "submitted_at",
            "last_at",
        ];
        let mut summary = Map::new();
        for field in fields {
            if let Some(value) = stored.get(field) {
                summary.insert(field.to_owned(), value.clone());
            }
        }
        // After a success the errors before it are in the history only.
        let has_succeeded = delivery.state == Some(DeliveryState::Succeeded);
        let error = self.item.history.last_error();
        if let Some(error) = error.filter(|_| !has_succeeded) {
            summary.insert("error".to_owned(), json!(error));
        }
        summary
    }

    /// Every step, oldest first; of a long history the middle is folded.
    pub fn transitions(&self) -> Value {
        json!(self.item.history)
    }

    /// The summary, with the pipeline, the stage, the destination, the size and kind of the payload, and the steps.
    pub fn details(&self) -> Value {
        let mut details = self.summary_fields();
        let mut tell = |field: &str, value: Value| _ = details.insert(field.to_owned(), value);
        if let Some(unit) = &self.unit {
            tell("pipeline", json!(unit.pipeline));
            tell("stage", json!(unit.stage));
            let known = Some(self.item.delivery.target.as_str());
            let destination = known.filter(|_| self.item.has_destination);
            tell("destination", json!(destination.unwrap_or_default()));
        }
        if let Some(record) = self.record() {
            tell("record", json!(record.id().to_string()));
            tell("content_type", json!(record.content_type()));
            tell("payload_bytes", json!(record.payload().len()));
            tell("values", json!(record.values()));
        }
        if let Some(fault) = &self.fault {
            tell(
                "damaged",
                json!(format!("its stored record cannot be read: {fault}")),
            );
        }
        tell("transitions", self.transitions());
        Value::Object(details)
    }

    /// The stored record; `None` if `job` was not read, or is unreadable.
    pub fn record(&self) -> Option<Record> {
        self.unit.as_ref().map(|unit| unit.record.clone())
    }

    /// The dead letter, with its bytes; `None` if the delivery still waits, or `job` was not read.
    pub fn dead_letter(&self) -> Option<DeadLetter> {
        let record = self.record();
        let payload = record.as_ref().map_or_else(Bytes::new, Record::payload);
        if self.unit.is_none() && self.fault.is_none() {
            return None;
        }
        let mut letter = DeadLetter::of(
            &self.item.delivery,
            &self.item.history,
            Payload::Bytes(payload),
        )?;
        if let Some(record) = record {
            letter.content_type = Some(record.content_type().to_owned());
            letter.values = record.values().clone();
        }
        Some(letter)
    }
}
