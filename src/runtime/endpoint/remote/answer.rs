//! Whether an answer counts: status 2xx, exactly the protocol's content-type, and a body that is a `FromFunction`.

use std::time::Duration;

use http::StatusCode;
use http::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use prost::{DecodeError, Message as _};

use super::failed::Failed;
use super::words;
use crate::module::Transport;
use crate::protocol::reqreply::from_function::Response;
use crate::protocol::reqreply::{FromFunction, TypedValue};
use crate::runtime::endpoint::in_process::chain;
use crate::time::calendar;
use crate::transport::http::client::{HttpError, HttpResponse};

const OCTET_STREAM: &str = "application/octet-stream";

/// Which transport's rules count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    /// Whatever fails is tried again.
    Async,
    /// Only failures that are likely to be temporary are retried.
    OkHttp,
}

impl Rules {
    pub(super) const fn of(transport: &Transport) -> Self {
        match transport {
            Transport::Async(_) => Self::Async,
            Transport::OkHttp(_) => Self::OkHttp,
        }
    }

    /// Takes an answer.
    pub(super) fn read(self, response: HttpResponse) -> Result<FromFunction, Failed> {
        if !response.status.is_success() {
            return Err(Failed {
                asked_wait: asked_wait(response.status, &response.headers),
                ..self.bad_status(response.status, &response.body)
            });
        }
        self.check_content_type(&response.headers)?;
        let answer = FromFunction::decode(response.body);
        answer
            .and_then(|answer| check_values(&answer).map(|()| answer))
            .map_err(|err| self.unparseable(&chain(&err)))
    }

    /// No whole answer came.
    pub(super) fn lost(self, error: &HttpError) -> Failed {
        match (self, error.status()) {
            // okhttp decides by the head, and does not ask again for the body of a success.
            (Self::OkHttp, Some(status)) if status.is_success() => Failed {
                remedy: words::remedy_of_lost(error),
                ..self.unparseable(&words::lost(error))
            },
            (Self::OkHttp, Some(status)) => self.bad_status(status, &[]),
            (Self::Async, Some(_)) | (_, None) => Failed {
                cause: words::lost(error),
                remedy: words::remedy_of_lost(error),
                retry: !error.is_invalid_request(),
                io: true,
                asked_wait: None,
            },
        }
    }

    /// Adds the text of the body, if there is any: a function server puts the error of its function there.
    fn bad_status(self, status: StatusCode, body: &[u8]) -> Failed {
        let code = status.as_u16();
        let retry = self == Self::Async || is_retryable(status);
        let mut cause = match self {
            Self::Async => {
                let reason = status.canonical_reason().unwrap_or_default();
                format!("Unexpected response code {code} ({reason})")
            }
            Self::OkHttp if retry => format!("invalid HTTP response code {code}"),
            Self::OkHttp => format!("Non successful HTTP response code {code}"),
        };
        let line = words::first_line(body);
        let remedy = words::remedy_of_status(status);
        // If the server has sent the cause, its log need not be mentioned.
        let remedy = remedy.filter(|_| line.is_none() || !status.is_server_error());
        if let Some(line) = line {
            cause = format!("{cause}: {line}");
        }
        Failed {
            cause,
            remedy,
            retry,
            io: false,
            asked_wait: None,
        }
    }

    fn check_content_type(self, headers: &HeaderMap) -> Result<(), Failed> {
        let mut values = headers.get_all(CONTENT_TYPE).iter();
        match self {
            // Any of several will do, even in one line.
            Self::Async => {
                let first = values.next();
                let mut types = first.into_iter().chain(values).flat_map(listed);
                if types.any(|one| one.eq_ignore_ascii_case(OCTET_STREAM.as_bytes())) {
                    return Ok(());
                }
                Err(self.unusable(format!("Unexpected content type {}", shown(first))))
            }
            Self::OkHttp => match values.next_back() {
                Some(last) if last == OCTET_STREAM => Ok(()),
                other => Err(self.unusable(format!("Wrong HTTP content-type {}", shown(other)))),
            },
        }
    }

    fn unparseable(self, reason: &str) -> Failed {
        self.unusable(format!("Unable to parse a Protobuf message: {reason}"))
    }

    /// An answer that came whole and says nothing.
    fn unusable(self, cause: String) -> Failed {
        Failed {
            cause,
            remedy: Some(words::NO_FUNCTION_SERVER),
            retry: self == Self::Async,
            io: false,
            asked_wait: None,
        }
    }
}

/// The longest wait that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// The wait that a server asks for which is overloaded or not ready: seconds, or a date after that of the answer.
fn asked_wait(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    if !matches!(status.as_u16(), 429 | 503) {
        return None;
    }
    let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let after = text(RETRY_AFTER)?;
    let wait = match after.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let now = calendar::from_http_date(text(DATE)?)?;
            calendar::from_http_date(after)?.since(now)
        }
    };
    Some(wait.min(LONGEST_WAIT))
}

/// Values are passed on as they came, but a body with one that is none does not do.
fn check_values(answer: &FromFunction) -> Result<(), DecodeError> {
    let Some(Response::InvocationResult(result)) = &answer.response else {
        return Ok(());
    };
    let sent = result.outgoing_messages.iter().map(|sent| &sent.argument);
    let delayed = result.delayed_invocations.iter();
    let records = result.outgoing_egresses.iter();
    let states = result.state_mutations.iter();
    let mut values = sent
        .chain(delayed.map(|delayed| &delayed.argument))
        .chain(records.map(|record| &record.argument))
        .chain(states.map(|state| &state.state_value))
        .flatten();
    values.try_for_each(|value| TypedValue::decode(value.clone()).map(drop))
}

