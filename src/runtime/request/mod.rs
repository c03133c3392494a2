//! Requests with a value for a function or its state.

mod body;
mod content;
mod path;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, StatusCode};
use hyper::body::Incoming as Body;
use uuid::Uuid;

pub(crate) use self::body::body;
pub(crate) use self::content::{check_charset, check_type_name, content_type, named_type};
pub(crate) use self::path::{no_query, path_part, percent_decoded};

use self::body::limited_body;
use self::content::{single, type_of_content};
use super::core::keys::{put_bytes, put_text};
use super::core::{AddressKey, IdempotencyKey};
use super::endpoint::RecordForm;
use super::intake::Incoming;
use super::respond::{Refusal, refuse};
use super::values;
use crate::sdk::TypeName;
use crate::time::Timestamp;
use crate::transport::http::BodyReader;

const KEY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Longer keys are refused.
const MAX_KEY_BYTES: usize = 256;

/// How a request becomes a message for a function.
pub(crate) struct Terms<'a> {
    /// The scope of idempotency keys.
    pub(crate) ingress: &'a TypeName,
    /// The type of `application/json`.
    pub(crate) json_type: &'a TypeName,
    pub(crate) bodies: &'a BodyReader,
    /// The setting for the size of bodies, where there is one.
    pub(crate) limited_by: Option<&'a str>,
    /// The function that makes a record of a body, if the target is a pipeline.
    pub(crate) record: Option<RecordForm>,
    /// When an idempotency key expires.
    pub(crate) keys_until: Timestamp,
}

/// The form of a body.
enum Form {
    /// A value of this type.
    Value { type_name: String, is_json: bool },
    /// A pipeline's record, with the content type and the trace of the request.
    Record {
        form: RecordForm,
        content_type: String,
        trace: Trace,
        /// The form without a trace, whose rules for the body hold.
        plain: Option<Box<Self>>,
    },
}

