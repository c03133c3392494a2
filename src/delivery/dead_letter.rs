use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::engine::{AttemptError, Delivery, DeliveryState, History, Reason};
use crate::time::Timestamp;

/// A delivery that was given up, with everything needed to inspect it, retry it or move it elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The delivery's id.
    pub id: String,
    /// The target that it did not reach.
    pub target: String,
    /// Its order key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The bytes as they were submitted, or their range in the log.
    pub payload: Payload,
    /// The type of the bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Headers and values that belong to the bytes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
    /// Why it was given up.
    pub reason: Reason,
    /// Attempts made.
    pub attempts: u32,
    /// The first error since it was submitted or last requeued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_error: Option<AttemptError>,
    /// The last error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<AttemptError>,
    /// The actor who gave it up, if it was not the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The actor's reason, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When it was submitted or last requeued.
    #[serde(with = "crate::time::calendar::serde_time")]
    pub submitted_at: Timestamp,
    /// When it was given up.
    #[serde(with = "crate::time::calendar::serde_time")]
    pub given_up_at: Timestamp,
}

/// The bytes of a dead letter. In JSON `{"text": ...}` for UTF-8, else `{"base64": ...}`; `{"range": ...}` for a stream.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PayloadForm", into = "PayloadForm")]
#[non_exhaustive]
pub enum Payload {
    /// A job's bytes.
    Bytes(Bytes),
    /// A stream's records, from the first position to the last.
    Range {
        /// The first record.
        first: String,
        /// The last record.
        last: String,
    },
}

impl DeadLetter {
    /// The dead letter of a delivery that has been given up; `None` for others.
    pub fn of(delivery: &Delivery, history: &History, payload: Payload) -> Option<Self> {
        if delivery.state != Some(DeliveryState::Discarded) {
            return None;
        }
        let given_up = history.last()?;
        Some(Self {
            id: delivery.id.clone(),
            target: delivery.target.clone(),
            key: delivery.key.clone(),
            payload,
            content_type: None,
            values: BTreeMap::new(),
            reason: delivery.reason?,
            attempts: delivery.attempt,
            first_error: history.first_error().cloned(),
            last_error: history.last_error().cloned(),
            actor: given_up.actor.clone(),
            note: given_up.note.clone(),
            submitted_at: delivery.submitted_at?,
            given_up_at: given_up.created_at,
        })
    }
}

/// Shows sizes and positions, never the bytes.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Self::Range { first, last } => write!(f, "Range({first}..={last})"),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PayloadForm {
    Text(String),
    Base64(String),
    Range { first: String, last: String },
}

impl From<Payload> for PayloadForm {
    fn from(payload: Payload) -> Self {
        match payload {
            Payload::Bytes(bytes) => match String::from_utf8(bytes.into()) {
                Ok(text) => Self::Text(text),
                Err(other) => Self::Base64(STANDARD.encode(other.as_bytes())),
            },
            Payload::Range { first, last } => Self::Range { first, last },
        }
    }
}

impl TryFrom<PayloadForm> for Payload {
    type Error = base64::DecodeError;

    fn try_from(form: PayloadForm) -> Result<Self, base64::DecodeError> {
        Ok(match form {
            PayloadForm::Text(text) => Self::Bytes(text.into()),
            PayloadForm::Base64(text) => Self::Bytes(STANDARD.decode(text)?.into()),
            PayloadForm::Range { first, last } => Self::Range { first, last },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::engine::{Failure, Input, Outcome, Policy, step};
    use super::*;

    fn given_up() -> (Delivery, History) {
        let policy = Policy::default().max_retries(1);
        let mut delivery = Delivery::job("job-1", "crm", None);
        let (mut history, mut out) = (History::default(), Vec::new());
        let failed = |n, code: &str| Input::Outcome {
            epoch: 0,
            n,
            outcome: Outcome::Err(Failure::retry(code, "down")),
        };
        let due = Input::Due {
            epoch: 0,
            n: 2,
            arm: 1,
        };
        let inputs = [
            Input::Submit { due: None },
            failed(1, "connect"),
            due,
            failed(2, "dns"),
        ];
        for (input, millis) in inputs.into_iter().zip([1000, 2000, 9000, 9500]) {
            let now = Timestamp::from_millis(millis);
            step(&mut delivery, input, now, &policy, &mut out).unwrap();
        }
        history.record(&out).unwrap();
        (delivery, history)
    }

    #[test]
    fn it_tells_what_was_given_up_and_why() {
        let (delivery, history) = given_up();
        let letter = DeadLetter::of(&delivery, &history, Payload::Bytes("{}".into())).unwrap();
        assert_eq!(
            serde_json::to_value(&letter).unwrap(),
            serde_json::json!({
                "id": "job-1",
                "target": "crm",
                "payload": {"text": "{}"},
                "reason": "exhausted",
                "attempts": 2,
                "first_error": {"code": "connect", "message": "down"},
                "last_error": {"code": "dns", "message": "down"},
                "submitted_at": "1970-01-01T00:00:01.000Z",
                "given_up_at": "1970-01-01T00:00:09.500Z",
            })
        );
        let waiting = Delivery::job("job-2", "crm", None);
        assert_eq!(DeadLetter::of(&waiting, &history, letter.payload), None);
    }

    #[test]
    fn any_bytes_come_back_from_json_and_stay_out_of_debug_texts() {
        for bytes in [&b"plain"[..], b"", b"\xff\x00", "\u{e9}".as_bytes()] {
            let payload = Payload::Bytes(Bytes::copy_from_slice(bytes));
            let json = serde_json::to_string(&payload).unwrap();
            assert_eq!(serde_json::from_str::<Payload>(&json).unwrap(), payload);
        }
        let payload = Payload::Bytes("secret".into());
        assert_eq!(format!("{payload:?}"), "Bytes(6 bytes)");
    }
}
