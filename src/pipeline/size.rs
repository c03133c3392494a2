//! The largest size of what a stage makes. More could not be stored: it exceeds the limit of what one answer may write.

use std::cell::Cell;

use serde_json::Value;

use super::record::{Body, Record};
use crate::delivery::engine::Failure;

/// The largest record that a stage may make: the default limit of an answer (64 MiB), less room for names and the history of a delivery.
pub(crate) const MAX_BYTES: usize = 60 << 20;

/// What a value takes in memory beside its text, roughly.
const NODE_BYTES: usize = 8;

/// The most bytes of JSON that one byte of weight becomes: an escaped control character.
const JSON_PER_WEIGHT: usize = 6;

/// A stage makes more than a record may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the stage makes a record of more than {} MiB, which is too large to store; the record is kept as it was before the stage",
    MAX_BYTES >> 20
)]
pub(crate) struct TooLarge;

impl From<TooLarge> for Failure {
    fn from(error: TooLarge) -> Self {
        Self::permanent("too_large", error.to_string())
    }
}

/// The memory that values take while a rule is computed.
#[derive(Debug, Default)]
pub(crate) struct Budget(Cell<usize>);

impl Budget {
    pub(crate) fn used(&self) -> usize {
        self.0.get()
    }

    /// Takes `bytes`, before they are allocated.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), TooLarge> {
        let used = self.used().saturating_add(bytes);
        self.0.set(used);
        if used > MAX_BYTES {
            return Err(TooLarge);
        }
        Ok(())
    }

    /// Gives back all that was taken since `used`, except `bytes`.
    pub(crate) fn keep(&self, used: usize, bytes: usize) {
        self.0.set(used.saturating_add(bytes));
    }
}

/// What the value takes in memory, roughly.
pub(crate) fn weight(value: &Value) -> usize {
    NODE_BYTES
        + match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(weight).sum(),
            Value::Object(map) => {
                let field = |(key, value): (&String, &Value)| key.len() + weight(value);
                map.iter().map(field).sum()
            }
        }
}

/// Whether the record takes more than `most` bytes, stored.
pub(crate) fn is_above(record: &Record, most: usize) -> bool {
    let values = record.values().iter();
    let values: usize = values.map(|(key, value)| key.len() + value.len()).sum();
    let payload = match record.body() {
        Body::Bytes(bytes) | Body::Both(bytes, _) => bytes.len(),
        Body::Json(document) => match weight(document).saturating_mul(JSON_PER_WEIGHT) {
            enough if values.saturating_add(enough) <= most => return false,
            _ => record.payload().len(),
        },
    };
    let response = record.response().map_or(0, bytes::Bytes::len);
    values + payload + response > most
}
