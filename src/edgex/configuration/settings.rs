//! The settings of a service with their types. Pipelines are read by `pipelines`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::super::application::Application;
use super::reader::{Reader, texts};
use crate::document::{At, Complaint, Value};
use crate::pipeline::{BrokerAddress, Template};
use crate::topic_filter::TopicFilter;

/// Requests that are not limited may be this large.
const MAX_REQUEST: usize = 10 << 20;

/// All settings that have an effect, besides the pipelines.
#[derive(Debug, Clone)]
pub(in crate::edgex) struct Settings {
    pub(in crate::edgex) trigger: Trigger,
    pub(in crate::edgex) service: Service,
    /// The answer to a request whose data is kept for another attempt.
    pub(in crate::edgex) stored_status: u16,
    /// Where responses are published; `None` for nowhere.
    pub(in crate::edgex) publish_topic: Option<Template>,
    /// Where a service on the App Functions SDK stores what waits; it is used to move that over.
    #[cfg_attr(
        not(feature = "postgres"),
        allow(dead_code, reason = "there is no client of a database")
    )]
    pub(in crate::edgex) database: Database,
    /// The section of the application's own settings, if it has any.
    pub(in crate::edgex) application: Option<BTreeMap<String, String>>,
}

/// The database of a service.
#[derive(Debug, Clone)]
#[cfg_attr(
    not(feature = "postgres"),
    allow(dead_code, reason = "there is no client of a database")
)]
pub(in crate::edgex) struct Database {
    pub(in crate::edgex) kind: String,
    pub(in crate::edgex) host: String,
    pub(in crate::edgex) port: u16,
    pub(in crate::edgex) timeout: Duration,
}

/// What brings data.
#[derive(Debug, Clone)]
pub(in crate::edgex) enum Trigger {
    Http,
    MessageBus(MessageBus),
    ExternalMqtt(ExternalMqtt),
    /// One of the application, with its name.
    Custom(String),
}

/// The broker of the trigger `external-mqtt`, and its topics.
#[derive(Debug, Clone)]
pub(in crate::edgex) struct ExternalMqtt {
    pub(in crate::edgex) broker: Broker,
    pub(in crate::edgex) topics: Vec<String>,
    /// The content type of a payload is guessed from its first byte, always for what comes in.
    pub(in crate::edgex) guesses: bool,
}

/// A broker, and how to speak to it.
#[derive(Debug, Clone)]
pub(in crate::edgex) struct Broker {
    pub(in crate::edgex) host: String,
    pub(in crate::edgex) port: u16,
    pub(in crate::edgex) is_tls: bool,
    /// Blank for the default.
    pub(in crate::edgex) client_id: String,
    pub(in crate::edgex) keep_alive: Duration,
    pub(in crate::edgex) qos: u8,
    pub(in crate::edgex) retain: bool,
    pub(in crate::edgex) sign_in: SignIn,
}

/// How a service signs in at a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::edgex) enum SignIn {
    Nobody,
    /// With the user name and password of this secret.
    Password(String),
}

/// EdgeX's message bus.
#[derive(Debug, Clone)]
pub(in crate::edgex) struct MessageBus {
    pub(in crate::edgex) broker: Broker,
    /// What all topics begin with; empty for nothing.
    pub(in crate::edgex) prefix: String,
    /// The topics to subscribe to, with the prefix.
    pub(in crate::edgex) topics: Vec<String>,
    /// The content type of a response without one is guessed.
    pub(in crate::edgex) guesses: bool,
}

/// The HTTP routes of the service.
#[derive(Debug, Clone)]
pub(in crate::edgex) struct Service {
    /// `host:port` to listen on.
    pub(in crate::edgex) listen: String,
    pub(in crate::edgex) startup_message: String,
    pub(in crate::edgex) request_timeout: Duration,
    pub(in crate::edgex) max_request_bytes: usize,
    pub(in crate::edgex) has_legacy_routes: bool,
    pub(in crate::edgex) secrets_file: Option<PathBuf>,
    pub(in crate::edgex) secrets_directory: Option<PathBuf>,
}

