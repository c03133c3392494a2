//! The HTTP server of the sink.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use serde_json::{Value, json};
use stateful_functions::transport::http::TrialServer;
use tokio::net::TcpListener;

use crate::output;

use super::counts::{Counts, Verdict};

/// At most this much of a body is printed.
const SHOWN_BYTES: usize = 200;

/// How a request is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Text,
    Json,
    Silent,
}

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, counts: Arc<Counts>, style: Style) {
    let server = TrialServer::default();
    let bodies = server.clone();
    let service = service_fn(move |request| {
        let (counts, bodies) = (counts.clone(), bodies.clone());
        async move { Ok::<_, Infallible>(answer(request, &bodies, &counts, style).await) }
    });
    server.serve(listener, service).await;
}

async fn answer(
    request: Request<Incoming>,
    bodies: &TrialServer,
    counts: &Counts,
    style: Style,
) -> Response<Full<Bytes>> {
    if let Err((status, message)) = bodies.check(&request) {
        return reply(status, &json!({"message": message}));
    }
    let switched = match (request.method(), request.uri().path()) {
        (&Method::GET, _) => return reply(StatusCode::OK, &counts.totals().to_json()),
        (&Method::POST, "/on") => Some(Ok(StatusCode::OK)),
        (&Method::POST, "/off") => Some(Ok(StatusCode::SERVICE_UNAVAILABLE)),
        (&Method::POST, path) => path.strip_prefix("/status/").map(super::status),
        (&Method::PUT | &Method::PATCH, _) => None,
        _ => {
            return reply(
                StatusCode::METHOD_NOT_ALLOWED,
                &json!({"message": "send POST, PUT or PATCH"}),
            );
        }
    };
    match switched {
        Some(Ok(status)) => {
            counts.switch(status);
            reply(StatusCode::OK, &counts.totals().to_json())
        }
        Some(Err(message)) => reply(StatusCode::BAD_REQUEST, &json!({"message": message})),
        None => receive(request, bodies, counts, style).await,
    }
}

async fn receive(
    request: Request<Incoming>,
    bodies: &TrialServer,
    counts: &Counts,
    style: Style,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = match bodies.body(body).await {
        Ok(body) => body,
        Err((status, message)) => return reply(status, &json!({"message": message})),
    };
    let bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let key = head.headers.get("idempotency-key");
    let verdict = counts.count(key.map(http::HeaderValue::as_bytes), bytes);
    if style != Style::Silent {
        let logged = Logged {
            head: &head,
            key: key.and_then(|key| key.to_str().ok()),
            bytes,
            shown: body.get(..SHOWN_BYTES).unwrap_or(&body),
            verdict,
        };
        // Standard output may be closed: counting continues.
        let _ = logged.print(style);
    }
    reply(
        verdict.status,
        &json!({"received": verdict.status.is_success()}),
    )
}

/// One request, to be logged.
struct Logged<'a> {
    head: &'a http::request::Parts,
    key: Option<&'a str>,
    bytes: u64,
    shown: &'a [u8],
    verdict: Verdict,
}

impl Logged<'_> {
    fn print(&self, style: Style) -> std::io::Result<()> {
        let (method, path) = (&self.head.method, self.head.uri.path());
        let status = self.verdict.status.as_u16();
        let body = String::from_utf8_lossy(self.shown);
        if style == Style::Json {
            return output::json(&json!({
                "status": status, "method": method.as_str(), "path": path, "bytes": self.bytes,
                "key": self.key, "duplicate": self.verdict.is_duplicate, "body": body,
            }));
        }
        let key = self.key.map_or(String::new(), |key| format!(" key {key}"));
        let again = if self.verdict.is_duplicate {
            " (again)"
        } else {
            ""
        };
        let bytes = self.bytes;
        output::line(format_args!(
            "{status} {method} {path}{key}{again} {bytes} bytes: {body}"
        ))
    }
}

fn reply(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    let body = match status {
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED => {
            Bytes::new()
        }
        _ => format!("{value}\n").into(),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
