use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::head::INTERRUPTED;
use crate::calendar;
use crate::timestamp::Timestamp;

/// No longer message is kept; foreign text can be of any length.
const MAX_MESSAGE_CHARS: usize = 500;

/// How an attempt failed, as a target tells it.
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
        with = "crate::duration::serde_option"
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

    /// A failure that another attempt may mend.
    pub fn retry(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Class::Retry, code, message)
    }

    /// A failure that no attempt can mend. The codes `too_large`, `decode`, `stage_gone`, `damaged`, `stage_error` and
    /// `no_persist` become the reason for giving up; for all others it is `permanent`.
    pub fn permanent(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Class::Permanent, code, message)
    }

    /// The failure told by an HTTP answer; `None` for 2xx, which is none. The code is `http_<status>`.
    pub fn of_status(classes: Classes, status: u16, message: impl Into<String>) -> Option<Self> {
        let mut failure = Self::new(
            classes.of_status(status)?,
            format!("http_{status}"),
            message,
        );
        failure.detail.status_code = Some(status);
        Some(failure)
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

/// What another attempt promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// It may succeed.
    Retry,
    /// It may succeed, but hardly soon: the wait is the policy's longest.
    Slow,
    /// It cannot succeed.
    Permanent,
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

impl fmt::Display for AttemptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// What is known of a failure besides its code and message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// The HTTP status answered.
    #[serde(
        default,
        rename = "statusCode",
        skip_serializing_if = "Option::is_none"
    )]
    pub status_code: Option<u16>,
    /// What the target found wrong with the data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validations: Vec<Validation>,
    /// Whatever else the target told.
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

/// Why an attempt got no answer, or could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// No connection, or it broke.
    Connect,
    /// The host's name has no address.
    Dns,
    /// TLS was not agreed.
    Tls,
    /// No answer in time.
    Timeout,
    /// The payload is over the limit.
    TooLarge,
    /// The data cannot be brought into the target's form.
    Encode,
}

impl FailureKind {
    /// The kind's name, used as a failure's code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::Encode => "encode",
        }
    }
}

/// The table that sorts failures into classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Classes {
    /// Every failure is tried again.
    Off,
    /// Retry: no connection, no name, no TLS, no answer, 408, 425, 429 and 5xx. Slow: 401, 403, 404, 407, often an
    /// outage in disguise. Permanent: other 4xx, 3xx, 501, 505, too large, cannot be encoded.
    #[default]
    Default,
}

impl Classes {
    /// The class of an HTTP status; `None` for 2xx, a success.
    pub const fn of_status(self, status: u16) -> Option<Class> {
        match (self, status) {
            (_, 200..300) => None,
            (Self::Off, _) => Some(Class::Retry),
            (Self::Default, 401 | 403 | 404 | 407) => Some(Class::Slow),
            (Self::Default, 408 | 425 | 429) => Some(Class::Retry),
            (Self::Default, 300..=499 | 501 | 505) => Some(Class::Permanent),
            (Self::Default, _) => Some(Class::Retry),
        }
    }

    /// The class of a failure without an HTTP status.
    pub const fn of_kind(self, kind: FailureKind) -> Class {
        match (self, kind) {
            (Self::Default, FailureKind::TooLarge | FailureKind::Encode) => Class::Permanent,
            _ => Class::Retry,
        }
    }
}

/// The wait that a `Retry-After` header asks for: seconds, or a date. `None` for other texts.
pub fn retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(header.parse().unwrap_or(u64::MAX)));
    }
    Some(calendar::from_http_date(header)?.since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_the_classes_of_the_table() {
        let class = |status| Classes::Default.of_status(status);
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert_eq!(class(status), Some(Class::Retry), "{status}");
        }
        for status in [401, 403, 404, 407] {
            assert_eq!(class(status), Some(Class::Slow), "{status}");
        }
        for status in [301, 302, 307, 400, 405, 409, 410, 413, 422, 501, 505] {
            assert_eq!(class(status), Some(Class::Permanent), "{status}");
        }
        assert_eq!([class(200), class(204), class(299)], [None; 3]);
        assert_eq!(Classes::Off.of_status(400), Some(Class::Retry));
    }

    #[test]
    fn kinds_are_retried_unless_the_data_is_at_fault() {
        use FailureKind::{Connect, Dns, Encode, Timeout, Tls, TooLarge};
        for kind in [Connect, Dns, Tls, Timeout] {
            assert_eq!(Classes::Default.of_kind(kind), Class::Retry);
        }
        for kind in [TooLarge, Encode] {
            assert_eq!(Classes::Default.of_kind(kind), Class::Permanent);
            assert_eq!(Classes::Off.of_kind(kind), Class::Retry);
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Timestamp::from_millis(784_111_777_000);
        assert_eq!(retry_after("90", now), Some(Duration::from_secs(90)));
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:50:37 GMT", now),
            Some(Duration::from_secs(60))
        );
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now),
            Some(Duration::ZERO),
            "a past date means now"
        );
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("-1", now), None);
        assert_eq!(retry_after("", now), None);
    }

    #[test]
    fn an_error_is_written_as_blacksmith_does_plus_a_code() {
        let failure = Failure::of_status(Classes::Default, 422, "no such user").unwrap();
        let error = failure.into_error();
        assert_eq!(
            serde_json::to_value(&error).unwrap(),
            serde_json::json!({"code": "http_422", "message": "no such user", "statusCode": 422})
        );
        let long = Failure::retry("x", "é".repeat(900)).into_error();
        assert_eq!(long.message.chars().count(), MAX_MESSAGE_CHARS);
    }
}
