//! The origin of a URL. Connections are pooled by it.

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Uri};

use super::error::FailureKind;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) tls: bool,
    pub(super) authority: Authority,
}

impl Origin {
    pub(super) fn of(url: &Uri) -> Result<Self, FailureKind> {
        let (tls, authority) = match (url.scheme(), url.authority()) {
            (Some(scheme), Some(authority)) if *scheme == Scheme::HTTP => (false, authority),
            (Some(scheme), Some(authority)) if *scheme == Scheme::HTTPS => (true, authority),
            _ => {
                let text = "an absolute http or https URL is required";
                return Err(FailureKind::InvalidRequest(text));
            }
        };
        if authority.as_str().contains('@') {
            let text = "the URL carries credentials; send them in an `authorization` header";
            return Err(FailureKind::InvalidRequest(text));
        }
        port_of(authority).map_err(FailureKind::InvalidRequest)?;
        Ok(Self {
            tls,
            authority: authority.clone(),
        })
    }

    /// Its root, as a URL.
    pub(super) fn url(&self) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(if self.tls {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        });
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(PathAndQuery::from_static("/"));
        Uri::from_parts(parts).expect("scheme, authority and path are all there")
    }

    /// The name for TLS: no port, no brackets around an IPv6 address.
    pub(super) fn name(&self) -> &str {
        let host = self.authority.host();
        host.strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host)
    }

    pub(super) fn port(&self) -> u16 {
        let default = if self.tls { 443 } else { 80 };
        self.authority.port_u16().unwrap_or(default)
    }

    /// Host and port, always with the port.
    pub(super) fn with_port(&self) -> String {
        format!("{}:{}", self.authority.host(), self.port())
    }

    /// Host and port, without the default port.
    pub(super) fn host(&self) -> Option<HeaderValue> {
        let default = if self.tls { 443 } else { 80 };
        let host = match self.authority.port_u16() {
            Some(port) if port != default => self.authority.as_str(),
            _ => self.authority.host(),
        };
        HeaderValue::from_str(host).ok()
    }
}

/// The port in `authority`; `None` stands for the scheme's default.
///
/// # Errors
/// If it is not a valid port: the `http` crate accepts any digits.
pub(crate) fn port_of(authority: &Authority) -> Result<Option<u16>, &'static str> {
    let after_host = authority.as_str().rsplit_once(authority.host());
    let port = after_host.and_then(|(_, rest)| rest.strip_prefix(':'));
    match (port, authority.port_u16()) {
        (None | Some(""), _) => Ok(None),
        (Some(_), Some(port)) if port > 0 => Ok(Some(port)),
        _ => Err("its port is not a number from 1 to 65535"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Origin {
        Origin::of(&url.parse().unwrap()).unwrap()
    }

    #[test]
    fn host_leaves_out_the_default_port() {
        for (url, host) in [
            ("http://a:80/x", "a"),
            ("http://a:443/x", "a:443"),
            ("https://a:443/x", "a"),
            ("https://[::1]:8443/x", "[::1]:8443"),
            ("http://a?x", "a"),
        ] {
            assert_eq!(origin(url).host().unwrap(), host, "{url}");
        }
        assert_eq!(origin("https://[::1]:8443/x").name(), "::1");
        assert_eq!(origin("https://a:1/x?y").url(), "https://a:1/");
    }

    #[test]
    fn an_invalid_port_is_refused() {
        let of = |url: &str| Origin::of(&url.parse().unwrap());
        for url in ["http://h:99999/", "http://[::1]:65536/", "http://h:0/"] {
            assert!(of(url).is_err(), "{url}");
        }
        for url in ["http://h:65535/", "http://h:/", "http://[::1]/"] {
            assert!(of(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn schemes_and_hosts_are_compared_by_meaning() {
        assert_eq!(origin("http://A/1"), origin("http://a/2"));
        assert_ne!(origin("http://a/"), origin("https://a/"));
        assert_ne!(origin("http://a/"), origin("http://a:81/"));
    }
}