/// Statuses that okhttp tries again.
const fn is_retryable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 409 | 420 | 429 | 499 | 500..)
}

/// What a value lists between commas.
fn listed(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let parts = value.as_bytes().split(|byte| *byte == b',');
    parts.map(<[u8]>::trim_ascii)
}

fn shown(value: Option<&HeaderValue>) -> String {
    let Some(value) = value else {
        return "null".to_owned();
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    text.chars().take(words::SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn answer(status: u16, content_types: &[&'static str], body: &'static [u8]) -> HttpResponse {
        let mut headers = HeaderMap::new();
        for value in content_types {
            headers.append(CONTENT_TYPE, HeaderValue::from_static(value));
        }
        HttpResponse {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Bytes::from_static(body),
        }
    }

    fn cause(rules: Rules, response: HttpResponse) -> (String, bool) {
        let failed = rules.read(response).unwrap_err();
        assert!(!failed.io);
        (failed.cause, failed.retry)
    }

    const NO_EFFECTS: &[u8] = &[0xA2, 0x06, 0x00];

    #[test]
    fn answers_without_effects_count() {
        for rules in [Rules::Async, Rules::OkHttp] {
            for (status, body) in [(200, NO_EFFECTS), (200, b""), (204, b""), (299, NO_EFFECTS)] {
                assert!(rules.read(answer(status, &[OCTET_STREAM], body)).is_ok());
            }
        }
    }

    #[test]
    fn sf_24_async_tries_every_bad_answer_again() {
        for (response, expected) in [
            (
                answer(404, &[], b""),
                "Unexpected response code 404 (Not Found)",
            ),
            (
                answer(302, &[], b""),
                "Unexpected response code 302 (Found)",
            ),
            (answer(200, &[], b""), "Unexpected content type null"),
            (
                answer(200, &["text/plain"], b""),
                "Unexpected content type text/plain",
            ),
            (
                answer(200, &["application/octet-stream; charset=utf-8"], b""),
                "Unexpected content type application/octet-stream; charset=utf-8",
            ),
        ] {
            assert_eq!(cause(Rules::Async, response), (expected.to_owned(), true));
        }
        let (text, retry) = cause(Rules::Async, answer(200, &[OCTET_STREAM], b"garbage"));
        assert!(text.starts_with("Unable to parse a Protobuf message: ") && retry);
    }

    #[test]
    fn sf_24_async_takes_the_content_type_in_any_case_and_among_others() {
        for content_types in [
            &["Application/Octet-Stream"][..],
            &["text/plain, application/octet-stream"],
            &["text/plain", "application/octet-stream"],
        ] {
            let response = answer(200, content_types, NO_EFFECTS);
            assert!(Rules::Async.read(response).is_ok(), "{content_types:?}");
        }
    }

    #[test]
    fn sf_25_okhttp_tries_some_statuses_again() {
        for status in [408, 409, 420, 429, 499, 500, 501, 503, 599] {
            let expected = (format!("invalid HTTP response code {status}"), true);
            assert_eq!(cause(Rules::OkHttp, answer(status, &[], b"")), expected);
        }
        for status in [300, 304, 307, 400, 401, 404, 413, 498] {
            let expected = (format!("Non successful HTTP response code {status}"), false);
            assert_eq!(cause(Rules::OkHttp, answer(status, &[], b"")), expected);
        }
    }

    #[test]
    fn sf_25_okhttp_gives_up_on_content_types_and_bodies() {
        for (content_types, got) in [
            (&[][..], "null"),
            (&["Application/Octet-Stream"], "Application/Octet-Stream"),
            (
                &["application/octet-stream;charset=utf-8"],
                "application/octet-stream;charset=utf-8",
            ),
        ] {
            let expected = (format!("Wrong HTTP content-type {got}"), false);
            assert_eq!(
                cause(Rules::OkHttp, answer(200, content_types, b"")),
                expected
            );
        }
        assert!(!cause(Rules::OkHttp, answer(200, &[OCTET_STREAM], b"garbage")).1);
    }

    #[test]
    fn a_server_that_is_overloaded_says_how_long_to_wait_up_to_an_hour() {
        let wait = |status: u16, after: &'static str| {
            let mut response = answer(status, &[], b"");
            let headers = &mut response.headers;
            headers.insert(RETRY_AFTER, HeaderValue::from_static(after));
            let date = "Sun, 06 Nov 1994 08:49:37 GMT";
            headers.insert(DATE, HeaderValue::from_static(date));
            Rules::Async.read(response).unwrap_err().asked_wait
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!((wait(503, "7"), wait(429, " 0 ")), (seconds(7), seconds(0)));
        assert_eq!(wait(503, "Sun, 06 Nov 1994 08:50:07 GMT"), seconds(30));
        assert_eq!(wait(503, "Sun, 06 Nov 1994 08:00:00 GMT"), seconds(0));
        assert_eq!(wait(503, "100000"), seconds(3600));
        for (status, after) in [(500, "7"), (503, "soon"), (503, "-1"), (404, "7")] {
            assert_eq!(wait(status, after), None, "{status} {after}");
        }
    }

    #[test]
    fn the_first_line_of_an_error_is_shown_with_its_status() {
        let body = b"\n function example/f/a failed: no database\nat main.py";
        let (text, _) = cause(Rules::Async, answer(500, &["text/plain"], body));
        assert_eq!(
            text,
            "Unexpected response code 500 (Internal Server Error): function example/f/a failed: no database"
        );
        let (text, _) = cause(Rules::OkHttp, answer(404, &[], b"no such page"));
        assert_eq!(text, "Non successful HTTP response code 404: no such page");
    }
}
