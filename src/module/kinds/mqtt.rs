//! What the kinds for MQTT have in common: the broker, and how to sign in.

use std::time::Duration;

use crate::document::{Complaint, Fields, Node, scalar};
use crate::pipeline::{ExportTls, read_tls};
use crate::sdk::TypeName;

use super::super::Secret;

/// MQTT's own bounds are 1 s and 65,535 s, its two bytes.
const KEEP_ALIVE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(65_535);

/// A broker, and how to sign in there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MqttBroker {
    /// Its host name or IP address.
    pub host: String,
    /// Its port. Default 1883, with TLS 8883.
    pub port: u16,
    /// Whether the connection is encrypted.
    pub is_tls: bool,
    /// The authorities to trust and the client's own certificate, with TLS.
    pub tls: ExportTls,
    /// The name under which the broker keeps the session; no two clients may use it at once.
    pub client_id: String,
    /// The user and the password.
    pub credentials: Option<(String, Secret)>,
    /// The longest silence before a ping. Default 30 s.
    pub keep_alive: Duration,
}

/// Reads the keys of a broker, and reports all their faults.
pub(super) fn broker(fields: &Fields<'_>, id: Option<&TypeName>) -> Option<MqttBroker> {
    let url = fields.must("url", url);
    let client_id = fields.optional("clientId", client_id);
    let user = fields.optional("username", scalar::filled_text);
    let password = fields.optional("password", scalar::filled_text);
    let keep_alive = fields.optional("keepAlive", keep_alive);
    let tls = fields.get("tls").map(|at| read_tls(&at));
    if password.is_some() && user.is_none() && !fields.has("username") {
        fields.fault("password", "a password is used with a `username`");
    }
    let (host, port, is_tls) = url?;
    if !is_tls && fields.has("tls") {
        let remedy = "write mqtts:// in `url`, or remove `tls`";
        let complaint = Complaint::with_remedy("the connection is not encrypted", remedy);
        fields.fault("tls", complaint);
    }
    Some(MqttBroker {
        host,
        port,
        is_tls,
        tls: tls.unwrap_or_else(|| Some(ExportTls::default()))?,
        client_id: client_id.unwrap_or_else(|| default_client_id(id)),
        credentials: user.map(|user| (user, Secret::new(password.unwrap_or_default()))),
        keep_alive: keep_alive.unwrap_or(Duration::from_secs(30)),
    })
}

/// The same at every start, so that the broker finds its session again.
fn default_client_id(id: Option<&TypeName>) -> String {
    let id = id.map_or("unnamed", TypeName::as_str);
    format!("statefun-{}", id.replace('/', "-"))
}

/// `mqtt://host:port` or `mqtts://host:port`: host, port, and whether there is TLS.
fn url(node: &Node) -> Result<(String, u16, bool), Complaint> {
    parse_url(&scalar::filled_text(node)?)
}

fn parse_url(text: &str) -> Result<(String, u16, bool), Complaint> {
    let remedy = "write it as mqtt://host:1883, or mqtts://host:8883 with TLS";
    // The text is not repeated: it may hold a password.
    let not_one = |what: &str| Complaint::with_remedy(what.to_owned(), remedy);
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(not_one("not a URL of a broker"));
    };
    let is_tls = match scheme {
        "mqtt" | "tcp" => false,
        "mqtts" | "ssl" | "tls" => true,
        "ws" | "wss" => return Err(not_one("MQTT over WebSockets is not supported")),
        other => return Err(not_one(&format!("`{other}` is not a scheme of MQTT"))),
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
    let (host, port) = match rest.rsplit_once(':') {
        // The colons of an IPv6 address.
        Some((before, _)) if before.starts_with('[') && !before.ends_with(']') => (rest, None),
        Some((host, port)) => (host, Some(port)),
        None => (rest, None),
    };
    let port = match port {
        None => default,
        Some(port) => match port.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err(not_one(&format!("`{port}` is not a port"))),
        },
    };
    match host {
        "" | "[]" => Err(not_one("the host is missing")),
        host => Ok((host.to_owned(), port, is_tls)),
    }
}

/// MQTT's texts have a length of two bytes, and no NUL.
fn client_id(node: &Node) -> Result<String, Complaint> {
    let text = scalar::filled_text(node)?;
    match text.len() <= usize::from(u16::MAX) && !text.contains('\0') {
        true => Ok(text),
        false => Err("a client id has at most 65,535 bytes, and no NUL".into()),
    }
}

fn keep_alive(node: &Node) -> Result<Duration, Complaint> {
    let span = scalar::span(node)?;
    match KEEP_ALIVE.contains(&span) {
        true => Ok(span),
        false => Err("must be between 1s and 65535s".into()),
    }
}

/// 0, 1 or 2.
pub(super) fn qos(node: &Node) -> Result<u8, Complaint> {
    match scalar::whole(node)? {
        qos @ 0..=2 => Ok(u8::try_from(qos).unwrap_or(2)),
        other => Err(format!("{other} is not a QoS: 0, 1 or 2").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, u16, bool), String> {
        parse_url(text).map_err(|complaint| complaint.message)
    }

    #[test]
    fn the_url_of_a_broker_has_a_host_and_a_port() {
        let host = |host: &str, port, is_tls| Ok((host.to_owned(), port, is_tls));
        assert_eq!(read("mqtt://broker"), host("broker", 1883, false));
        assert_eq!(read("tcp://10.0.0.1:1884/"), host("10.0.0.1", 1884, false));
        assert_eq!(read("mqtts://broker"), host("broker", 8883, true));
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
}
