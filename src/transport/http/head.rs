//! Checks of every request's head, whatever its path.

use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue,
    ORIGIN, TRANSFER_ENCODING,
};
use http::uri::Authority;
use http::{Request, Uri, Version};

/// The header in which browsers say what kind of page makes a request.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Headers that would be ambiguous if they occurred twice.
const ONCE: [HeaderName; 6] = [
    HOST,
    AUTHORIZATION,
    CONTENT_TYPE,
    CONTENT_LENGTH,
    EXPECT,
    ORIGIN,
];

/// Why a request is refused because of its head. Each has a status and a line of text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadFault {
    #[error("an HTTP/1.1 request names its host: send one `host` header")]
    NoHost,
    #[error(
        "the request names two hosts; `host` and the address in its first line must be the same"
    )]
    TwoHosts,
    #[error("header `{0}` occurs twice in the request; send it once")]
    Twice(HeaderName),
    #[error("unknown expectation in `expect`; send `100-continue`, or omit the header")]
    Expectation,
    #[error("`transfer-encoding: {0}` names `chunked` more than once; send it once")]
    ChunkedTwice(String),
    #[error(
        "`transfer-encoding: {0}` has a coding that is not supported; send `chunked` alone, and name a compression in `content-encoding`"
    )]
    TransferEncoding(String),
}

impl HeadFault {
    /// Its HTTP status.
    pub(crate) const fn status(&self) -> u16 {
        match self {
            Self::NoHost | Self::TwoHosts | Self::Twice(_) | Self::ChunkedTwice(_) => 400,
            Self::Expectation => 417,
            Self::TransferEncoding(_) => 501,
        }
    }
}

/// Refuses ambiguous requests: without a host, or with headers that contradict each other.
pub(crate) fn check<B>(request: &Request<B>) -> Result<(), HeadFault> {
    let headers = request.headers();
    if headers.len() != headers.keys_len()
        && let Some(name) = ONCE
            .iter()
            .find(|name| headers.get_all(*name).iter().nth(1).is_some())
    {
        return Err(HeadFault::Twice(name.clone()));
    }
    match (headers.get(HOST), request.uri().authority()) {
        (None, _) if request.version() == Version::HTTP_11 => return Err(HeadFault::NoHost),
        (Some(host), Some(authority)) if !is_named(host, authority) => {
            return Err(HeadFault::TwoHosts);
        }
        _ => {}
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        check_transfer_encoding(headers)?;
    }
    match headers.get(EXPECT) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            Err(HeadFault::Expectation)
        }
        _ => Ok(()),
    }
}

/// hyper reads only the last coding and decodes the chunks; the effect of another coding would stay in the bytes.
fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), HeadFault> {
    let values = headers.get_all(TRANSFER_ENCODING).iter();
    let values: Vec<_> = values
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    let named = values.join(", ");
    let mut codings = named
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    if codings
        .clone()
        .any(|name| !name.eq_ignore_ascii_case("chunked"))
    {
        return Err(HeadFault::TransferEncoding(shown(&named)));
    }
    match codings.nth(1) {
        Some(_) => Err(HeadFault::ChunkedTwice(shown(&named))),
        None => Ok(()),
    }
}

/// Foreign text is shown up to this length.
const SHOWN_CHARACTERS: usize = 100;

fn shown(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .take(SHOWN_CHARACTERS)
        .collect()
}

fn is_named(host: &HeaderValue, authority: &Authority) -> bool {
    let name = authority.as_str().as_bytes();
    host.as_bytes().eq_ignore_ascii_case(name)
}

/// The host and port that the request names. HTTP/1.0 requests may lack it; no browser speaks HTTP/1.0.
pub(crate) fn host_of<B>(request: &Request<B>) -> Option<&str> {
    match request.headers().get(HOST) {
        // No valid host has other characters.
        Some(host) => Some(host.to_str().unwrap_or_default()),
        None => request.uri().authority().map(Authority::as_str),
    }
}

/// Whether a page of another origin makes the request, according to its browser.
pub(crate) fn is_cross_site(headers: &HeaderMap, host: Option<&str>) -> bool {
    // A page on another port of this host is "same-site", but still another origin.
    let is_foreign = |site: &HeaderValue| !matches!(site.as_bytes(), b"same-origin" | b"none");
    headers.get(FETCH_SITE).is_some_and(is_foreign)
        || headers
            .get(ORIGIN)
            .is_some_and(|origin| !is_origin(origin, host))
}

