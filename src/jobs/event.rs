//! Events, as they are submitted and as they are kept.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::plan::Refusal;
use crate::sdk::{Type, ValueSpec, types};
use crate::time::Timestamp;

/// The type of a submission, sent to `<namespace>/events`; the id of the address is that of the event, a [`JobId`](super::JobId). The
/// answer, an [`ACCEPTED`], goes to the caller, if there is one.
pub const NEW_EVENT: Type<NewEvent> = types::json("statefun.jobs/new_event");
/// The answer to a [`NEW_EVENT`].
pub const ACCEPTED: Type<Accepted> = types::json("statefun.jobs/accepted");
/// The value in which an event is kept at its address.
pub const EVENT: ValueSpec<Event> = ValueSpec::new("event", types::json("statefun.jobs/event"));

/// An event to submit.
///
/// ```
/// use stateful_functions::jobs::NewEvent;
///
/// let event: NewEvent = serde_json::from_str(r#"{"source": "shop", "name": "order.paid", "data": {"total": 12}}"#)?;
/// assert_eq!(event.name, "order.paid");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct NewEvent {
    /// Its id, a [`JobId`](super::JobId). The admin API makes one if there is none; at an address it can only be that of the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// What happened; actions are chosen by it. Also read as `trigger`.
    #[serde(alias = "trigger")]
    pub name: String,
    /// Anything about the event, kept with it and with its jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Box<RawValue>>,
    /// What is delivered: any JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
    /// What is delivered, if it is not JSON: bytes in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
    /// The version of its form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When the source sent it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::time::calendar::serde_option_time"
    )]
    pub sent_at: Option<Timestamp>,
    /// The names of destinations; empty for all that have an action for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    /// The order key of its jobs, instead of the one that a destination takes from the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// No job is attempted before this time.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::time::calendar::serde_option_time"
    )]
    pub due: Option<Timestamp>,
    /// An event with this id that exists already is answered as it was the first time, instead of being refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub idempotent: bool,
    /// Set by the receiver, whatever is written here.
    #[serde(default, skip_serializing)]
    #[expect(dead_code, reason = "accepted, and replaced")]
    received_at: IgnoredAny,
    /// The same.
    #[serde(default, skip_serializing)]
    #[expect(dead_code, reason = "accepted, and replaced")]
    ingested_at: IgnoredAny,
}

impl NewEvent {
    /// An event of this name from this source.
    pub fn new(source: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            name: name.into(),
            ..Self::default()
        }
    }

    /// With data as JSON.
    ///
    /// # Errors
    /// If the data has no JSON form.
    pub fn json<T: Serialize + ?Sized>(mut self, data: &T) -> Result<Self, serde_json::Error> {
        self.data = Some(serde_json::value::to_raw_value(data)?);
        Ok(self)
    }

    /// For these destinations only.
    #[must_use]
    pub fn targets<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.targets = names.into_iter().map(Into::into).collect();
        self
    }

    /// The event as it is kept.
    pub(super) fn received(self, id: &str, now: Timestamp) -> Event {
        Event {
            id: id.to_owned(),
            source: self.source,
            name: self.name,
            context: self.context,
            data: self.data,
            data_base64: self.data_base64,
            version: self.version,
            sent_at: self.sent_at,
            received_at: now,
            ingested_at: now,
            jobs: Vec::new(),
        }
    }
}

/// An event, and the jobs that it became.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// Its id, a [`JobId`](super::JobId).
    pub id: String,
    /// Where it comes from.
    #[serde(default)]
    pub source: String,
    /// What happened.
    pub name: String,
    /// Anything about it.
    #[serde(default)]
    pub context: Option<Box<RawValue>>,
    /// Its data, as JSON.
    #[serde(default)]
    pub data: Option<Box<RawValue>>,
    /// Its data, if it is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
    /// The version of its form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When the source sent it, if it said so.
    #[serde(default, with = "crate::time::calendar::serde_option_time")]
    pub sent_at: Option<Timestamp>,
    /// When it was received.
    #[serde(with = "crate::time::calendar::serde_time")]
    pub received_at: Timestamp,
    /// When it was stored.
    #[serde(with = "crate::time::calendar::serde_time")]
    pub ingested_at: Timestamp,
    /// Its jobs, in the order in which they were made; those that were removed since are missing.
    #[serde(default)]
    pub jobs: Vec<JobRef>,
}

/// A job of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobRef {
    /// Its id.
    pub id: String,
    /// The name of its destination.
    pub destination: String,
    /// The action: the name of the event, or `*`.
    pub action: String,
    /// The address of the job: `<namespace>/<type>/<id>`.
    pub address: String,
    /// The job that it followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_job_id: Option<String>,
}

impl Event {
    /// The bytes that its jobs deliver, and whether they are JSON. Without data they are `null`.
    pub(super) fn payload(&self) -> Result<(Bytes, bool), Refusal> {
        match (&self.data, &self.data_base64) {
            (Some(_), Some(_)) => Err(Refusal::invalid(
                "an event has `data` or `data_base64`, not both",
            )),
            (Some(data), None) => Ok((Bytes::copy_from_slice(data.get().as_bytes()), true)),
            (None, Some(text)) => match STANDARD.decode(text) {
                Ok(bytes) => Ok((bytes.into(), false)),
                Err(err) => Err(Refusal::invalid(format!(
                    "`data_base64` is not base64: {err}"
                ))),
            },
            (None, None) => Ok((Bytes::from_static(b"null"), true)),
        }
    }
}

/// The answer to a submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Accepted {
    /// The id of the event.
    pub id: String,
    /// Its jobs; empty if no destination has an action for it.
    #[serde(default)]
    pub jobs: Vec<JobRef>,
    /// Why nothing was stored; `None` if it was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refusal>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dl_12_the_receivers_times_replace_those_of_the_caller() {
        let text = r#"{"trigger": "paid", "received_at": "yesterday", "ingested_at": 7, "sent_at": "2026-01-02T03:04:05Z"}"#;
        let event: NewEvent = serde_json::from_str(text).unwrap();
        let event = event.received("id", Timestamp::from_millis(5));
        assert_eq!(event.received_at, Timestamp::from_millis(5));
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(json["sent_at"], "2026-01-02T03:04:05.000Z");
        let event: NewEvent = serde_json::from_str(r#"{"name": "paid"}"#).unwrap();
        let event = event.received("id", Timestamp::from_millis(5));
        assert!(serde_json::to_value(&event).unwrap()["sent_at"].is_null());
    }

    #[test]
    fn numbers_keep_all_their_digits() {
        let text = r#"{"name":"paid","data":{"n":9007199254740993.000000000000000001}}"#;
        let event: NewEvent = serde_json::from_str(text).unwrap();
        let event = event.received("id", Timestamp::from_millis(5));
        let (payload, is_json) = event.payload().unwrap();
        assert_eq!(
            &payload[..],
            br#"{"n":9007199254740993.000000000000000001}"#
        );
        assert!(is_json);
        let stored = EVENT.value_type().encode(&event).unwrap();
        let read = EVENT.value_type().decode(&stored).unwrap();
        assert_eq!(read.payload().unwrap().0, payload);
    }
}
