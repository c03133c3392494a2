use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
use crate::time::calendar;

/// Whether another attempt can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// It may succeed.
    Retry,
    /// It may succeed, but hardly soon: the wait is the longest of the policy.
    Slow,
    /// It cannot succeed.
    Permanent,
}

/// Why an attempt got no answer, or could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// There was no connection, or it broke.
    Connect,
    /// The host's name has no address.
    Dns,
    /// The TLS handshake failed.
    Tls,
    /// No answer in time.
    Timeout,
    /// The payload is over the limit.
    TooLarge,
    /// The data cannot be encoded for the target.
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

/// How failures are classified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Classes {
    /// Every failure is tried again.
    Off,
    /// Retry: no connection, no name, no TLS, no answer, 408, 425, 429 and 5xx. Slow: 401, 403, 404 and 407, which often come
    /// from an outage. Permanent: other 4xx, 3xx, 501, 505, too large, cannot be encoded.
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
}
