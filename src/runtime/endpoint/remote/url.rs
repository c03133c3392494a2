//! The destination of a function's URL: TCP, or a UNIX socket.

use std::path::PathBuf;

use http::Uri;

use super::answer::Rules;

/// StateFun's host name for a UNIX socket.
const SOCKET_HOST: &str = "http://unused";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) url: Uri,
    /// A UNIX socket. It uses plain HTTP, whatever the scheme.
    pub(super) socket: Option<PathBuf>,
}

impl Destination {
    /// Reads a URL without fragment.
    ///
    /// # Errors
    /// With StateFun's text, if it has one.
    pub(super) fn parse(url: &str, rules: Rules) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        if !["http+unix", "https+unix"]
            .iter()
            .any(|unix| scheme.eq_ignore_ascii_case(unix))
        {
            let url: Uri = url
                .parse()
                .map_err(|err| format!("`{url}` is not a URL: {err}"))?;
            return Ok(Self { url, socket: None });
        }
        if rules == Rules::Async {
            return Err("hostname can't be null".to_owned());
        }
        let path = rest.find('/').map_or("", |at| rest.split_at(at).1);
        let (socket, request) =
            split(path).ok_or("Unix Domain Socket path should contain a .sock file")?;
        let url = format!("{SOCKET_HOST}{request}");
        Ok(Self {
            url: url
                .parse()
                .map_err(|err| format!("`{request}` is not a path: {err}"))?,
            socket: Some(PathBuf::from(decoded(socket))),
        })
    }
}

/// The path of the socket, up to the first part that ends in `.sock`, and the path and query of the request.
fn split(path: &str) -> Option<(&str, &str)> {
    let end = path.find('?').unwrap_or(path.len());
    let (before_query, _) = path.split_at(end);
    let mut at = 0;
    for part in before_query.split('/') {
        at += part.len();
        if part.ends_with(".sock") {
            return Some(path.split_at(at));
        }
        at += 1;
    }
    None
}

/// `%20` as a blank: a file's name is not a URL.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, byte) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_as_they_are_written() {
        for url in [
            "http://a/b%20c/%2F?d=%3D&e",
            "https://[::1]:1/",
            "http://a/B//c/../d",
        ] {
            let parsed = Destination::parse(url, Rules::Async).unwrap();
            assert_eq!(
                (parsed.url.to_string(), parsed.socket),
                (url.to_owned(), None)
            );
        }
        let err = Destination::parse("http://a b/", Rules::OkHttp).unwrap_err();
        assert!(err.starts_with("`http://a b/` is not a URL: "), "{err}");
    }

    #[test]
    fn sf_30_the_first_sock_file_ends_the_path_of_the_socket() {
        for (url, socket, request) in [
            (
                "http+unix:///run/fn.sock/statefun",
                "/run/fn.sock",
                "/statefun",
            ),
            (
                "https+unix:///run/fn.sock/a/b.sock?c=/d",
                "/run/fn.sock",
                "/a/b.sock?c=/d",
            ),
            (
                "HTTP+UNIX:///run/my%20fn.sock/a%20b",
                "/run/my fn.sock",
                "/a%20b",
            ),
            ("http+unix:///fn.sock", "/fn.sock", "/"),
            ("http+unix://lost/run/fn.sock/a", "/run/fn.sock", "/a"),
        ] {
            let parsed = Destination::parse(url, Rules::OkHttp).unwrap();
            assert_eq!(parsed.socket.unwrap().to_str(), Some(socket), "{url}");
            assert_eq!(
                parsed.url.to_string(),
                format!("http://unused{request}"),
                "{url}"
            );
        }
    }

    #[test]
    fn sf_30_sockets_need_okhttp_and_a_sock_file() {
        let parse = |url, rules| Destination::parse(url, rules).unwrap_err();
        let url = "http+unix:///run/fn.sock/a";
        assert_eq!(parse(url, Rules::Async), "hostname can't be null");
        let url = "http+unix:///run/fn?x.sock";
        let text = "Unix Domain Socket path should contain a .sock file";
        assert_eq!(parse(url, Rules::OkHttp), text);
    }
}
