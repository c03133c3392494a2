//! Proxies: which requests go through one, and how a tunnel is opened.

use std::fmt;
use std::io;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::origin::Origin;
use crate::printable;

/// Maximum length of a proxy's answer to `CONNECT`.
const MAX_HEAD_BYTES: usize = 16 * 1024;
const MAX_TOLD_CHARS: usize = 200;

/// Which requests go through a proxy. The default is none.
///
/// Requests to `http` URLs are sent to the proxy as they are; for `https` URLs a tunnel is opened with `CONNECT`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    direct: Vec<Direct>,
    /// Whether this machine itself is reached directly.
    local_is_direct: bool,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    pub(super) origin: Origin,
    pub(super) authorization: Option<HeaderValue>,
}

/// Hosts that are reached directly.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Direct {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    All,
    Network(IpAddr, u32),
    /// The domain, in lower case; true if only its subdomains are meant.
    Domain(String, bool),
}

/// An invalid proxy, or an invalid exception from it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` {what}")]
pub struct InvalidProxy {
    given: String,
    what: &'static str,
}

impl Proxies {
    /// Sends everything through `url`: `http://host:port`, with `user:password@` if the proxy requires it.
    ///
    /// # Errors
    /// If the URL is invalid or has another scheme.
    pub fn all(url: &str) -> Result<Self, InvalidProxy> {
        let proxy = Proxy::parse(url)?;
        Ok(Self {
            http: Some(proxy.clone()),
            https: Some(proxy),
            ..Self::default()
        })
    }

    /// The proxies given by the variables `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`; empty ones count as absent.
    ///
    /// `localhost` and loopback addresses are reached directly. `no_proxy` is separated by commas: `*`, addresses, networks such as
    /// `10.0.0.0/8`, and domains (`example.org` includes its subdomains, `.example.org` is its subdomains only), optionally with a port.
    ///
    /// # Errors
    /// The variable that is invalid, and why.
    pub fn from_variables(
        http: Option<&str>,
        https: Option<&str>,
        no_proxy: Option<&str>,
    ) -> Result<Self, InvalidProxy> {
        let given = |text: Option<&str>| match text.map(str::trim) {
            None | Some("") => Ok(None),
            Some(text) => Proxy::parse(text).map(Some),
        };
        let direct = no_proxy.unwrap_or_default().split(',').map(str::trim);
        Ok(Self {
            http: given(http)?,
            https: given(https)?,
            direct: direct
                .filter(|entry| !entry.is_empty())
                .map(Direct::parse)
                .collect::<Result<_, _>>()?,
            local_is_direct: true,
        })
    }

    /// Whether no request at all goes through a proxy.
    pub fn is_empty(&self) -> bool {
        self.http.is_none() && self.https.is_none()
    }

    /// The proxy for requests to `origin`.
    pub(super) fn of(&self, origin: &Origin) -> Option<&Proxy> {
        let proxy = if origin.tls { &self.https } else { &self.http };
        let proxy = proxy.as_ref()?;
        let is_direct = (self.local_is_direct && is_local(origin.name()))
            || self.direct.iter().any(|direct| direct.takes(origin));
        (!is_direct).then_some(proxy)
    }
}

impl Proxy {
    fn parse(text: &str) -> Result<Self, InvalidProxy> {
        // Messages must not repeat credentials.
        let shown = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
        let invalid = |what| InvalidProxy {
            given: shown.to_owned(),
            what,
        };
        let rest = match text.split_once("://") {
            None => text,
            Some(("http", rest)) => rest,
            Some(("https", _)) => {
                return Err(invalid(
                    "is a proxy reached over TLS, which is not supported; use one at http://host:port",
                ));
            }
            Some(_) => {
                return Err(invalid(
                    "is not an HTTP proxy; write it as http://host:port",
                ));
            }
        };
        let (credentials, address) = match rest.rsplit_once('@') {
            None => (None, rest),
            Some((credentials, address)) => (Some(credentials), address),
        };
        let form = "is not a proxy; write it as http://host:port";
        let url: Uri = format!("http://{}", address.trim_end_matches('/'))
            .parse()
            .map_err(|_| invalid(form))?;
        if url.path() != "/" || url.query().is_some() {
            return Err(invalid(form));
        }
        let origin = Origin::of(&url).map_err(|_| invalid(form))?;
        let authorization = credentials.map(|credentials| {
            let plain = percent_decoded(credentials);
            HeaderValue::try_from(format!("Basic {}", STANDARD.encode(plain)))
        });
        let mut authorization = authorization.transpose().map_err(|_| invalid(form))?;
        if let Some(value) = &mut authorization {
            value.set_sensitive(true);
        }
        Ok(Self {
            origin,
            authorization,
        })
    }