impl Settings {
    /// The settings in the whole configuration at `at`; `None` if there are faults, which are all reported.
    pub(super) fn read(at: &At<'_>, application: &Application) -> Option<Self> {
        let whole = Reader::of(at.clone())?;
        let service = whole.section("Service");
        let service = service.and_then(|section| service_of(&section, &whole));
        let trigger = whole.section("Trigger")?;
        let publish_topic = publish_topic(&trigger);
        let kind = kind(&trigger, application);
        if let Some(kind) = &kind {
            check_publishers(&trigger, kind, application);
        }
        let trigger_of = match kind {
            Some(TriggerType::Http) => Some(Trigger::Http),
            // A bus that is not used may be of any type.
            Some(TriggerType::MessageBus) => {
                let bus = whole.section("MessageBus");
                let bus = bus.and_then(|bus| bus_of(&bus, &trigger));
                bus.map(Trigger::MessageBus)
            }
            Some(TriggerType::ExternalMqtt) => external(&trigger).map(Trigger::ExternalMqtt),
            Some(TriggerType::Custom(name)) => Some(Trigger::Custom(name)),
            None => None,
        };
        let stored_status = stored_status(&trigger);
        let application = application_settings(&whole);
        let database = database(&whole);
        Some(Self {
            trigger: trigger_of?,
            service: service?,
            stored_status: stored_status?,
            publish_topic: publish_topic?,
            database: database?,
            application: application?,
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
enum TriggerType {
    Http,
    MessageBus,
    ExternalMqtt,
    Custom(String),
}

fn kind(trigger: &Reader<'_>, application: &Application) -> Option<TriggerType> {
    let kind = trigger.text("Type")?;
    let mut custom = application.trigger_names();
    if let Some(name) = custom.find(|name| name.eq_ignore_ascii_case(kind.trim())) {
        return Some(TriggerType::Custom(name.to_owned()));
    }
    match kind.trim().to_ascii_lowercase().as_str() {
        "http" => Some(TriggerType::Http),
        "edgex-messagebus" | "messagebus" => Some(TriggerType::MessageBus),
        "external-mqtt" => Some(TriggerType::ExternalMqtt),
        _ => trigger.fault(
            "Type",
            format_args!(
                "`{kind}` is not a trigger of this service; known: edgex-messagebus, external-mqtt, http"
            ),
        ),
    }
}

/// Background publishers need the message bus, and a topic.
fn check_publishers(trigger: &Reader<'_>, kind: &TriggerType, application: &Application) {
    let publishers = &application.publishers;
    if publishers.is_empty() {
        return;
    }
    if *kind != TriggerType::MessageBus {
        let text =
            "background publishing is not supported for this trigger; it needs `edgex-messagebus`";
        trigger.fault::<()>("Type", text);
        return;
    }
    let has_topic = trigger
        .text("PublishTopic")
        .is_some_and(|topic| !topic.trim().is_empty());
    if !has_topic
        && publishers
            .iter()
            .any(|publisher| publisher.topic().is_none())
    {
        let text = "is blank: a background publisher without a topic of its own needs it";
        trigger.fault::<()>("PublishTopic", text);
    }
}

fn publish_topic(trigger: &Reader<'_>) -> Option<Option<Template>> {
    let topic = trigger.text("PublishTopic")?;
    if topic.trim().is_empty() {
        return Some(None);
    }
    match Template::parse(topic.trim()) {
        Ok(template) => Some(Some(template)),
        Err(err) => trigger.fault("PublishTopic", err),
    }
}

/// The topics to subscribe to.
fn topics(trigger: &Reader<'_>, prefix: &str) -> Option<Vec<String>> {
    let topics = trigger.list("SubscribeTopics")?;
    if topics.is_empty() {
        return trigger.fault("SubscribeTopics", "names no topic; write `#` for all");
    }
    let mut prefixed = Vec::new();
    for topic in topics {
        let topic = with_prefix(prefix, &topic);
        match TopicFilter::parse(&topic) {
            Ok(_) => prefixed.push(topic),
            Err(err) => return trigger.fault("SubscribeTopics", err),
        }
    }
    Some(prefixed)
}

/// A topic below the prefix of all topics.
pub(in crate::edgex) fn with_prefix(prefix: &str, topic: &str) -> String {
    match prefix {
        "" => topic.to_owned(),
        prefix => format!("{prefix}/{topic}"),
    }
}

fn external(trigger: &Reader<'_>) -> Option<ExternalMqtt> {
    let broker = trigger.section("ExternalMqtt")?;
    let url = match broker.text("Url")?.trim() {
        "" => broker.fault(
            "Url",
            "is required and missing, such as tcp://localhost:1883",
        ),
        url => broker
            .place("Url")
            .and_then(|at| at.read(|_| BrokerAddress::parse(url))),
    };
    let client_id = broker.text("ClientId");
    let keep_alive = broker.seconds("KeepAlive");
    let qos = broker.qos("QoS");
    let retain = broker.flag("Retain");
    let sign_in = sign_in(&broker);
    let will = broker.section("Will").and_then(|will| {
        let is_enabled = will.flag("Enabled")?;
        match is_enabled {
            true => will.fault("Enabled", "wills are not supported by this trigger"),
            false => Some(()),
        }
    });
    let verified = verified(&broker);
    let topics = topics(trigger, "");
    let guesses = trigger.flag("GuessContentType");
    will?;
    verified?;
    let BrokerAddress { host, port, is_tls } = url?;
    Some(ExternalMqtt {
        broker: Broker {
            host,
            port,
            is_tls,
            client_id: client_id?,
            keep_alive: kept_alive(keep_alive?),
            qos: qos?,
            retain: retain?,
            sign_in: sign_in?,
        },
        topics: topics?,
        guesses: guesses?,
    })
}

/// What MQTT allows.
fn kept_alive(given: Duration) -> Duration {
    match given.is_zero() {
        true => Duration::from_secs(30),
        false => given.clamp(Duration::from_secs(1), Duration::from_secs(65_535)),
    }
}

fn verified(broker: &Reader<'_>) -> Option<()> {
    match broker.flag("SkipCertVerify")? {
        true => broker.fault(
            "SkipCertVerify",
            "certificates are always verified; remove it, and let the machine trust the broker's authority",
        ),
        false => Some(()),
    }
}

fn sign_in(broker: &Reader<'_>) -> Option<SignIn> {
    let mode = broker.text("AuthMode")?;
    match mode.trim().to_ascii_lowercase().as_str() {
        "" | "none" => Some(SignIn::Nobody),
        "usernamepassword" => {
            let secret = broker.text("SecretName")?;
            match secret.trim() {
                "" => broker.fault("SecretName", "is required by `AuthMode` and missing"),
                secret => Some(SignIn::Password(secret.to_owned())),
            }
        }
        "clientcert" | "cacert" => broker.fault(
            "AuthMode",
            format_args!(
                "`{mode}` is not supported by this trigger; known: none, usernamepassword"
            ),
        ),
        _ => broker.fault(
            "AuthMode",
            format_args!("`{mode}` is not a way to sign in; known: none, usernamepassword"),
        ),
    }
}

fn bus_of(bus: &Reader<'_>, trigger: &Reader<'_>) -> Option<MessageBus> {
    let is_disabled = bus.flag("Disabled");
    if is_disabled == Some(true) {
        bus.fault::<()>(
            "Disabled",
            "the trigger `edgex-messagebus` needs the message bus; set it to false, or choose another trigger",
        );
    }
    let kind = bus
        .text("Type")
        .and_then(|kind| match kind.trim().to_ascii_lowercase().as_str() {
            "mqtt" => Some(()),
            _ => bus.fault(
                "Type",
                format_args!("`{kind}` is not a message bus of this service; known: mqtt"),
            ),
        });
    let protocol = bus.text("Protocol").and_then(|protocol| {
        match protocol.trim().to_ascii_lowercase().as_str() {
            "" | "mqtt" | "tcp" => Some(false),
            "mqtts" | "ssl" | "tls" | "tcps" => Some(true),
            _ if kind.is_none() => None, // of another bus
            other => {
                let text = format_args!("`{other}` is not a protocol of MQTT; known: mqtt, mqtts");
                bus.fault("Protocol", text)
            }
        }
    });
    let (host, port) = (bus.text("Host"), bus.port("Port"));
    let prefix = bus.text("BaseTopicPrefix");
    let prefix = prefix.map(|prefix| prefix.trim().trim_end_matches('/').to_owned());
    let sign_in = sign_in(bus);
    let topics = topics(trigger, prefix.as_deref().unwrap_or_default());
    let guesses = trigger.flag("GuessContentType");
    let optional = bus.section("Optional")?;
    let client_id = optional.text("ClientId");
    let keep_alive = optional.seconds("KeepAlive");
    let qos = optional.qos("Qos");
    let retain = optional.flag("Retained");
    let verified = verified(&optional);
    kind?;
    verified?;
    Some(MessageBus {
        broker: Broker {
            host: host?,
            port: port?,
            is_tls: protocol?,
            client_id: client_id?,
            keep_alive: kept_alive(keep_alive?),
            qos: qos?,
            retain: retain?,
            sign_in: sign_in?,
        },
        prefix: prefix?,
        topics: topics?,
        guesses: guesses?,
    })
}

fn service_of(service: &Reader<'_>, whole: &Reader<'_>) -> Option<Service> {
    let (host, bind) = (service.text("Host"), service.text("ServerBindAddr"));
    let port = service.port("Port");
    let startup_message = service.text("StartupMsg");
    let request_timeout =
        service
            .span("RequestTimeout")
            .and_then(|timeout| match timeout.is_zero() {
                true => service.fault("RequestTimeout", "must not be zero"),
                false => Some(timeout),
            });
    let max_request_bytes = service.whole("MaxRequestSize");
    let has_legacy_routes = service.flag("LegacyRoutes");
    let (file, directory) = (
        service.text("SecretsFile"),
        service.text("SecretsDirectory"),
    );
    let checks_version = service
        .flag("VersionCheck")
        .and_then(|checks| match checks {
            true => service.fault(
                "VersionCheck",
                "the version of core services is not checked; set it to false",
            ),
            false => Some(()),
        });
    if let Some(cors) = service.section("CORSConfiguration")
        && cors.flag("EnableCORS")?
        && let Some(at) = cors.place("EnableCORS")
    {
        let text = "has no effect: web pages of other origins are refused";
        at.warn(Complaint::with_remedy(
            text,
            "put a proxy before the service",
        ));
    }
    let protocol = whole.section("HttpServer").and_then(|server| {
        let protocol = server.text("Protocol")?;
        match protocol.trim().to_ascii_lowercase().as_str() {
            "" | "http" => Some(()),
            _ => server.fault(
                "Protocol",
                format_args!("`{protocol}` is not supported: the service listens with http; put a proxy before it"),
            ),
        }
    });
    checks_version?;
    protocol?;
    let path =
        |text: String| Some(PathBuf::from(text.trim())).filter(|path| path.as_os_str() != "");
    let (host, bind) = (host?, bind?);
    let host = match (bind.trim(), host.trim()) {
        ("", "") => "localhost",
        ("", host) => host,
        (bind, _) => bind,
    };
    Some(Service {
        listen: format!("{host}:{}", port?),
        startup_message: startup_message?,
        request_timeout: request_timeout?,
        max_request_bytes: match max_request_bytes? {
            0 => MAX_REQUEST,
            bytes => usize::try_from(bytes).unwrap_or(usize::MAX),
        },
        has_legacy_routes: has_legacy_routes?,
        secrets_file: path(file?),
        secrets_directory: path(directory?),
    })
}

fn stored_status(trigger: &Reader<'_>) -> Option<u16> {
    match trigger.whole("StoredStatus")? {
        202 => Some(202),
        422 => Some(422),
        other => trigger.fault(
            "StoredStatus",
            format_args!("{other} is neither 202 nor 422"),
        ),
    }
}

fn database(whole: &Reader<'_>) -> Option<Database> {
    let database = whole.section("Database")?;
    let (kind, host) = (database.text("Type"), database.text("Host"));
    let (port, timeout) = (database.port("Port"), database.span("Timeout"));
    Some(Database {
        kind: kind?,
        host: host?,
        port: port?,
        timeout: timeout?,
    })
}

fn application_settings(whole: &Reader<'_>) -> Option<Option<BTreeMap<String, String>>> {
    let Some(at) = whole.place("ApplicationSettings") else {
        return Some(None);
    };
    if matches!(at.node.value, Value::Null) {
        return Some(None);
    }
    Some(Some(texts(&at)?).filter(|settings| !settings.is_empty()))
}
