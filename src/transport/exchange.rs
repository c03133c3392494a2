//! How requests are answered, the same for all transports: routes, checks, statuses and texts.

use bytes::Bytes;
use tracing::warn;

use crate::handler::RequestReplyHandler;

/// The content type of requests and replies. StateFun refuses replies with any other, even with an added parameter.
pub(super) const OCTET_STREAM: &str = "application/octet-stream";
const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// StateFun's default transport refuses replies above this size.
const MAX_STATEFUN_REPLY_BYTES: usize = 32 * 1024 * 1024;

/// The path of liveness checks. Functions are called at any other path.
const HEALTH_PATH: &str = "/health";

/// A complete response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HandlerResponse {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    /// The value of an `allow` header.
    pub(super) allow: Option<&'static str>,
    pub(super) body: Bytes,
}

impl HandlerResponse {
    fn reply(body: Bytes) -> Self {
        Self {
            status: 200,
            content_type: OCTET_STREAM,
            allow: None,
            body,
        }
    }

    /// A status with one line of text.
    pub(super) fn text(status: u16, line: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type: PLAIN_TEXT,
            allow: None,
            body: line.into(),
        }
    }

    #[cfg(feature = "lambda")]
    pub(super) fn unsupported_encoding() -> Self {
        Self::text(415, "the content-encoding of the request is not supported")
    }
}

/// What a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// A batch of invocations; its body goes to [`call`].
    Call,
    /// A request that is already answered.
    Answered(HandlerResponse),
}

/// `content_type` is the header's value; a request without one is accepted.
pub(super) fn route(method: &str, path: &str, content_type: Option<&[u8]>) -> Route {
    match (method, path) {
        ("POST", _) if content_type.is_none_or(is_octet_stream) => Route::Call,
        ("POST", _) => {
            let text = format!("the content-type of a request is {OCTET_STREAM}, or absent");
            Route::Answered(HandlerResponse::text(415, text))
        }
        ("GET" | "HEAD", HEALTH_PATH) => Route::Answered(HandlerResponse::text(200, "ok")),
        _ => Route::Answered(HandlerResponse {
            allow: Some("POST"),
            ..HandlerResponse::text(405, "functions are called with POST")
        }),
    }
}

fn is_octet_stream(content_type: &[u8]) -> bool {
    let without_parameters = content_type
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default();
    without_parameters
        .trim_ascii()
        .eq_ignore_ascii_case(OCTET_STREAM.as_bytes())
}

/// Calls the functions of a batch. A failure becomes a status and a line of text.
pub(super) async fn call(handler: &RequestReplyHandler, request: Bytes) -> HandlerResponse {
    match handler.handle(request).await {
        Ok(reply) => {
            if reply.len() > MAX_STATEFUN_REPLY_BYTES {
                warn!(
                    reply_bytes = reply.len(),
                    limit_bytes = MAX_STATEFUN_REPLY_BYTES,
                    "StateFun refuses a reply of this size"
                );
            }
            HandlerResponse::reply(reply)
        }
        Err(err) => {
            let line = err.to_line();
            warn!(status = err.status(), error = %line, "request failed");
            HandlerResponse::text(err.status(), line)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: &str, path: &str, content_type: Option<&str>) -> Option<u16> {
        match route(method, path, content_type.map(str::as_bytes)) {
            Route::Call => None,
            Route::Answered(answer) => Some(answer.status),
        }
    }

    #[test]
    fn posts_of_bytes_are_calls_at_every_path() {
        for path in ["/", "/statefun", "/health", ""] {
            assert_eq!(status("POST", path, None), None);
        }
        for content_type in [
            "application/octet-stream",
            "Application/Octet-Stream",
            "application/octet-stream; v=1",
        ] {
            assert_eq!(
                status("POST", "/", Some(content_type)),
                None,
                "{content_type}"
            );
        }
    }

    #[test]
    fn foreign_content_types_are_415() {
        for content_type in ["application/json", "application/octet-streams", "", ";"] {
            assert_eq!(
                status("POST", "/", Some(content_type)),
                Some(415),
                "{content_type}"
            );
        }
    }

    #[test]
    fn other_methods_are_405_and_name_post() {
        for (method, path) in [
            ("GET", "/"),
            ("HEAD", "/statefun"),
            ("PUT", "/health"),
            ("post", "/"),
        ] {
            let Route::Answered(answer) = route(method, path, None) else {
                panic!("{method} is a call")
            };
            assert_eq!((answer.status, answer.allow), (405, Some("POST")));
        }
    }

    #[test]
    fn health_is_asked_with_get_and_head() {
        assert_eq!(status("GET", "/health", None), Some(200));
        assert_eq!(status("HEAD", "/health", Some("text/html")), Some(200));
        assert_eq!(status("GET", "/health/", None), Some(405));
    }
}
