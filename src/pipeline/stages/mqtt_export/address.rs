//! The address of a broker: `mqtt://host:port` and its other spellings.

use std::fmt;

use crate::document::Complaint;

const REMEDY: &str = "write it as mqtt://host:1883, or mqtts://host:8883 with TLS";

/// A broker's host and port, and whether the connection is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct BrokerAddress {
    /// A name, or an IP address; one of version 6 in brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) is_tls: bool,
}

impl BrokerAddress {
    /// The address in a URL of a host and a port. The complaint doesn't repeat the text, which may hold a password.
    pub(crate) fn parse(text: &str) -> Result<Self, Complaint> {
        let not_one = |what: &str| Complaint::with_remedy(what.to_owned(), REMEDY);
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(not_one("not a URL of a broker"));
        };
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "mqtt" | "tcp" => false,
            "mqtts" | "ssl" | "tls" | "tcps" => true,
            "ws" | "wss" => return Err(not_one("MQTT over WebSockets is not supported")),
            _ => return Err(not_one(&format!("`{scheme}` is not a scheme of MQTT"))),
        };
        if rest.contains('@') {
            let remedy = "set `username` and `password`";
            let what = "user and password do not belong in the URL";
            return Err(Complaint::with_remedy(what, remedy));
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) || rest.contains(char::is_whitespace) {
            return Err(not_one("the URL of a broker has a host and a port only"));
        }
        let default = if is_tls { 8883 } else { 1883 };
        let (host, port) = host_and_port(rest);
        let port = match port {
            None => default,
            Some(port) => port_of(port).map_err(|what| not_one(&what))?,
        };
        match host {
            "" | "[]" => Err(not_one("the host is missing")),
            host => Ok(Self {
                host: host.to_owned(),
                port,
                is_tls,
            }),
        }
    }
}

/// Why the port in `text` is impossible. A placeholder such as `<port>` is not a port yet, but may become one.
#[cfg(feature = "edgex")]
pub(super) fn impossible_port(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("://")?;
    let (_, port) = host_and_port(rest.strip_suffix('/').unwrap_or(rest));
    let port = port.filter(|port| port.bytes().all(|byte| byte.is_ascii_alphanumeric()))?;
    port_of(port).err()
}

fn host_and_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        // The colons of an IPv6 address.
        Some((before, _)) if before.starts_with('[') && !before.ends_with(']') => (text, None),
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    }
}

fn port_of(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| format!("`{text}` is not a port: 1 to 65535"))
}

/// The name of the broker as a destination, the same for all spellings of its scheme.
impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "mqtts" } else { "mqtt" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, u16, bool), String> {
        let parsed = BrokerAddress::parse(text).map_err(|complaint| complaint.message)?;
        Ok((parsed.host, parsed.port, parsed.is_tls))
    }

    #[test]
    fn the_url_of_a_broker_has_a_host_and_a_port() {
        let host = |host: &str, port, is_tls| Ok((host.to_owned(), port, is_tls));
        assert_eq!(read("mqtt://broker"), host("broker", 1883, false));
        assert_eq!(read("tcp://10.0.0.1:1884/"), host("10.0.0.1", 1884, false));
        for scheme in ["mqtts", "ssl", "tls", "tcps", "TCPS"] {
            let url = format!("{scheme}://broker");
            assert_eq!(read(&url), host("broker", 8883, true), "{url}");
        }
        assert_eq!(read("ssl://[::1]:99"), host("[::1]", 99, true));
        assert_eq!(read("mqtt://[::1]"), host("[::1]", 1883, false));
        for wrong in [
            "broker:1883",
            "http://broker",
            "mqtt://",
            "mqtt://:1883",
            "mqtt://broker:0",
            "mqtt://broker:70000",
            "mqtt://broker:x",
            "mqtt://broker/path",
            "mqtt://user:pass@broker",
            "ws://broker",
        ] {
            let fault = read(wrong).unwrap_err();
            assert!(!fault.contains("pass@"), "{fault}");
        }
    }

    #[test]
    fn a_destination_has_one_name_for_all_spellings_of_its_scheme() {
        let name = |text| BrokerAddress::parse(text).unwrap().to_string();
        assert_eq!(name("tcp://broker"), "mqtt://broker:1883");
        assert_eq!(name("ssl://broker:1"), name("tcps://broker:1"));
    }
}