    /// Asks the proxy to connect `stream` to `origin`.
    pub(super) async fn tunnel(&self, stream: &mut TcpStream, origin: &Origin) -> io::Result<()> {
        let target = origin.with_port();
        let mut head = format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n").into_bytes();
        if let Some(value) = &self.authorization {
            head.extend_from_slice(b"proxy-authorization: ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        stream.write_all(&head).await?;
        let mut answer = Vec::new();
        // Byte by byte, because all further bytes belong to the tunnel.
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() == MAX_HEAD_BYTES {
                return Err(io::Error::other(format!(
                    "the answer of {self} to CONNECT is too long"
                )));
            }
            let byte = stream.read_u8().await;
            answer.push(byte.map_err(|err| {
                io::Error::new(
                    err.kind(),
                    format!("{self} closed the connection instead of opening a tunnel to {target}"),
                )
            })?);
        }
        let bytes = answer;
        let answer = String::from_utf8_lossy(&bytes);
        let mut words = answer.split_ascii_whitespace();
        let is_http = words
            .next()
            .is_some_and(|version| version.starts_with("HTTP/1."));
        match words.next() {
            Some(status) if is_http && status.len() == 3 && status.starts_with('2') => Ok(()),
            _ => {
                let told = printable::first_line_of(&bytes, MAX_TOLD_CHARS);
                let text =
                    format!("{self} refused to open a tunnel to {target}: it answered `{told}`");
                Err(io::Error::new(io::ErrorKind::ConnectionRefused, text))
            }
        }
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy {}", self.origin.with_port())
    }
}

/// Without the credentials.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Proxy")
            .field(&self.origin.authority.as_str())
            .finish()
    }
}

