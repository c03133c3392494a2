//! Headers that control the framing of a message: setting them could cut off a body, or end a connection that others use.

#[cfg(feature = "pipeline")]
use http::header::HeaderName;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};

use super::HttpRequest;
use super::error::FailureKind;

/// Why a setting must not contain the header `name`; `None` if it may.
#[cfg(feature = "pipeline")]
pub(crate) fn reserved(name: &HeaderName) -> Option<&'static str> {
    const LENGTH: &str =
        "says how long the body is, and a wrong one cuts it off; it is set for each request";
    const HOP: &str = "is about the connection, not about the request; leave it out";
    match name.as_str() {
        "content-length" | "transfer-encoding" => Some(LENGTH),
        "connection" | "keep-alive" | "te" | "trailer" | "upgrade" => Some(HOP),
        "expect" => Some("makes a server wait before it reads the body; leave it out"),
        proxy if proxy.starts_with("proxy-") => Some(HOP),
        _ => None,
    }
}

/// Whether the headers of `request` agree with its body.
pub(super) fn check(request: &HttpRequest) -> Result<(), FailureKind> {
    if request.headers.contains_key(TRANSFER_ENCODING) {
        let text = "the header `transfer-encoding` can't be set";
        return Err(FailureKind::InvalidRequest(text));
    }
    if !request.headers.contains_key(CONTENT_LENGTH) {
        return Ok(());
    }
    let length = request.body.len().to_string();
    let lengths = request.headers.get_all(CONTENT_LENGTH);
    if lengths.iter().any(|given| *given != length) {
        let text = "the header `content-length` is not the length of the body";
        return Err(FailureKind::InvalidRequest(text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method};

    use super::*;

    #[test]
    fn a_request_with_another_length_than_its_body_is_refused() {
        let mut request = HttpRequest::new(Method::POST, "http://h/".parse().unwrap());
        request.body = "12345678".into();
        assert!(check(&request).is_ok());
        let mut with = |name: HeaderName, value: &'static str| {
            request.headers.clear();
            request
                .headers
                .insert(name, HeaderValue::from_static(value));
            check(&request).is_ok()
        };
        assert!(with(CONTENT_LENGTH, "8"));
        assert!(!with(CONTENT_LENGTH, "5"));
        assert!(!with(TRANSFER_ENCODING, "chunked"));
    }
}