/// Whether `origin` is `http(s)://<host>`.
fn is_origin(origin: &HeaderValue, host: Option<&str>) -> bool {
    let origin = origin
        .to_str()
        .ok()
        .and_then(|text| text.parse::<Uri>().ok());
    let authority = origin.as_ref().and_then(Uri::authority);
    authority.is_some_and(|authority| Some(authority.as_str()) == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, uri: &str, headers: &[(&'static str, &str)]) -> Request<()> {
        let mut request = Request::builder().version(version).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn a_request_names_one_host() {
        let one = [("host", "a:1")];
        let two = [("host", "a:1"), ("host", "a:1")];
        let checked = |version, uri, headers| check(&request(version, uri, headers));
        assert_eq!(checked(Version::HTTP_11, "/x", &one), Ok(()));
        assert_eq!(checked(Version::HTTP_11, "http://A:1/x", &one), Ok(()));
        assert_eq!(checked(Version::HTTP_10, "/x", &[]), Ok(()));
        assert_eq!(checked(Version::HTTP_2, "http://a:1/x", &[]), Ok(()));
        assert_eq!(checked(Version::HTTP_11, "/x", &[]), Err(HeadFault::NoHost));
        assert_eq!(
            checked(Version::HTTP_11, "/x", &two),
            Err(HeadFault::Twice(HOST))
        );
        for version in [Version::HTTP_11, Version::HTTP_2] {
            assert_eq!(
                checked(version, "http://b:1/x", &one),
                Err(HeadFault::TwoHosts)
            );
        }
    }

    #[test]
    fn headers_of_which_one_counts_stand_once() {
        for name in [
            "content-type",
            "authorization",
            "content-length",
            "expect",
            "origin",
        ] {
            let headers = [
                ("host", "a"),
                (name, "100-continue"),
                (name, "100-continue"),
            ];
            let refused = check(&request(Version::HTTP_11, "/", &headers)).unwrap_err();
            assert_eq!(refused.status(), 400);
            assert!(refused.to_string().contains(name), "{refused}");
        }
        let many = [("host", "a"), ("accept", "x"), ("accept", "y")];
        assert_eq!(check(&request(Version::HTTP_11, "/", &many)), Ok(()));
    }

    #[test]
    fn only_100_continue_may_be_expected() {
        let expecting = |value| {
            check(&request(
                Version::HTTP_11,
                "/",
                &[("host", "a"), ("expect", value)],
            ))
        };
        assert_eq!(expecting("100-Continue"), Ok(()));
        assert_eq!(expecting("200-ok").unwrap_err().status(), 417);
    }

    #[test]
    fn a_body_is_sent_in_chunks_and_nothing_else() {
        let sent = |values: &[&str]| {
            let mut headers = vec![("host", "a")];
            headers.extend(values.iter().map(|value| ("transfer-encoding", *value)));
            let checked = check(&request(Version::HTTP_11, "/", &headers));
            checked.map_err(|fault| fault.status())
        };
        assert_eq!(sent(&["Chunked"]), Ok(()));
        for twice in [&["chunked, chunked"][..], &["chunked", "chunked"]] {
            assert_eq!(sent(twice), Err(400), "{twice:?}");
        }
        for other in [&["gzip, chunked"][..], &["gzip", "chunked"], &["identity"]] {
            assert_eq!(sent(other), Err(501), "{other:?}");
        }
    }

    #[test]
    fn a_page_of_another_origin_is_recognised_by_the_headers_of_its_browser() {
        let is_foreign = |headers: &[(&'static str, &str)]| {
            let request = request(Version::HTTP_11, "/", headers);
            is_cross_site(request.headers(), Some("127.0.0.1:8090"))
        };
        for own in [
            &[][..],
            &[("origin", "http://127.0.0.1:8090")],
            &[("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "none")],
        ] {
            assert!(!is_foreign(own), "{own:?}");
        }
        for foreign in [
            ("origin", "http://example.org"),
            ("origin", "http://127.0.0.1:3000"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert!(is_foreign(&[foreign]), "{foreign:?}");
        }
    }
}
