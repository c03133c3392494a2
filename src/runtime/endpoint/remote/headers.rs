//! The headers of each transport, in its order. `content-length` of async is added by the client, at the end.

use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap,
    HeaderValue, USER_AGENT,
};
use http::{Method, Uri};

use super::answer::Rules;

const OCTET_STREAM: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// What a request to `url` carries. `content-length`, where it is listed, is a placeholder for that of the body.
pub(super) fn headers(rules: Rules, method: &Method, url: &Uri) -> HeaderMap {
    let host = host(rules, url);
    match rules {
        Rules::Async => HeaderMap::from_iter([
            (CONTENT_TYPE, OCTET_STREAM),
            (ACCEPT, OCTET_STREAM),
            (ACCEPT_ENCODING, HeaderValue::from_static("gzip,deflate")),
            (CONNECTION, HeaderValue::from_static("keep-alive")),
            (USER_AGENT, HeaderValue::from_static("statefun")),
            (HOST, host),
        ]),
        Rules::OkHttp => {
            let mut headers = HeaderMap::new();
            if *method == Method::POST {
                headers.insert(CONTENT_TYPE, OCTET_STREAM);
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
            headers.insert(HOST, host);
            headers.insert(CONNECTION, HeaderValue::from_static("Keep-Alive"));
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
            headers.insert(USER_AGENT, HeaderValue::from_static("okhttp/3.14.6"));
            headers
        }
    }
}

/// Host and port. Async leaves out both default ports whatever the scheme, okhttp that of the scheme.
fn host(rules: Rules, url: &Uri) -> HeaderValue {
    let is_tls = url.scheme_str() == Some("https");
    let is_default = |port: u16| match rules {
        Rules::Async => port == 80 || port == 443,
        Rules::OkHttp => port == if is_tls { 443 } else { 80 },
    };
    let name = url.host().unwrap_or_default();
    let host = match url.port_u16() {
        Some(port) if !is_default(port) => format!("{name}:{port}"),
        _ => name.to_owned(),
    };
    // A host that was parsed as a part of a URL has no control characters.
    HeaderValue::try_from(host).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(headers: &HeaderMap) -> Vec<&str> {
        headers.keys().map(http::HeaderName::as_str).collect()
    }

    #[test]
    fn sf_07_each_transport_has_its_headers_in_its_order() {
        let url: Uri = "http://functions:8000/x".parse().unwrap();
        let of_async = headers(Rules::Async, &Method::POST, &url);
        let expected = [
            "content-type",
            "accept",
            "accept-encoding",
            "connection",
            "user-agent",
            "host",
        ];
        assert_eq!(names(&of_async), expected);
        let of_okhttp = headers(Rules::OkHttp, &Method::POST, &url);
        let expected = [
            "content-type",
            "content-length",
            "host",
            "connection",
            "accept-encoding",
            "user-agent",
        ];
        assert_eq!(names(&of_okhttp), expected);
        let redirected = headers(Rules::OkHttp, &Method::GET, &url);
        assert_eq!(names(&redirected), expected[2..]);
    }

    #[test]
    fn the_host_is_without_default_ports() {
        for (url, of_async, of_okhttp) in [
            ("http://a/", "a", "a"),
            ("http://a:80/", "a", "a"),
            ("http://a:443/", "a", "a:443"),
            ("https://a:443/", "a", "a"),
            ("https://[::1]:8443/", "[::1]:8443", "[::1]:8443"),
        ] {
            let url: Uri = url.parse().unwrap();
            assert_eq!(host(Rules::Async, &url), of_async, "{url}");
            assert_eq!(host(Rules::OkHttp, &url), of_okhttp, "{url}");
        }
    }
}