/// The headers of a trace, which a record carries as values.
type Trace = Vec<(&'static str, String)>;

const TRACE_HEADERS: [&str; 2] = ["traceparent", "tracestate"];

/// The message of a request for `target`.
pub(crate) async fn message(
    request: Request<Body>,
    target: AddressKey,
    terms: &Terms<'_>,
) -> Result<Incoming, Refusal> {
    let form = Form::of(request.headers(), terms)?;
    let key = idempotency_key(request.headers())?;
    let body = limited_body(request, terms.bodies, terms.limited_by).await?;
    let argument = form.argument(&body)?;
    let key = key.map(|key| keyed(&target, &key, form.name(), &body, terms));
    Ok(Incoming {
        target,
        argument,
        key,
    })
}

impl Form {
    fn of(headers: &HeaderMap, terms: &Terms<'_>) -> Result<Self, Refusal> {
        let named = named_type(headers)?;
        let content_type = content_type(headers)?;
        let (Some(form), Some(content_type)) = (terms.record, content_type) else {
            return Self::value(named, headers, terms);
        };
        let trace = trace(headers);
        let plain = match is_plain(content_type, named.is_some()) {
            false => None,
            // What an explicit type describes is not made from the bytes alone.
            true if trace.is_empty() || named.is_some() => {
                return Self::value(named, headers, terms);
            }
            true => Some(Box::new(Self::value(named, headers, terms)?)),
        };
        Ok(Self::Record {
            form,
            content_type: content_type.to_owned(),
            trace,
            plain,
        })
    }

    fn value(
        named: Option<String>,
        headers: &HeaderMap,
        terms: &Terms<'_>,
    ) -> Result<Self, Refusal> {
        Ok(match named {
            Some(type_name) => {
                if values::is_text(&type_name) {
                    check_charset(headers)?;
                }
                Self::Value {
                    type_name,
                    is_json: false,
                }
            }
            None => {
                let type_name = type_of_content(headers, terms.json_type)?;
                let is_json = type_name == terms.json_type.as_str();
                Self::Value { type_name, is_json }
            }
        })
    }

    /// The encoded `TypedValue` of `body`.
    fn argument(&self, body: &Bytes) -> Result<Bytes, Refusal> {
        match self {
            Self::Value { is_json: true, .. } if body.is_empty() => {
                let text = "the body is empty, and a JSON document is expected";
                Err(refuse(StatusCode::BAD_REQUEST, "body.empty", text))
            }
            Self::Value { type_name, .. } => parsed(type_name, body),
            Self::Record {
                form,
                content_type,
                trace,
                plain,
            } => {
                if let Some(plain) = plain {
                    plain.argument(body)?;
                }
                Ok(form(content_type, trace, body.clone()))
            }
        }
    }

    /// The content that must be the same when an idempotency key is repeated.
    fn name(&self) -> &str {
        match self {
            Self::Value { type_name, .. } => type_name,
            Self::Record {
                plain: Some(plain), ..
            } => plain.name(),
            Self::Record { content_type, .. } => content_type,
        }
    }
}

/// Those that are text; a header that occurs several times is one list.
fn trace(headers: &HeaderMap) -> Trace {
    let text = |name| {
        let all = headers.get_all(name).iter();
        let all: Vec<_> = all.filter_map(|value| value.to_str().ok()).collect();
        (!all.is_empty()).then(|| (name, all.join(",")))
    };
    TRACE_HEADERS.into_iter().filter_map(text).collect()
}

/// Whether a pipeline makes the same record from the value alone, as for text and JSON. An explicit type describes
/// the bytes, unless the content type is more specific than `text/plain` or `application/octet-stream`.
fn is_plain(content_type: &str, has_type: bool) -> bool {
    if content_type == "application/json" {
        return !has_type;
    }
    let content_type = content_type.to_ascii_lowercase();
    let content_type: String = content_type.split_whitespace().collect();
    match content_type.as_str() {
        "text/plain" | "text/plain;charset=utf-8" => true,
        "application/octet-stream" => has_type,
        "application/json" | "application/json;charset=utf-8" => !has_type,
        _ => false,
    }
}

/// The encoded `TypedValue` of a body that is a value of type `type_name`.
pub(crate) fn parsed(type_name: &str, body: &Bytes) -> Result<Bytes, Refusal> {
    values::parse(type_name, body)
        .map_err(|fault| refuse(StatusCode::BAD_REQUEST, "value.invalid", &fault))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let key = single(headers, &KEY_HEADER, "idempotency.invalid")?;
    match key.map(HeaderValue::to_str) {
        None => Ok(None),
        Some(Ok(key)) if !key.is_empty() && key.len() <= MAX_KEY_BYTES => Ok(Some(key.to_owned())),
        Some(_) => Err(refuse(
            StatusCode::BAD_REQUEST,
            "idempotency.invalid",
            &format!("`idempotency-key` is 1 to {MAX_KEY_BYTES} visible ASCII characters"),
        )),
    }
}

fn keyed(
    target: &AddressKey,
    key: &str,
    type_name: &str,
    body: &Bytes,
    terms: &Terms<'_>,
) -> IdempotencyKey {
    let mut row = Vec::new();
    put_text(&mut row, terms.ingress.as_str());
    put_bytes(&mut row, &target.to_bytes());
    row.extend_from_slice(key.as_bytes());
    let content = [type_name.as_bytes(), &[0], body].concat();
    IdempotencyKey {
        row: row.into(),
        digest: Uuid::new_v5(&Uuid::NAMESPACE_OID, &content).as_u128(),
        until: terms.keys_until,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_different_keys_are_refused() {
        let key = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, HeaderValue::from_static(value));
            }
            idempotency_key(&headers).map_err(|refusal| refusal.status())
        };
        let twice = [("idempotency-key", "a"), ("idempotency-key", "a")];
        assert_eq!(key(&twice), Ok(Some("a".to_owned())));
        let different = [("idempotency-key", "a"), ("idempotency-key", "b")];
        assert_eq!(key(&different), Err(StatusCode::BAD_REQUEST));
    }
}
