//! The sink's HTTP side.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::output;

use super::counts::{Counts, Verdict};

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// So much of a body is printed.
const SHOWN_BYTES: usize = 200;

/// How a request is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Text,
    Json,
    Silent,
}

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, counts: Arc<Counts>, style: Style) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    connections.spawn(converse(socket, counts.clone(), style));
                }
                Err(err) => {
                    warn!(error = %err, "accept failed; will retry");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

async fn converse(socket: TcpStream, counts: Arc<Counts>, style: Style) {
    let service = service_fn(move |request| {
        let counts = counts.clone();
        async move { Ok::<_, Infallible>(answer(request, &counts, style).await) }
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new());
    if let Err(err) = socket.set_nodelay(true) {
        debug!(error = %err, "socket closed at once");
        return;
    }
    if let Err(err) = server.serve_connection(TokioIo::new(socket), service).await {
        debug!(error = %err, "connection ended early");
    }
}

async fn answer(
    request: Request<Incoming>,
    counts: &Counts,
    style: Style,
) -> Response<Full<Bytes>> {
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
        None => receive(request, counts, style).await,
    }
}

async fn receive(
    request: Request<Incoming>,
    counts: &Counts,
    style: Style,
) -> Response<Full<Bytes>> {
    let (head, mut body) = request.into_parts();
    let (mut shown, mut bytes) = (Vec::new(), 0u64);
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return reply(
                StatusCode::BAD_REQUEST,
                &json!({"message": "the body broke off"}),
            );
        };
        if let Some(data) = frame.data_ref() {
            bytes += data.len() as u64;
            let wanted = SHOWN_BYTES.saturating_sub(shown.len());
            shown.extend(data.iter().take(wanted));
        }
    }
    let key = head.headers.get("idempotency-key");
    let verdict = counts.count(key.map(http::HeaderValue::as_bytes), bytes);
    if style != Style::Silent {
        let told = Told {
            head: &head,
            key: key.and_then(|key| key.to_str().ok()),
            bytes,
            shown: &shown,
            verdict,
        };
        // Standard output may be closed; counting goes on.
        let _ = told.print(style);
    }
    reply(
        verdict.status,
        &json!({"received": verdict.status.is_success()}),
    )
}

/// One request, as it is told of.
struct Told<'a> {
    head: &'a http::request::Parts,
    key: Option<&'a str>,
    bytes: u64,
    shown: &'a [u8],
    verdict: Verdict,
}

impl Told<'_> {
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
        _ => value.to_string().into(),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
