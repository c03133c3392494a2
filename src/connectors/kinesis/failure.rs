//! Why a call has no result, and what that means for the next attempt.

use http::StatusCode;
use http::header::LOCATION;
use serde::Deserialize;

use crate::printable::first_line_of;
use crate::sdk::BoxError;
use crate::transport::http::client::{HttpError, HttpResponse};

/// A call without a result.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The service refused it.
    #[error("{call}: {code}: {message}")]
    Refused {
        call: &'static str,
        code: String,
        message: String,
    },
    /// There is no usable answer.
    #[error("{call}: no answer from Kinesis")]
    Unanswered {
        call: &'static str,
        #[source]
        source: HttpError,
    },
    /// The stream is being created or deleted.
    #[error("the stream {0} is being created or deleted")]
    Changing(String),
    /// There are no credentials to sign it with.
    #[error("Kinesis cannot be used")]
    Unsigned(#[source] BoxError),
    /// Nothing was sent, or the answer is unusable.
    #[error("Kinesis cannot be used")]
    Unasked(#[source] BoxError),
}

/// What a failure means for the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Less is asked for.
    Throttled,
    /// The same call may succeed later.
    Passing,
    /// The credentials are not accepted; others may be.
    Credentials,
    /// The clocks differ too much.
    Clock,
    /// Another shard iterator is needed.
    Expired,
    /// The stream, or the shard, does not exist.
    Missing,
    /// The same call will never succeed.
    Invalid,
}

#[derive(Deserialize, Default)]
struct Refusal {
    #[serde(rename = "__type")]
    kind: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
}

impl Failure {
    /// The failure that a response with another status than 200 tells.
    pub(super) fn of(call: &'static str, response: &HttpResponse) -> Self {
        let refusal: Refusal = serde_json::from_slice(&response.body).unwrap_or_default();
        // `com.amazonaws.kinesis#ResourceNotFoundException`, and what a gateway puts behind a colon.
        let kind = refusal.kind.as_deref().unwrap_or_default();
        let kind = kind.rsplit('#').next().unwrap_or_default();
        let kind = kind.split(':').next().unwrap_or_default();
        let code = match kind {
            "" => response.status.to_string(),
            kind => kind.to_owned(),
        };
        let message = refusal.message;
        let message = message.unwrap_or_else(|| match kind {
            "" if response.status.is_redirection() => redirected(response),
            "" => first_line_of(&response.body, 200),
            _ => String::new(),
        });
        Self::Refused {
            call,
            code,
            message,
        }
    }

    /// The call; `None` if it was not made.
    pub(super) const fn call(&self) -> Option<&'static str> {
        match self {
            Self::Refused { call, .. } | Self::Unanswered { call, .. } => Some(call),
            Self::Changing(_) | Self::Unsigned(_) | Self::Unasked(_) => None,
        }
    }

    /// Whether a right is missing.
    pub(super) fn is_denied(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code.starts_with("AccessDenied"))
    }

    /// Whether every call would fail for the same reason, because the service is out of reach or does not accept the credentials.
    pub(super) fn is_of_service(&self) -> bool {
        let is_unanswered = matches!(self, Self::Unanswered { .. } | Self::Unasked(_));
        is_unanswered || matches!(self.meaning(), Meaning::Credentials | Meaning::Clock)
    }

    /// The failure and its causes, in one line.
    pub(super) fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(next) = cause {
            text.push_str(&format!(": {next}"));
            cause = next.source();
        }
        text
    }

    pub(super) fn meaning(&self) -> Meaning {
        match self {
            Self::Refused { code, message, .. } => meaning(code, message),
            Self::Unsigned(_) => Meaning::Credentials,
            Self::Unanswered { .. } | Self::Changing(_) | Self::Unasked(_) => Meaning::Passing,
        }
    }
}

/// Kinesis redirects nobody: something else answers.
fn redirected(response: &HttpResponse) -> String {
    let location = response.headers.get(LOCATION);
    match location.map(|location| first_line_of(location.as_bytes(), 200)) {
        Some(location) => format!("redirected to {location}; is this the address of Kinesis?"),
        None => "redirected without a location; is this the address of Kinesis?".to_owned(),
    }
}

/// What an error code means, of a call or of one record of a call.
fn meaning(code: &str, message: &str) -> Meaning {
    match code {
        "ProvisionedThroughputExceededException"
        | "LimitExceededException"
        | "ThrottlingException"
        | "Throttling"
        | "KMSThrottlingException"
        | "RequestLimitExceeded" => Meaning::Throttled,
        "ExpiredIteratorException" => Meaning::Expired,
        "ResourceNotFoundException" => Meaning::Missing,
        "RequestTimeTooSkewed" | "RequestExpired" => Meaning::Clock,
        "InvalidSignatureException" if message.starts_with("Signature") => Meaning::Clock,
        "ExpiredTokenException"
        | "ExpiredToken"
        | "IncompleteSignatureException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationTokenException"
        | "UnrecognizedClientException" => Meaning::Credentials,
        "InvalidArgumentException" | "SerializationException" | "ValidationException" => {
            Meaning::Invalid
        }
        _ => match code.split(' ').next().and_then(|code| code.parse().ok()) {
            Some(StatusCode::TOO_MANY_REQUESTS) => Meaning::Throttled,
            Some(StatusCode::PAYLOAD_TOO_LARGE) => Meaning::Invalid,
            // Among them denied access, which somebody may grant.
            _ => Meaning::Passing,
        },
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    fn failure(status: u16, body: &'static str) -> Failure {
        let response = HttpResponse {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
        };
        Failure::of("GetRecords", &response)
    }

    #[test]
    fn a_failure_is_reported_in_the_words_of_the_service() {
        let told = failure(
            400,
            r#"{"__type":"com.amazonaws.kinesis.v20131202#ResourceNotFoundException","message":"Stream s not found"}"#,
        );
        assert_eq!(
            told.to_string(),
            "GetRecords: ResourceNotFoundException: Stream s not found"
        );
        assert_eq!(told.meaning(), Meaning::Missing);
        let told = failure(503, "<html>\nbusy");
        assert_eq!(
            told.to_string(),
            "GetRecords: 503 Service Unavailable: <html>"
        );
        assert_eq!(told.meaning(), Meaning::Passing);
    }

    #[test]
    fn each_failure_has_a_meaning() {
        for (status, body, expected) in [
            (
                400,
                r#"{"__type":"ProvisionedThroughputExceededException"}"#,
                Meaning::Throttled,
            ),
            (
                400,
                r#"{"__type":"ExpiredIteratorException","message":"x"}"#,
                Meaning::Expired,
            ),
            (
                400,
                r#"{"__type":"AccessDeniedException","Message":"no"}"#,
                Meaning::Passing,
            ),
            (400, r#"{"__type":"ValidationException"}"#, Meaning::Invalid),
            (
                400,
                r#"{"__type":"ExpiredTokenException"}"#,
                Meaning::Credentials,
            ),
            (
                400,
                r#"{"__type":"InvalidSignatureException","message":"Signature expired: 1 is now earlier than 2"}"#,
                Meaning::Clock,
            ),
            (
                400,
                r#"{"__type":"InvalidSignatureException","message":"The request signature we calculated does not match"}"#,
                Meaning::Credentials,
            ),
            (429, "", Meaning::Throttled),
            (413, "", Meaning::Invalid),
            (500, r#"{"__type":"InternalFailure"}"#, Meaning::Passing),
        ] {
            assert_eq!(failure(status, body).meaning(), expected, "{status} {body}");
        }
    }
}
