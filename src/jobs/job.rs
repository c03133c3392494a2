//! A job, as its target sees it, and as it is kept: a record whose values say where it comes from.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::event::Event;
use crate::delivery::engine::Delivery;
use crate::pipeline::Record;
use crate::sdk::{Type, types};
use crate::time::{Timestamp, calendar};

/// The type of a job, as a function gets it that is the target of a destination.
pub const JOB: Type<Job> = types::json("statefun.jobs/job");

/// The values of a job's record. They can be used as placeholders.
pub(super) mod values {
    pub(in crate::jobs) const DESTINATION: &str = "job.destination";
    pub(in crate::jobs) const ACTION: &str = "job.action";
    pub(in crate::jobs) const EVENT: &str = "job.event";
    pub(in crate::jobs) const EVENT_ID: &str = "job.event_id";
    pub(in crate::jobs) const SOURCE: &str = "job.source";
    pub(in crate::jobs) const VERSION: &str = "job.version";
    pub(in crate::jobs) const CONTEXT: &str = "job.context";
    pub(in crate::jobs) const RECEIVED_AT: &str = "job.received_at";
    pub(in crate::jobs) const PARENT: &str = "job.parent_job_id";
    /// How a submission says its order key and its first due time, in milliseconds.
    pub(in crate::jobs) const KEY: &str = "job.key";
    pub(in crate::jobs) const DUE: &str = "job.due";
    /// Why a job that followed another cannot be delivered.
    pub(in crate::jobs) const FAULT: &str = "job.fault";
}

/// One attempt of a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Job {
    /// The id of the job, the same in all attempts.
    pub id: String,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// The name of the destination.
    pub destination: String,
    /// The action: the name of the event, or `*`.
    pub action: String,
    /// The name of the event.
    pub event: String,
    /// The id of the event.
    pub event_id: String,
    /// Where the event comes from.
    #[serde(default)]
    pub source: String,
    /// The version of the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The job that this one followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_job_id: Option<String>,
    /// The order key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The context of the event.
    #[serde(default)]
    pub context: Option<Box<RawValue>>,
    /// The data, if it is JSON.
    #[serde(default)]
    pub data: Option<Box<RawValue>>,
    /// The data, if it is not JSON: base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
}

impl Job {
    /// The next attempt of a delivery.
    pub(super) fn next(record: &Record, delivery: &Delivery) -> Self {
        let text = |name: &str| record.value(name).unwrap_or_default().to_owned();
        let option = |name: &str| record.value(name).map(str::to_owned);
        let (data, data_base64) = json_or_base64(&record.payload());
        Self {
            id: delivery.id.clone(),
            attempt: delivery.attempt + 1,
            destination: text(values::DESTINATION),
            action: text(values::ACTION),
            event: text(values::EVENT),
            event_id: text(values::EVENT_ID),
            source: text(values::SOURCE),
            version: option(values::VERSION),
            parent_job_id: option(values::PARENT),
            key: delivery.key.clone(),
            context: record.value(values::CONTEXT).and_then(raw),
            data,
            data_base64,
        }
    }

    /// The data as bytes.
    pub fn payload(&self) -> Bytes {
        let encoded = self.data_base64.as_ref();
        match (
            &self.data,
            encoded.and_then(|text| STANDARD.decode(text).ok()),
        ) {
            (Some(data), _) => Bytes::copy_from_slice(data.get().as_bytes()),
            (None, Some(bytes)) => bytes.into(),
            (None, None) => Bytes::new(),
        }
    }

    /// The data as a value of type `T`.
    ///
    /// # Errors
    /// If it is not JSON, or of another type.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.payload())
    }
}

/// The record that a job of `event` delivers.
pub(super) fn record(
    event: &Event,
    (payload, is_json): &(Bytes, bool),
    destination: &str,
    action: &str,
) -> Record {
    let content_type = match is_json {
        true => "application/json",
        false => "application/octet-stream",
    };
    let mut record = Record::new(payload.clone()).with_content_type(content_type);
    record.set_received_at(event.received_at);
    let mut set = |name: &str, value: &str| {
        if !value.is_empty() {
            record.set_value(name, value);
        }
    };
    set(values::DESTINATION, destination);
    set(values::ACTION, action);
    set(values::EVENT, &event.name);
    set(values::EVENT_ID, &event.id);
    set(values::SOURCE, &event.source);
    set(
        values::VERSION,
        event.version.as_deref().unwrap_or_default(),
    );
    let context = event.context.as_ref().map(|context| context.get());
    set(values::CONTEXT, context.unwrap_or_default());
    set(values::RECEIVED_AT, &calendar::rfc3339(event.received_at));
    record
}

/// Says in a submission which key and due time the job has.
pub(super) fn submit_with(record: &mut Record, key: Option<String>, due: Option<Timestamp>) {
    if let Some(key) = key {
        record.set_value(values::KEY, key);
    }
    if let Some(due) = due {
        record.set_value(values::DUE, due.as_millis().to_string());
    }
}

/// The key and the due time of a submission.
pub(super) fn submitted_with(record: &Record) -> (Option<String>, Option<Timestamp>) {
    let due = record.value(values::DUE).and_then(|due| due.parse().ok());
    let key = record.value(values::KEY).map(str::to_owned);
    (key, due.map(Timestamp::from_millis))
}

/// The event and the data of a job, for the admin API.
#[cfg(feature = "runtime")]
#[derive(Debug, Serialize)]
pub(crate) struct Described {
    #[serde(flatten)]
    texts: std::collections::BTreeMap<&'static str, String>,
    context: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

#[cfg(feature = "runtime")]
pub(crate) fn described(record: &Record) -> Described {
    let named = [
        ("event", values::EVENT),
        ("event_id", values::EVENT_ID),
        ("source", values::SOURCE),
        ("version", values::VERSION),
        ("received_at", values::RECEIVED_AT),
        ("parent_job_id", values::PARENT),
    ];
    let texts = named
        .into_iter()
        .filter_map(|(name, value)| Some((name, record.value(value)?.to_owned())));
    let (data, data_base64) = json_or_base64(&record.payload());
    Described {
        texts: texts.collect(),
        context: record.value(values::CONTEXT).and_then(raw),
        data,
        data_base64,
    }
}

/// JSON as it was written; `None` if it is not JSON.
fn raw(text: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(text.to_owned()).ok()
}

/// The payload as JSON if it is that, else as base64.
fn json_or_base64(payload: &[u8]) -> (Option<Box<RawValue>>, Option<String>) {
    let data = str::from_utf8(payload).ok().and_then(raw);
    let data_base64 = data.is_none().then(|| STANDARD.encode(payload));
    (data, data_base64)
}
