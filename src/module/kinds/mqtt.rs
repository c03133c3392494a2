//! What the kinds for MQTT have in common: the broker, and how to sign in.

use std::time::Duration;

use crate::document::{Complaint, Fields, Node, scalar};
use crate::pipeline::{BrokerAddress, ExportTls, read_tls};
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
/// Without a client id in the document it is `prefix` and the id.
pub(super) fn broker(
    fields: &Fields<'_>,
    prefix: &str,
    id: Option<&TypeName>,
) -> Option<MqttBroker> {
    let url = fields.must("url", url);
    let client_id = fields.optional("clientId", client_id);
    let user = fields.optional("username", scalar::filled_text);
    let password = fields.optional("password", scalar::filled_text);
    let keep_alive = fields.optional("keepAlive", keep_alive);
    let tls = fields.get("tls").map(|at| read_tls(&at));
    if password.is_some() && user.is_none() && !fields.has("username") {
        fields.fault("password", "a password is used with a `username`");
    }
    let BrokerAddress { host, port, is_tls } = url?;
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
        client_id: client_id.unwrap_or_else(|| default_client_id(prefix, id)),
        credentials: user.map(|user| (user, Secret::new(password.unwrap_or_default()))),
        keep_alive: keep_alive.unwrap_or(Duration::from_secs(30)),
    })
}

/// The same at every start, so that the broker finds its session again.
fn default_client_id(prefix: &str, id: Option<&TypeName>) -> String {
    let id = id.map_or("unnamed", TypeName::as_str);
    format!("{prefix}-{}", id.replace('/', "-"))
}

fn url(node: &Node) -> Result<BrokerAddress, Complaint> {
    BrokerAddress::parse(&scalar::filled_text(node)?)
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
