//! Requests that bring a value: for a function, or for its state.

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming as Body;
use uuid::Uuid;

use super::core::keys::{put_bytes, put_text};
use super::core::{AddressKey, IdempotencyKey};
use super::intake::Incoming;
use super::respond::{Refusal, refuse};
use super::values;
use crate::sdk::TypeName;
use crate::time::Timestamp;

/// Names the type of the value.
pub(crate) const TYPE_HEADER: HeaderName = HeaderName::from_static("statefun-type");
const KEY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Longer keys are refused.
const MAX_KEY_BYTES: usize = 256;
const STRING: &str = "io.statefun.types/string";

/// How a message for a function is read.
pub(crate) struct Terms<'a> {
    /// Idempotency keys count within it.
    pub(crate) ingress: &'a TypeName,
    /// The type of `application/json`.
    pub(crate) json_type: &'a TypeName,
    /// Larger bodies are refused.
    pub(crate) max_body_bytes: usize,
    /// Until when an idempotency key counts.
    pub(crate) keys_until: Timestamp,
}

/// The message that a request brings for `target`.
pub(crate) async fn message(
    request: Request<Body>,
    target: AddressKey,
    terms: &Terms<'_>,
) -> Result<Incoming, Refusal> {
    let type_name = match named_type(request.headers())? {
        Some(name) => name,
        None => type_of_content(request.headers(), terms.json_type)?,
    };
    let key = idempotency_key(request.headers())?;
    let body = body(request, terms.max_body_bytes).await?;
    let argument = parsed(&type_name, &body)?;
    let key = key.map(|key| keyed(&target, &key, &type_name, &body, terms));
    Ok(Incoming {
        target,
        argument,
        key,
    })
}

/// The encoded `TypedValue` of a body that is a value of type `type_name`.
pub(crate) fn parsed(type_name: &str, body: &Bytes) -> Result<Bytes, Refusal> {
    values::parse(type_name, body)
        .map_err(|fault| refuse(StatusCode::BAD_REQUEST, "value.invalid", &fault))
}

/// The type that the request names itself.
pub(crate) fn named_type(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    match headers.get(TYPE_HEADER).map(HeaderValue::to_str) {
        None => Ok(None),
        Some(Ok(name)) if !name.is_empty() => Ok(Some(name.to_owned())),
        Some(_) => Err(refuse(
            StatusCode::BAD_REQUEST,
            "type.invalid",
            "`statefun-type` is no typename",
        )),
    }
}

/// The type that follows from the content type; without one it is text.
pub(crate) fn type_of_content(
    headers: &HeaderMap,
    json_type: &TypeName,
) -> Result<String, Refusal> {
    let content_type = headers
        .get(CONTENT_TYPE)
        .map_or(&b"text/plain"[..], HeaderValue::as_bytes);
    let essence = content_type
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    if essence.eq_ignore_ascii_case(b"text/plain") {
        Ok(STRING.to_owned())
    } else if is_json(essence) {
        Ok(json_type.to_string())
    } else {
        let shown: String = String::from_utf8_lossy(essence).chars().take(100).collect();
        let text = format!(
            "content type `{shown}` says nothing of the value's type: send `text/plain`, `application/json`, or name the type in `statefun-type`"
        );
        Err(refuse(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "type.unknown",
            &text,
        ))
    }
}

/// `application/json`, or `+json` at the end of another type.
fn is_json(essence: &[u8]) -> bool {
    let essence = essence.to_ascii_lowercase();
    essence == b"application/json" || essence.ends_with(b"+json")
}

/// The whole body, of at most `limit` bytes.
pub(crate) async fn body(request: Request<Body>, limit: usize) -> Result<Bytes, Refusal> {
    match Limited::new(request.into_body(), limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(refuse(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body.too_large",
            &format!("the body is larger than {limit} bytes"),
        )),
        Err(_) => Err(refuse(
            StatusCode::BAD_REQUEST,
            "body.broken",
            "the body ended early",
        )),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    match headers.get(KEY_HEADER).map(HeaderValue::to_str) {
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
    let mut row = BytesMut::new();
    put_text(&mut row, terms.ingress.as_str());
    put_bytes(&mut row, target.as_bytes());
    row.put_slice(key.as_bytes());
    let content = [type_name.as_bytes(), &[0], body].concat();
    IdempotencyKey {
        row: row.freeze(),
        digest: Uuid::new_v5(&Uuid::NAMESPACE_OID, &content).as_u128(),
        until: terms.keys_until,
    }
}

/// The text behind `%xx` sequences; `None` when it is not UTF-8 or a sequence is broken.
pub(crate) fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        let [high, low, tail @ ..] = rest else {
            return None;
        };
        let digit = |byte: u8| char::from(byte).to_digit(16);
        out.push(u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?);
        rest = tail;
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_sequences_and_other_encodings_are_refused() {
        assert_eq!(percent_decoded("a%2Fb%c3%a4+").as_deref(), Some("a/bä+"));
        for broken in ["%", "%2", "%zz", "%+f", "%ff"] {
            assert_eq!(percent_decoded(broken), None, "{broken}");
        }
    }
}
