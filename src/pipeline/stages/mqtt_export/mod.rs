//! `mqtt-export: {url, topic, …}`: publishes each record to an MQTT broker. What the broker does not acknowledge waits and is tried again.

mod address;
#[cfg(feature = "mqtt")]
mod broker;
mod credentials;
#[cfg(feature = "mqtt")]
mod link;
#[cfg(feature = "mqtt")]
mod publications;

use std::cell::Cell;
use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::super::template::Template;
use super::StageKind;
use super::export::{Common, IN_RETRY, OnFailure};
use crate::delivery::engine::Policy;
use crate::delivery::owner::Circuit;
use crate::document::{At, scalar};

pub(crate) use address::BrokerAddress;
#[cfg(feature = "mqtt")]
pub(crate) use broker::Brokers;
pub use credentials::MqttAuth;
#[cfg(all(feature = "runtime", feature = "mqtt"))]
pub(crate) use publications::MqttClient;
#[cfg(feature = "mqtt")]
pub(crate) use publications::{Publication, Publications};

/// MQTT's own bounds are 1 s and 65,535 s, its two bytes.
const KEEP_ALIVE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(65_535);

/// Publishes records to an MQTT 3.1.1 broker: the settings of one export.
///
/// A record counts as sent when the broker has acknowledged it, with QoS 0 when it was written to an open connection. Exports of a process with
/// the same broker and client id share one connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MqttExport {
    /// The broker: `mqtt://host:1883`, or `mqtts://host:8883` with TLS.
    pub url: String,
    /// The topic; `{name}` stands for a value of the record or a field of its JSON payload.
    pub topic: String,
    /// The name of the client, which no other client of the broker may use at the same time. Default: a random one.
    pub client_id: String,
    /// How it signs in. Default: it does not.
    pub auth: MqttAuth,
    /// The name of the secret that `auth` reads, see [`Secrets`](crate::pipeline::Secrets).
    pub secret: String,
    /// 0: sent and forgotten; 1: at least once; 2: with a handshake of four packets. Default 1.
    pub qos: u8,
    /// Whether the broker keeps the last record of each topic for later subscribers. Default false.
    pub retain: bool,
    /// What the broker publishes if the connection breaks. Default nothing.
    pub will: Option<MqttWill>,
    /// Whether any certificate of the broker will do. Only for trials. Default false.
    pub skip_verify: bool,
    /// The longest silence before a ping. Default 30 s.
    pub keep_alive: Duration,
    /// Time limit for opening a connection. Default 30 s.
    pub connect_timeout: Duration,
    /// Whether a lost connection is opened again before a record needs it. Default false.
    pub auto_reconnect: bool,
    /// The longest wait between two attempts of `auto_reconnect`. Default 10 min.
    pub max_reconnect_interval: Duration,
    /// Attempts to open the connection when the runtime starts. Default: it is opened for the first record.
    pub pre_connect: Option<MqttPreConnect>,
    /// Time after which a publication without an acknowledgement has failed. Default 30 s.
    pub timeout: Duration,
    /// When a failed export is tried again, and for how long.
    pub retry: Policy,
    /// A field, or a text with `{field}` placeholders: records with equal keys arrive in order. None: any order.
    pub order_key: Option<String>,
    /// What happens to a record that could not be sent. Default: it is kept and tried again.
    pub on_failure: OnFailure,
    /// Publications under way at one broker from this process. Default 64.
    pub max_in_flight: NonZeroUsize,
    /// When a broker that keeps failing gets fewer publications. `None`: never. Default after 5 failures in a row.
    pub circuit: Option<Circuit>,
    /// Larger payloads become dead letters. Default 16 MiB.
    pub max_payload_bytes: usize,
    /// A URL that is none is a failure of each record, not a fault of the settings.
    pub(crate) takes_any_url: bool,
}

/// What the broker publishes if the connection of an export breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MqttWill {
    /// The topic.
    pub topic: String,
    /// The payload.
    pub payload: String,
    /// The QoS. Default 0.
    pub qos: u8,
    /// Whether the broker keeps it for later subscribers. Default false.
    pub retain: bool,
}

/// Attempts to open a connection before it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MqttPreConnect {
    /// Attempts after the first one. Default 6.
    pub retries: u32,
    /// The wait between two attempts. Default 10 s.
    pub interval: Duration,
}

impl MqttWill {
    /// `payload` on `topic`.
    pub fn new(topic: impl Into<String>, payload: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            qos: 0,
            retain: false,
        }
    }
}

impl Default for MqttPreConnect {
    fn default() -> Self {
        Self {
            retries: 6,
            interval: Duration::from_secs(10),
        }
    }
}

