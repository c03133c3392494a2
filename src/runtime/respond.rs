//! Answers of the HTTP ingresses: a status, and errors as JSON.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use serde_json::json;

use super::intake::IntakeError;
use super::values;
use crate::sdk::TypeName;

/// The header with the type of a value.
pub(crate) const TYPE_HEADER: HeaderName = HeaderName::from_static("statefun-type");

pub(crate) type FullResponse = Response<Full<Bytes>>;

/// The response to a refused request. Boxed, because responses are large and refusals are rare.
pub(crate) type Refusal = Box<FullResponse>;

/// Refuses a request with a stable code and a message that says what to do.
pub(crate) fn refuse(status: StatusCode, code: &str, message: &str) -> Refusal {
    Box::new(error(status, code, message))
}

const APPLICATION_JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An answer with a JSON body.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> FullResponse {
    let mut text = serde_json::to_vec(body).expect("keys are text, and nothing else can fail");
    // Where it is shown in a terminal, the prompt begins a line of its own.
    text.push(b'\n');
    with_type(status, APPLICATION_JSON, text.into())
}

/// An answer with a body of a given type.
pub(crate) fn with_type(
    status: StatusCode,
    content_type: HeaderValue,
    body: Bytes,
) -> FullResponse {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}

/// An error response: a stable code, and a message that says what to do.
pub(crate) fn error(status: StatusCode, code: &str, message: &str) -> FullResponse {
    json(status, &json!({ "code": code, "message": message }))
}

/// The refusal of a method, with the allowed ones.
pub(crate) fn wrong_method(allowed: &str, message: &str) -> Refusal {
    let mut refusal = refuse(StatusCode::METHOD_NOT_ALLOWED, "method", message);
    if let Ok(allowed) = HeaderValue::from_str(allowed) {
        refusal.headers_mut().insert(ALLOW, allowed);
    }
    refusal
}

/// Whether a typename is a content type, as in the responses of pipelines.
fn is_content_type(type_name: &str) -> bool {
    let (kind, _) = type_name.split_once('/').unwrap_or_default();
    matches!(
        kind,
        "application"
            | "audio"
            | "font"
            | "image"
            | "message"
            | "model"
            | "multipart"
            | "text"
            | "video"
    )
}

/// The type under which a pipeline refuses a record: JSON, `{"statusCode": …, "message": …}`.
const REFUSAL: &str = "statefun.pipelines/refusal";

/// What a pipeline says of a record that it refused, as an error with its status.
fn refused_by_pipeline(value: &[u8]) -> Option<FullResponse> {
    let refusal: serde_json::Value = serde_json::from_slice(value).ok()?;
    let status = u16::try_from(refusal.get("statusCode")?.as_u64()?).ok()?;
    let message = refusal.get("message")?.as_str()?;
    let status = StatusCode::from_u16(status).ok()?;
    Some(error(status, "pipeline.refused", message))
}

/// The answer of a function: its typename in a header, built-in types as text.
pub(crate) fn value(value: Bytes, json_type: &TypeName) -> Result<FullResponse, Refusal> {
    let value = values::read(value).map_err(|_| {
        let text = "the answer of the function is not a TypedValue";
        refuse(StatusCode::BAD_GATEWAY, "answer.unreadable", text)
    })?;
    let (type_name, text, bytes) = values::show(value);
    if type_name == REFUSAL
        && let Some(refusal) = refused_by_pipeline(&bytes)
    {
        return Ok(refusal);
    }
    let (content_type, body) = match text {
        Some(text) => ("text/plain; charset=utf-8", Bytes::from(text)),
        None if type_name == json_type.as_str() => ("application/json", bytes),
        None if is_content_type(&type_name) => (type_name.as_str(), bytes),
        None => ("application/octet-stream", bytes),
    };
    let content_type = HeaderValue::try_from(content_type);
    let octets = HeaderValue::from_static("application/octet-stream");
    let mut answer = with_type(StatusCode::OK, content_type.unwrap_or(octets), body);
    if let Ok(type_name) = HeaderValue::try_from(type_name) {
        answer.headers_mut().insert(TYPE_HEADER, type_name);
    }
    Ok(answer)
}

/// The response for a message that was not accepted, or not answered.
pub(crate) fn refused(refusal: &IntakeError) -> FullResponse {
    let (status, code) = match refusal {
        IntakeError::UnknownFunction { .. } => (StatusCode::NOT_FOUND, "function.unknown"),
        IntakeError::ForeignValue { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "type.refused"),
        IntakeError::Full { .. } => (StatusCode::TOO_MANY_REQUESTS, "intake.full"),
        IntakeError::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency.key_reused"),
        IntakeError::NotWritable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "store.not_writable"),
        IntakeError::Timeout { .. } => (StatusCode::GATEWAY_TIMEOUT, "call.timeout"),
        IntakeError::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "runtime.stopping"),
    };
    let mut answer = error(status, code, &refusal.to_string());
    if matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    ) {
        answer
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}
