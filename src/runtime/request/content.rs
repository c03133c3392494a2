//! The type and the encoding of a value, from the headers of its request.

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::runtime::respond::{Refusal, TYPE_HEADER, refuse};
use crate::sdk::TypeName;

const STRING: &str = "io.statefun.types/string";
/// Text from outside is shown up to this length.
pub(super) const SHOWN_CHARACTERS: usize = 100;

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
pub(super) fn single<'a>(
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