impl MqttExport {
    /// Publishes to `topic` at the broker `url`.
    pub fn new(url: impl Into<String>, topic: impl Into<String>) -> Self {
        let common = Common::default();
        Self {
            url: url.into(),
            topic: topic.into(),
            client_id: random_client_id(),
            auth: MqttAuth::None,
            secret: String::new(),
            qos: 1,
            retain: false,
            will: None,
            skip_verify: false,
            keep_alive: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(30),
            auto_reconnect: false,
            max_reconnect_interval: Duration::from_secs(600),
            pre_connect: None,
            timeout: common.timeout,
            retry: common.retry,
            order_key: common.order_key,
            on_failure: common.on_failure,
            max_in_flight: common.max_in_flight,
            circuit: common.circuit,
            max_payload_bytes: common.max_payload_bytes,
            takes_any_url: false,
        }
    }

    /// With another client id.
    #[must_use]
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = client_id.into();
        self
    }

    /// With a way to sign in that reads the secret `name`.
    #[must_use]
    pub fn auth(mut self, auth: MqttAuth, name: impl Into<String>) -> Self {
        self.auth = auth;
        self.secret = name.into();
        self
    }

    /// With another retry policy.
    #[must_use]
    pub fn retry(mut self, policy: Policy) -> Self {
        self.retry = policy;
        self
    }

    /// With another treatment of records that could not be sent.
    #[must_use]
    pub const fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = on_failure;
        self
    }

    fn common(&self) -> Common {
        Common {
            timeout: self.timeout,
            retry: self.retry.clone(),
            order_key: self.order_key.clone(),
            on_failure: self.on_failure,
            max_in_flight: self.max_in_flight,
            circuit: self.circuit,
            max_payload_bytes: self.max_payload_bytes,
        }
    }

    /// Why every record will fail with the URL, if it is taken nevertheless.
    #[cfg(feature = "edgex")]
    pub(crate) fn url_fault(&self) -> Option<String> {
        let fault = BrokerAddress::parse(&self.url).err();
        let fault = fault.filter(|_| address::impossible_port(&self.url).is_none());
        fault.map(|complaint| complaint.message)
    }

    /// Why the port of the URL is impossible.
    #[cfg(feature = "edgex")]
    pub(crate) fn port_fault(&self) -> Option<String> {
        address::impossible_port(&self.url)
    }

    /// Checks the settings; `fault` gets the field and the fault.
    pub(crate) fn check(self, fault: impl Fn(&str, &dyn fmt::Display)) -> Option<StageKind> {
        let faults = Cell::new(0);
        let fault = |field: &str, text: &dyn fmt::Display| {
            faults.set(faults.get() + 1);
            fault(field, text);
        };
        let address = BrokerAddress::parse(&self.url).map_err(|complaint| complaint.message);
        if let (Err(text), false) = (&address, self.takes_any_url) {
            fault("url", text);
        }
        let is_plain = matches!(&address, Ok(address) if !address.is_tls);
        let needs_tls = matches!(self.auth, MqttAuth::ClientCert | MqttAuth::CaCert);
        if is_plain && needs_tls && !self.takes_any_url {
            fault("auth", &"needs TLS: write mqtts:// in the URL");
        }
        let topic = Template::parse(&self.topic);
        let topic = topic.map_err(|err| fault("topic", &err)).ok();
        if let Some(Err(text)) = topic
            .as_ref()
            .and_then(Template::as_constant)
            .map(check_topic)
        {
            fault("topic", &text);
        }
        if self.client_id.len() > usize::from(u16::MAX) || self.client_id.contains('\0') {
            fault("clientId", &"has at most 65,535 bytes, and no NUL");
        }
        if self.auth.needs_secret() && self.secret.trim().is_empty() {
            fault("secret", &"is required by `auth`: the name of the secret");
        }
        for (field, qos) in [
            ("qos", Some(self.qos)),
            ("will.qos", self.will.as_ref().map(|will| will.qos)),
        ] {
            if let Some(qos) = qos.filter(|qos| *qos > 2) {
                fault(field, &format_args!("{qos} is not a QoS: 0, 1 or 2"));
            }
        }
        if let Some(Err(text)) = self.will.as_ref().map(|will| check_topic(&will.topic)) {
            fault("will.topic", &text);
        }
        if !KEEP_ALIVE.contains(&self.keep_alive) {
            fault("keepAlive", &"must be between 1s and 65535s");
        }
        let interval = self.pre_connect.map(|pre_connect| pre_connect.interval);
        for (field, span) in [
            ("connectTimeout", Some(self.connect_timeout)),
            ("maxReconnectInterval", Some(self.max_reconnect_interval)),
            ("preConnect.interval", interval),
        ] {
            if span.is_some_and(|span| span.is_zero()) {
                fault(field, &"must not be zero");
            }
        }
        let common = self.common();
        #[cfg(feature = "mqtt")]
        let channel =
            topic.map(|topic| super::export::Channel::Mqtt(Publications::of(self, address, topic)));
        #[cfg(not(feature = "mqtt"))]
        let channel = {
            fault(
                "",
                &"this build has no MQTT client: build with the feature `mqtt`",
            );
            None
        };
        let exporter = common.check(channel, &fault)?;
        (faults.get() == 0).then(|| StageKind::Export(Arc::new(exporter)))
    }
}