impl Direct {
    fn parse(entry: &str) -> Result<Self, InvalidProxy> {
        let invalid = |what| InvalidProxy {
            given: entry.to_owned(),
            what,
        };
        if entry == "*" {
            let (hosts, port) = (Hosts::All, None);
            return Ok(Self { hosts, port });
        }
        if let Some((address, bits)) = entry.split_once('/') {
            let network = address.parse::<IpAddr>().ok().zip(bits.parse().ok());
            let network = network.filter(|(address, bits)| *bits <= width(*address));
            let (address, bits) =
                network.ok_or_else(|| invalid("is not a network; write it like 10.0.0.0/8"))?;
            let (hosts, port) = (Hosts::Network(address, bits), None);
            return Ok(Self { hosts, port });
        }
        let (host, port) = match entry.parse::<IpAddr>() {
            Ok(_) => (entry, None),
            Err(_) => match entry.rsplit_once(':') {
                None => (entry, None),
                Some((host, port)) => {
                    let port = port.parse().map_err(|_| invalid("has no valid port"))?;
                    (host, Some(port))
                }
            },
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let hosts = match bare.parse::<IpAddr>() {
            Ok(address) => Hosts::Network(address, width(address)),
            Err(_) => {
                let name = host.strip_prefix("*.").map_or(host, |rest| rest);
                let below = name.len() != host.len() || name.starts_with('.');
                let name = name.trim_start_matches('.').to_ascii_lowercase();
                if name.is_empty() || name.contains(['/', '*', ' ']) {
                    return Err(invalid("is not a host, a domain or a network"));
                }
                Hosts::Domain(name, below)
            }
        };
        Ok(Self { hosts, port })
    }

    fn takes(&self, origin: &Origin) -> bool {
        if self.port.is_some_and(|port| port != origin.port()) {
            return false;
        }
        let name = origin.name();
        match &self.hosts {
            Hosts::All => true,
            Hosts::Network(network, bits) => name
                .parse::<IpAddr>()
                .is_ok_and(|address| prefix(address, *bits) == prefix(*network, *bits)),
            Hosts::Domain(domain, below) => {
                let name = name.to_ascii_lowercase();
                let above = name.strip_suffix(domain.as_str());
                above.is_some_and(|above| above.ends_with('.') || (above.is_empty() && !below))
            }
        }
    }
}

const fn width(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The first bits of an address, and its length.
fn prefix(address: IpAddr, bits: u32) -> (u32, Option<u128>) {
    let width = width(address);
    let number = match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    (width, number.checked_shr(width.saturating_sub(bits)))
}

fn is_local(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Decodes `%xx` sequences; anything else stays as it is.
fn percent_decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match (byte, tail) {
            (b'%', [high, low, tail @ ..]) if digit(*high).is_some() && digit(*low).is_some() => {
                out.extend(
                    digit(*high)
                        .zip(digit(*low))
                        .map(|(high, low)| high * 16 + low),
                );
                rest = tail;
            }
            _ => out.push(*byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Origin {
        Origin::of(&url.parse().unwrap()).unwrap()
    }

    fn proxy_of(proxies: &Proxies, url: &str) -> Option<String> {
        let proxy = proxies.of(&origin(url))?;
        Some(proxy.origin.with_port())
    }

    #[test]
    fn each_scheme_has_its_proxy_and_this_machine_needs_none() {
        let proxies =
            Proxies::from_variables(Some("http://plain:3128"), Some("tls:8080"), Some(" "))
                .unwrap();
        assert_eq!(
            proxy_of(&proxies, "http://h/").as_deref(),
            Some("plain:3128")
        );
        assert_eq!(
            proxy_of(&proxies, "https://h/").as_deref(),
            Some("tls:8080")
        );
        for local in [
            "http://localhost/",
            "https://127.0.0.2/",
            "http://[::1]:80/",
        ] {
            assert_eq!(proxy_of(&proxies, local), None, "{local}");
        }
        let only = Proxies::from_variables(None, Some("http://tls"), None).unwrap();
        assert_eq!(proxy_of(&only, "http://h/"), None);
        assert_eq!(proxy_of(&only, "https://h/").as_deref(), Some("tls:80"));
        assert!(
            Proxies::from_variables(Some(""), None, Some("*"))
                .unwrap()
                .is_empty()
        );
        let all = Proxies::all("http://p:1").unwrap();
        assert_eq!(proxy_of(&all, "http://127.0.0.1/").as_deref(), Some("p:1"));
    }

    #[test]
    fn exceptions_are_hosts_domains_networks_and_ports() {
        for (no_proxy, url, is_direct) in [
            ("*", "http://h/", true),
            ("example.org", "http://example.org/", true),
            ("example.org", "http://a.EXAMPLE.org/", true),
            ("example.org", "http://badexample.org/", false),
            (".example.org", "http://example.org/", false),
            (".example.org", "http://a.example.org/", true),
            ("*.example.org", "http://a.example.org/", true),
            ("other, example.org:8080", "http://example.org:8080/", true),
            ("example.org:8080", "http://example.org/", false),
            ("10.0.0.0/8", "http://10.9.8.7/", true),
            ("10.0.0.0/8", "http://11.9.8.7/", false),
            ("0.0.0.0/0", "http://11.9.8.7/", true),
            ("192.168.1.7", "http://192.168.1.7:81/", true),
            ("192.168.1.7:80", "http://192.168.1.7:81/", false),
            ("fd00::/8", "http://[fd12::1]/", true),
            ("fd12::1", "http://[fd12::1]/", true),
            ("[fd12::1]:81", "http://[fd12::1]/", false),
        ] {
            let proxies = Proxies::from_variables(Some("p:1"), None, Some(no_proxy)).unwrap();
            assert_eq!(
                proxy_of(&proxies, url).is_none(),
                is_direct,
                "{no_proxy} {url}"
            );
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_its_password() {
        for (text, told) in [
            ("socks5://h:1080", "is not an HTTP proxy"),
            ("https://h:443", "reached over TLS"),
            ("http://me:secret@h:99999", "write it as http://host:port"),
            ("http://h:0", "write it as http://host:port"),
            ("http://h/path", "write it as http://host:port"),
            ("http://", "write it as http://host:port"),
        ] {
            let fault = Proxies::all(text).unwrap_err().to_string();
            assert!(fault.contains(told) && !fault.contains("secret"), "{fault}");
        }
        for no_proxy in ["10.0.0.0/33", "h:port", "a/b", "."] {
            assert!(
                Proxies::from_variables(None, None, Some(no_proxy)).is_err(),
                "{no_proxy}"
            );
        }
        let proxies = Proxies::all("http://me:s%40cret@h:1").unwrap();
        assert!(!format!("{proxies:?}").contains("cret"), "{proxies:?}");
        let value = proxies.http.unwrap().authorization.unwrap();
        assert_eq!(value, format!("Basic {}", STANDARD.encode("me:s@cret")));
    }
}
