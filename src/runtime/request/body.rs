//! The body of a request, and why it is refused.

use bytes::Bytes;
use http::header::{HeaderValue, RETRY_AFTER};
use http::{Request, StatusCode};
use hyper::body::Incoming as Body;

use crate::runtime::respond::{Refusal, refuse};
use crate::transport::http::{BodyFault, BodyReader, Encoding, TooSlow};

/// The whole body, within the limits of its listener.
pub(crate) async fn body(request: Request<Body>, bodies: &BodyReader) -> Result<Bytes, Refusal> {
    limited_body(request, bodies, None).await
}

pub(super) async fn limited_body(
    request: Request<Body>,
    bodies: &BodyReader,
    limited_by: Option<&str>,
) -> Result<Bytes, Refusal> {
    let encoding = Encoding::of(request.headers());
    let read = bodies.read(encoding, request.into_body()).await;
    read.map_err(|fault| {
        let code = match fault {
            BodyFault::Encoding => "body.encoding",
            BodyFault::TooLarge { .. } => "body.too_large",
            BodyFault::TooSlow(_) => "body.too_slow",
            BodyFault::NoMemory => "memory.full",
            BodyFault::Broken => "body.broken",
            BodyFault::Malformed(_) => "body.malformed",
        };
        let status = StatusCode::from_u16(fault.status());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut text = fault.to_string();
        if let Some(setting) = setting_of(&fault, limited_by) {
            text.push_str(&format!(" ({setting})"));
        }
        let mut refusal = refuse(status, code, &text);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let soon = HeaderValue::from_static("1");
            refusal.headers_mut().insert(RETRY_AFTER, soon);
        }
        refusal
    })
}

/// The setting whose limit a body exceeds.
fn setting_of<'a>(fault: &BodyFault, size: Option<&'a str>) -> Option<&'a str> {
    match fault {
        BodyFault::TooLarge { .. } => size,
        BodyFault::TooSlow(TooSlow::Whole(_)) => Some("RuntimeConfig::body_timeout"),
        BodyFault::TooSlow(TooSlow::Pause(_)) => Some("RuntimeConfig::body_pause"),
        BodyFault::NoMemory => Some("ServerLimits::max_body_memory_bytes"),
        BodyFault::Encoding | BodyFault::Broken | BodyFault::Malformed(_) => None,
    }
}
