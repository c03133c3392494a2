//! Messages to the pipelines of a service, and what the pipelines answer.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;
use serde_json::Value;
use uuid::Uuid;

use super::functions::{Unresolved, applied};
use crate::pipeline::{RECORD, REFUSAL, Record, STORED};
use crate::protocol::reqreply::TypedValue;
use crate::runtime::intake::{AddressKey, Incoming};
use crate::runtime::values;
use crate::sdk::TypeName;

/// The context of a message before it is in a pipeline: EdgeX's `BuildContext`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageContext {
    correlation_id: String,
    content_type: String,
    values: BTreeMap<String, String>,
}

impl MessageContext {
    /// A context with a correlation id and the content type of the data.
    pub fn new(correlation_id: impl Into<String>, content_type: impl Into<String>) -> Self {
        Self {
            correlation_id: correlation_id.into(),
            content_type: content_type.into(),
            values: BTreeMap::new(),
        }
    }

    /// Adds a value, whose key has no case.
    #[must_use]
    pub fn with_value(mut self, key: &str, value: impl Into<String>) -> Self {
        self.values.insert(key.to_lowercase(), value.into());
        self
    }

    /// The correlation id.
    pub fn correlation_id(&self) -> &str {
        &self.correlation_id
    }

    /// The content type of the data.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Replaces each `{key}` in `format` by its value.
    ///
    /// # Errors
    /// If one has no value.
    pub fn apply_values(&self, format: &str) -> Result<String, Unresolved> {
        applied(format, |key| {
            self.values.get(&key.to_lowercase()).map(String::as_str)
        })
    }

    pub(super) const fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }
}

/// What a pipeline answers to a caller.
pub(super) enum Answered {
    /// Done, or stopped: the response, which may be empty.
    Response { content_type: String, data: Bytes },
    /// The data is kept for another attempt, as the delivery with this id.
    Stored { id: String },
    /// The data was refused, or a function has failed.
    Refused { status: u16, text: String },
    /// It cannot be read.
    Unreadable,
}

impl Answered {
    /// What the encoded `TypedValue` says.
    pub(super) fn of(value: Bytes) -> Self {
        let Ok(TypedValue {
            typename, value, ..
        }) = values::read(value)
        else {
            return Self::Unreadable;
        };
        let document = || serde_json::from_slice::<Value>(&value).unwrap_or_default();
        match typename.as_str() {
            REFUSAL => {
                let refusal = document();
                let status = refusal.get("statusCode").and_then(Value::as_u64);
                let status = status.and_then(|status| u16::try_from(status).ok());
                let text = refusal.get("message").and_then(Value::as_str);
                Self::Refused {
                    status: status.unwrap_or(422),
                    text: text.unwrap_or("the pipeline has failed").to_owned(),
                }
            }
            STORED => {
                let stored = document();
                let id = stored.get("id").and_then(Value::as_str);
                Self::Stored {
                    id: id.unwrap_or_default().to_owned(),
                }
            }
            _ => Self::Response {
                content_type: typename,
                data: value,
            },
        }
    }
}

/// The message to a pipeline. Each has an address of its own, so none waits for another.
pub(super) fn incoming(entry: &TypeName, record: &Record) -> Result<Incoming, String> {
    let value = RECORD.encode(record).map_err(|err| err.to_string())?;
    let value = TypedValue {
        typename: RECORD.name().to_string(),
        has_value: true,
        value,
    };
    let id = Uuid::new_v4().to_string();
    Ok(Incoming {
        target: AddressKey::new(entry.namespace(), entry.name(), &id),
        argument: value.encode_to_vec().into(),
        key: None,
    })
}
