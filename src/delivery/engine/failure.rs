use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::head::INTERRUPTED;
use super::{Class, Classes, FailureKind, Policy, retry_after};
use crate::time::Timestamp;

/// No longer message is kept; foreign text can be of any length.
const MAX_MESSAGE_CHARS: usize = 500;

/// The failure of an attempt, as reported by a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Failure {
    /// What another attempt promises.
    pub class: Class,
    /// A short stable name, such as `timeout` or `http_503`.
    pub code: String,
    /// What happened, for people. Cut at 500 characters when it is recorded.
    pub message: String,
    /// What else is known.
    #[serde(default, skip_serializing_if = "Detail::is_empty")]
    pub detail: Detail,
    /// The target asked for this wait; a policy may follow it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::time::span::serde_option"
    )]
    pub retry_after: Option<Duration>,
    /// The target demands to give up at once. Needs a message.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub discard: bool,
}

impl Failure {
    /// A failure of that class.
    pub fn new(class: Class, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            class,
            code: code.into(),
            message: message.into(),
            detail: Detail::default(),
            retry_after: None,
            discard: false,
        }
    }

    /// A failure after which another attempt may succeed.
    pub fn retry(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Class::Retry, code, message)
    }

    /// A failure after which no attempt can succeed. The codes `too_large`, `decode`, `stage_gone`, `damaged`, `stage_error` and
    /// `no_persist` become the reason for giving up; for all others it is `permanent`.
    pub fn permanent(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Class::Permanent, code, message)
    }

    /// The failure of an HTTP answer; `None` for 2xx. The code is `http_<status>`.
    pub fn of_status(classes: Classes, status: u16, message: impl Into<String>) -> Option<Self> {
        let mut failure = Self::new(
            classes.of_status(status)?,
            format!("http_{status}"),
            message,
        );
        failure.detail.status_code = Some(status);
        Some(failure)
    }

    /// The failure of an HTTP answer under `policy`, which may have classes of its own for some statuses; `None` for 2xx.
    pub fn of_answer(policy: &Policy, status: u16, message: impl Into<String>) -> Option<Self> {
        let class = policy.class_of(status)?;
        let failure = Self::of_status(policy.classes, status, message)?;
        Some(Self { class, ..failure })
    }

    /// The failure of an attempt that got no HTTP answer, or could not be made. The code is the kind's name.
    pub fn of_kind(classes: Classes, kind: FailureKind, message: impl Into<String>) -> Self {
        Self::new(classes.of_kind(kind), kind.as_str(), message)
    }

    /// The same, with the wait that the target asked for: the value of a `Retry-After` header, if it can be read.
    #[must_use]
    pub fn with_retry_after(mut self, header: &str, now: Timestamp) -> Self {
        self.retry_after = retry_after(header, now);
        self
    }

    /// The same, with the demand to give up at once.
    #[must_use]
    pub fn with_discard(mut self) -> Self {
        self.discard = true;
        self
    }

    pub(super) fn timeout() -> Self {
        Self::retry("timeout", "no answer before the deadline")
    }

    pub(super) fn no_outcome() -> Self {
        Self::retry(
            "no_outcome",
            "the attempt ended without an answer for this delivery",
        )
    }

    pub(super) fn interrupted() -> Self {
        Self::retry(INTERRUPTED, "the process that made the attempt is gone")
    }

    pub(super) fn into_error(self) -> AttemptError {
        let mut message = self.message;
        if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE_CHARS) {
            message.truncate(end);
        }
        AttemptError {
            code: self.code,
            message,
            detail: self.detail,
        }
    }
}

/// An error in a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AttemptError {
    /// The failure's code.
    pub code: String,
    /// The failure's message, at most 500 characters.
    pub message: String,
    /// What else was known.
    #[serde(flatten)]
    pub detail: Detail,
}

impl AttemptError {
    #[cfg(feature = "pipeline")]
    pub(crate) const fn new(code: String, message: String, detail: Detail) -> Self {
        Self {
            code,
            message,
            detail,
        }
    }
}

impl fmt::Display for AttemptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// Details of a failure, in addition to its code and message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// The HTTP status answered.
    #[serde(
        default,
        rename = "status_code",
        alias = "statusCode",
        skip_serializing_if = "Option::is_none"
    )]
    pub status_code: Option<u16>,
    /// What the target found wrong with the data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validations: Vec<Validation>,
    /// Further details from the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<Value>,
}

impl Detail {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One thing wrong with the data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validation {
    /// What is wrong.
    pub message: String,
    /// Where: the keys from the outermost to the innermost.
    #[serde(default)]
    pub path: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_written_with_its_code_and_status() {
        let failure = Failure::of_status(Classes::Default, 422, "no such user").unwrap();
        let error = failure.into_error();
        assert_eq!(
            serde_json::to_value(&error).unwrap(),
            serde_json::json!({"code": "http_422", "message": "no such user", "status_code": 422})
        );
        let long = Failure::retry("x", "é".repeat(900)).into_error();
        assert_eq!(long.message.chars().count(), MAX_MESSAGE_CHARS);
    }
}
