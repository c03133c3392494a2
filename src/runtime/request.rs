//! Requests with a value for a function or its state.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Request, StatusCode};
use hyper::body::Incoming as Body;
use uuid::Uuid;

use super::core::keys::{put_bytes, put_text};
use super::core::{AddressKey, IdempotencyKey};
use super::endpoint::RecordForm;
use super::intake::Incoming;
use super::respond::{Refusal, refuse};
use super::values;
use crate::sdk::TypeName;
use crate::time::Timestamp;
use crate::transport::http::{BodyFault, BodyReader, Encoding, TooSlow};

/// The header with the type of the value.
pub(crate) const TYPE_HEADER: HeaderName = HeaderName::from_static("statefun-type");
const KEY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Longer keys are refused.
const MAX_KEY_BYTES: usize = 256;
const STRING: &str = "io.statefun.types/string";
/// Text from outside is shown up to this length.
const SHOWN_CHARACTERS: usize = 100;

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

/// The explicit type of the request.
pub(crate) fn named_type(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = single(headers, &TYPE_HEADER, "type.invalid")? else {
        return Ok(None);
    };
    let name = String::from_utf8_lossy(value.as_bytes());
    check_type_name(&name, "`statefun-type`")?;
    Ok(Some(name.into_owned()))
}

/// Refuses what is not the name of a type, and stands in the header `place`.
pub(crate) fn check_type_name(name: &str, place: &str) -> Result<(), Refusal> {
    let is_visible = name
        .bytes()
        .all(|byte| byte.is_ascii_graphic() || byte == b' ');
    match name.rsplit_once('/') {
        Some((namespace, local)) if is_visible && !namespace.is_empty() && !local.is_empty() => {
            Ok(())
        }
        _ => {
            let text = format!(
                "{place} names the type `{}`; a type is named <namespace>/<name>, such as {STRING}",
                shown(name)
            );
            Err(refuse(StatusCode::BAD_REQUEST, "type.invalid", &text))
        }
    }
}

pub(crate) fn content_type(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let value = headers.get(CONTENT_TYPE).map(HeaderValue::to_str);
    value.transpose().map_err(|_| {
        let text = "`content-type` has characters that are not visible ASCII";
        refuse(StatusCode::BAD_REQUEST, "head.invalid", text)
    })
}

/// Refuses text in another encoding, whose bytes would be misread as UTF-8.
///
/// The charset is that of `content-type`, by default UTF-8, which includes ASCII.
pub(crate) fn check_charset(headers: &HeaderMap) -> Result<(), Refusal> {
    let parameters = content_type(headers)?
        .unwrap_or_default()
        .split(';')
        .skip(1);
    let mut charsets = parameters.filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| value.trim().trim_matches('"'))
    });
    let is_read = |charset: &str| {
        let known = ["utf-8", "utf8", "us-ascii", "ascii"];
        known.iter().any(|name| charset.eq_ignore_ascii_case(name))
    };
    let Some(other) = charsets.find(|charset| !is_read(charset)) else {
        return Ok(());
    };
    let other: String = other.chars().take(SHOWN_CHARACTERS).collect();
    let text =
        format!("text is UTF-8 here, and `content-type` says charset `{other}`; send it as UTF-8");
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Err(refuse(status, "charset.unsupported", &text))
}

/// The value of a header that may be repeated, but not with another value.
fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    code: &str,
) -> Result<Option<&'a HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.all(|other| other == value) {
        return Ok(Some(value));
    }
    let text = format!("`{name}` stands in the request with two values; send one");
    Err(refuse(StatusCode::BAD_REQUEST, code, &text))
}

/// Text from outside, shortened and without control characters.
fn shown(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .take(SHOWN_CHARACTERS)
        .collect()
}