/// Brokers must take client ids of up to 23 letters and digits.
fn random_client_id() -> String {
    let mut id = uuid::Uuid::new_v4().simple().to_string();
    id.truncate(15);
    format!("statefun{id}")
}

/// Whether it can be published to.
fn check_topic(topic: &str) -> Result<(), String> {
    if topic.is_empty() {
        return Err("the topic is empty".to_owned());
    }
    match topic.contains(['+', '#', '\0']) || topic.len() > usize::from(u16::MAX) {
        false => Ok(()),
        true => Err(format!(
            "`{}` is not a topic that can be published to: it has `+`, `#` or NUL, or is longer than 65,535 bytes",
            topic.chars().take(100).collect::<String>().escape_debug()
        )),
    }
}

pub(super) fn read(node: At<'_>) -> Option<StageKind> {
    let place = node.clone();
    let fields = node.fields()?.elsewhere(IN_RETRY);
    let mut export = MqttExport::new("", "");
    let url = fields.required("url").and_then(|node| node.text());
    let topic = fields.required("topic").and_then(|node| node.text());
    let mut common = export.common();
    let whole = [
        url.is_some(),
        topic.is_some(),
        fields.set("clientId", &mut export.client_id, filled),
        fields.set("auth", &mut export.auth, |at| at.parsed(MqttAuth::named)),
        fields.set("secret", &mut export.secret, filled),
        fields.set("qos", &mut export.qos, qos),
        fields.set("retain", &mut export.retain, At::boolean),
        fields.set("will", &mut export.will, will),
        fields.set("skipVerify", &mut export.skip_verify, At::boolean),
        fields.set("keepAlive", &mut export.keep_alive, At::span),
        fields.set("connectTimeout", &mut export.connect_timeout, At::span),
        fields.set("autoReconnect", &mut export.auto_reconnect, At::boolean),
        fields.set(
            "maxReconnectInterval",
            &mut export.max_reconnect_interval,
            At::span,
        ),
        fields.set("preConnect", &mut export.pre_connect, pre_connect),
        common.read(&place, &fields),
    ];
    fields.finish();
    (export.timeout, export.retry) = (common.timeout, common.retry);
    (export.order_key, export.on_failure) = (common.order_key, common.on_failure);
    (export.max_in_flight, export.circuit) = (common.max_in_flight, common.circuit);
    export.max_payload_bytes = common.max_payload_bytes;
    // All faults are reported at once. What is missing has already been reported.
    export.url = url.map_or_else(|| "mqtt://missing".to_owned(), |url| url.trim().to_owned());
    export.topic = topic.unwrap_or_else(|| "missing".to_owned());
    let checked = export.check(|field, text| place.fault_at(field, text));
    checked.filter(|_| !whole.contains(&false))
}

fn filled(at: &At<'_>) -> Option<String> {
    at.parsed(|text| match text.trim() {
        "" => Err("must not be empty"),
        _ => Ok(text.to_owned()),
    })
}

/// 0, 1 or 2.
fn qos(at: &At<'_>) -> Option<u8> {
    match at.whole()? {
        qos @ 0..=2 => u8::try_from(qos).ok(),
        other => at.fault(format_args!("{other} is not a QoS: 0, 1 or 2")),
    }
}

#[expect(
    clippy::option_option,
    reason = "the inner one is the value of a setting that has a default"
)]
fn will(at: &At<'_>) -> Option<Option<MqttWill>> {
    let fields = at.clone().fields()?;
    let text = |key| fields.required(key).and_then(|at| filled(&at));
    let (topic, payload) = (text("topic"), text("payload"));
    let mut will = MqttWill::new("", "");
    let whole = [
        fields.set("qos", &mut will.qos, qos),
        fields.set("retain", &mut will.retain, At::boolean),
    ];
    fields.finish();
    (will.topic, will.payload) = (topic?, payload?);
    (!whole.contains(&false)).then_some(Some(will))
}

#[expect(
    clippy::option_option,
    reason = "the inner one is the value of a setting that has a default"
)]
fn pre_connect(at: &At<'_>) -> Option<Option<MqttPreConnect>> {
    if let crate::document::Value::Bool(is_on) = at.node.value {
        return Some(is_on.then(MqttPreConnect::default));
    }
    let mut pre_connect = MqttPreConnect::default();
    let fields = at.clone().fields()?;
    let whole = [
        fields.set("retries", &mut pre_connect.retries, |at| {
            at.read(scalar::count_of::<NonZeroU32>).map(NonZeroU32::get)
        }),
        fields.set("interval", &mut pre_connect.interval, At::span),
    ];
    fields.finish();
    (!whole.contains(&false)).then_some(Some(pre_connect))
}
