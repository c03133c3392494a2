//! What goes from function to function, and how a function ends.

use std::fmt;

use bytes::Bytes;
use serde_json::Value;

use crate::pipeline::{Form, Record};

/// The data that a function gets and passes on.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum AppData {
    /// A checked event.
    Event(Value),
    /// A request to add an event, as `WrapIntoEvent` makes it.
    AddEventRequest(Value),
    /// A checked metric.
    Metric(Value),
    /// Another JSON document. Functions get it as bytes.
    Json(Value),
    /// Bytes or text.
    Bytes(Bytes),
}

/// How a function ends.
///
/// | EdgeX | here |
/// |---|---|
/// | `return true, value` | `Outcome::Continue(value)` |
/// | `return true, nil` | `Outcome::Pass` |
/// | `return false, nil` | `Outcome::Stop` |
/// | `return false, err` | `Outcome::fail(err)` |
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// The next function gets this data.
    Continue(AppData),
    /// The next function gets what this one got.
    Pass,
    /// The pipeline is done. This is a success.
    Stop,
    /// The function failed. With retry data ([`AppContext::set_retry_data`](super::AppContext::set_retry_data)) it gets that data again later; otherwise
    /// the record becomes a dead letter, `stage_error`.
    Fail(String),
}

impl Outcome {
    /// The next function gets this data.
    pub fn next(data: impl Into<AppData>) -> Self {
        Self::Continue(data.into())
    }

    /// The function failed with this error.
    pub fn fail(error: impl fmt::Display) -> Self {
        Self::Fail(error.to_string())
    }
}

impl AppData {
    /// The payload of `record`, or why it is none.
    pub(super) fn of(record: &mut Record) -> Result<Self, String> {
        let make = match record.form() {
            Form::Bytes => return Ok(Self::Bytes(record.payload())),
            Form::Event => Self::Event,
            Form::AddEventRequest => Self::AddEventRequest,
            Form::Metric => Self::Metric,
        };
        let document = record.document().map_err(|err| err.to_string())?;
        Ok(make(document.clone()))
    }

    /// Makes it the payload of `record`.
    pub(super) fn put(self, record: &mut Record) {
        match self {
            Self::Event(document) => record.set_object(Form::Event, document),
            Self::AddEventRequest(document) => record.set_object(Form::AddEventRequest, document),
            Self::Metric(document) => record.set_object(Form::Metric, document),
            Self::Json(document) => record.set_document(document),
            Self::Bytes(bytes) => {
                let content_type = record.content_type().to_owned();
                record.set_payload(bytes, content_type);
            }
        }
    }

    /// The event, if it is one.
    pub const fn as_event(&self) -> Option<&Value> {
        match self {
            Self::Event(event) => Some(event),
            _ => None,
        }
    }

    /// The data as bytes: text and bytes as they are, documents as JSON.
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Event(document)
            | Self::AddEventRequest(document)
            | Self::Metric(document)
            | Self::Json(document) => document.to_string().into(),
        }
    }
}

/// Shows what it is and how long it is, never the data.
impl fmt::Debug for AppData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Event(_) => "Event",
            Self::AddEventRequest(_) => "AddEventRequest",
            Self::Metric(_) => "Metric",
            Self::Json(_) => "Json",
            Self::Bytes(_) => "Bytes",
        };
        write!(f, "{kind}({} bytes)", self.to_bytes().len())
    }
}

impl From<Bytes> for AppData {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<u8>> for AppData {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<String> for AppData {
    fn from(text: String) -> Self {
        Self::Bytes(text.into())
    }
}

impl From<&'static str> for AppData {
    fn from(text: &'static str) -> Self {
        Self::Bytes(Bytes::from_static(text.as_bytes()))
    }
}