/// The type for a content type; without one it is text.
pub(crate) fn type_of_content(
    headers: &HeaderMap,
    json_type: &TypeName,
) -> Result<String, Refusal> {
    let content_type = content_type(headers)?.unwrap_or("text/plain");
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let is = |name: &str| essence.eq_ignore_ascii_case(name);
    // RFC 6839: `application/cloudevents+json` is JSON.
    let suffix = essence.rfind('+').and_then(|at| essence.get(at..));
    let is_json = || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"));
    let type_name = match essence {
        _ if is("application/json") || is_json() => json_type.to_string(),
        _ if is("text/plain") => STRING.to_owned(),
        other => {
            let other = other.to_ascii_lowercase();
            let other: String = other.chars().take(SHOWN_CHARACTERS).collect();
            let text = format!(
                "content type `{other}` says nothing of the value's type: send `text/plain`, `application/json`, or name the type in `statefun-type`"
            );
            return Err(refuse(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "type.unknown",
                &text,
            ));
        }
    };
    check_charset(headers)?;
    Ok(type_name)
}

/// The whole body, within the limits of its listener.
pub(crate) async fn body(request: Request<Body>, bodies: &BodyReader) -> Result<Bytes, Refusal> {
    limited_body(request, bodies, None).await
}

async fn limited_body(
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

/// A part of a path, decoded.
pub(crate) fn path_part(part: &str) -> Result<String, Refusal> {
    percent_decoded(part).ok_or_else(|| {
        let part: String = part.chars().take(SHOWN_CHARACTERS).collect();
        let text = format!(
            "`{part}` in the path is not percent-encoded UTF-8: write a percent sign as %25, and other characters as %xx"
        );
        refuse(StatusCode::BAD_REQUEST, "path.malformed", &text)
    })
}

/// Decodes `%xx` sequences; `None` if the text is not UTF-8 or a sequence is invalid.
pub(crate) fn percent_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
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

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn broken_sequences_and_other_encodings_are_refused() {
        assert_eq!(percent_decoded("a%2Fb%c3%a4+").as_deref(), Some("a/bä+"));
        for broken in ["%", "%2", "%zz", "%+f", "%ff"] {
            assert_eq!(percent_decoded(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_type_is_named_once_and_by_namespace_and_name() {
        let named = |pairs: &[_]| named_type(&headers(pairs)).map_err(|refusal| refusal.status());
        assert_eq!(named(&[]), Ok(None));
        let twice = [
            ("statefun-type", "shop/order"),
            ("statefun-type", "shop/order"),
        ];
        assert_eq!(named(&twice), Ok(Some("shop/order".to_owned())));
        let different = [
            ("statefun-type", "shop/order"),
            ("statefun-type", "shop/cart"),
        ];
        assert_eq!(named(&different), Err(StatusCode::BAD_REQUEST));
        for wrong in ["", "order", "/order", "shop/"] {
            let pairs = [("statefun-type", wrong)];
            assert_eq!(named(&pairs), Err(StatusCode::BAD_REQUEST), "{wrong}");
        }
    }

    #[test]
    fn two_different_keys_are_refused() {
        let key =
            |pairs: &[_]| idempotency_key(&headers(pairs)).map_err(|refusal| refusal.status());
        let twice = [("idempotency-key", "a"), ("idempotency-key", "a")];
        assert_eq!(key(&twice), Ok(Some("a".to_owned())));
        let different = [("idempotency-key", "a"), ("idempotency-key", "b")];
        assert_eq!(key(&different), Err(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn text_in_another_encoding_is_refused() {
        let checked = |content_type: &'static str| {
            let checked = check_charset(&headers(&[("content-type", content_type)]));
            checked.map_err(|refusal| refusal.status().as_u16())
        };
        for read in [
            "text/plain",
            "text/plain; charset=UTF-8",
            "text/plain; format=flowed; charset=\"utf-8\"",
            "application/json;charset=us-ascii",
        ] {
            assert_eq!(checked(read), Ok(()), "{read}");
        }
        for other in [
            "text/plain; charset=utf-16",
            "text/plain;CHARSET=\"iso-8859-1\"",
            "application/json; charset=utf-8; charset=utf-16",
            "text/plain; charset=",
        ] {
            assert_eq!(checked(other), Err(415), "{other}");
        }
    }

    #[test]
    fn json_with_another_name_is_json() {
        let json = TypeName::new("statefun/json");
        let of = |value| type_of_content(&headers(&[("content-type", value)]), &json);
        for content_type in [
            "application/json",
            "Application/CloudEvents+JSON; charset=utf-8",
        ] {
            assert_eq!(of(content_type).ok().unwrap(), "statefun/json");
        }
        assert!(of("application/jsonl").is_err());
    }
}
