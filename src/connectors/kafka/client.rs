//! The parts that consumers and producers share: settings, the events of a client, and blocking calls.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaConfRes;
use tokio::sync::oneshot;
use tracing::{debug, warn};

use super::properties::{Ignored, NO_COUNTERPART, Translated};
use crate::sdk::BoxError;

/// The longest wait for an answer of the cluster.
pub(super) const ANSWER: Duration = Duration::from_secs(10);

/// librdkafka's message for a setting that needs a library which was not built in.
const NOT_BUILT_IN: &str = "not supported in this build";

/// The settings of one client, checked.
#[derive(Clone)]
pub(super) struct Settings {
    /// The owner of the settings, such as `ingress shop/orders`.
    who: String,
    checked: BTreeMap<String, String>,
    /// Properties of the module file that have no effect.
    ignored: Vec<Ignored>,
    /// The last failure that a client with these settings reported.
    last: Last,
}

/// The last failure that a client reported: calls that time out do not say why.
type Last = Arc<Mutex<Option<String>>>;

fn lock(last: &Last) -> MutexGuard<'_, Option<String>> {
    // A single value: a panic cannot leave it half written.
    last.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Settings {
    /// Values may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.checked.keys()).finish()
    }
}

impl Settings {
    /// The settings of the module file override `defaults`, and `fixed` overrides both.
    ///
    /// # Errors
    /// If librdkafka refuses a value.
    pub(super) fn checked(
        who: String,
        address: &str,
        defaults: &[(&str, &str)],
        given: Translated,
        fixed: &[(&str, &str)],
    ) -> Result<Self, BoxError> {
        let mut ignored = given.ignored;
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            let pairs = pairs.iter();
            pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        let mut checked = BTreeMap::from_iter(pairs(COMMON));
        checked.extend(pairs(defaults));
        for (name, value) in given.settings {
            match check(&name, &value) {
                Ok(()) => _ = checked.insert(name, value),
                Err(Refused::Unknown) => {
                    let why = NO_COUNTERPART;
                    ignored.push(Ignored { name, why });
                }
                Err(Refused::Invalid(why)) => {
                    return Err(format!("property `{name}`: {why}").into());
                }
            }
        }
        checked.insert("bootstrap.servers".to_owned(), address.to_owned());
        checked.extend(pairs(fixed));
        let last = Last::default();
        Ok(Self {
            who,
            checked,
            ignored,
            last,
        })
    }

    /// Properties of the module file that have no effect.
    pub(super) fn ignored(&self) -> &[Ignored] {
        &self.ignored
    }

    /// Logs the properties that have no effect.
    pub(super) fn log_ignored(&self) {
        for Ignored { name, why } in &self.ignored {
            warn!(client = %self.who, property = %name, "the property has no effect: {why}");
        }
    }

    /// The value of a setting by its name in librdkafka.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.checked.get(name).map(String::as_str)
    }

    /// The same settings with another value for one of them.
    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.checked.insert(name.to_owned(), value.into());
        self
    }

    /// The settings needed to connect, for a client with another purpose.
    pub(super) fn connection(&self) -> Self {
        let mut all = self.clone();
        all.checked.retain(|name, _| {
            let (front, _) = name.split_once('.').unwrap_or((name, ""));
            CONNECTING.contains(&front)
        });
        all
    }

    pub(super) fn config(&self) -> ClientConfig {
        let mut config: ClientConfig = self.checked.clone().into_iter().collect();
        config.set_log_level(RDKafkaLogLevel::Warning);
        config
    }

    /// The context of a new client.
    pub(super) fn context(&self) -> Context {
        *lock(&self.last) = None;
        Context {
            who: self.who.clone(),
            last: Arc::clone(&self.last),
        }
    }

    /// The last failure that the newest client reported.
    pub(super) fn last_failure(&self) -> Option<String> {
        lock(&self.last).clone()
    }
}

/// Defaults in which Java and librdkafka differ, or which do not suit a service.
const COMMON: &[(&str, &str)] = &[
    ("client.id", "statefun"),
    ("log.connection.close", "false"),
    ("reconnect.backoff.max.ms", "1000"),
    ("socket.keepalive.enable", "true"),
    ("socket.nagle.disable", "true"),
];

/// Prefixes of the names of settings for connections.
const CONNECTING: &[&str] = &[
    "bootstrap",
    "broker",
    "client",
    "log",
    "reconnect",
    "sasl",
    "security",
    "socket",
    "ssl",
];

enum Refused {
    Unknown,
    Invalid(String),
}

fn check(name: &str, value: &str) -> Result<(), Refused> {
    let mut alone = ClientConfig::new();
    alone.set(name, value);
    match alone.create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
            Err(Refused::Unknown)
        }
        Err(KafkaError::ClientConfig(_, why, ..)) if why.contains(NOT_BUILT_IN) => {
            Err(Refused::Invalid(format!(
                "TLS and SCRAM need a build with the feature `kafka-tls`, which this one does not have ({why})"
            )))
        }
        Err(KafkaError::ClientConfig(_, why, ..)) => Err(Refused::Invalid(why)),
        Err(failure) => Err(Refused::Invalid(failure.to_string())),
    }
}

/// Receives the events of a client.
#[derive(Debug)]
pub(super) struct Context {
    who: String,
    last: Last,
}

impl Context {
    /// `failure`, with its cause if that is known.
    pub(super) fn explain(&self, failure: &KafkaError) -> BoxError {
        let what = match failure.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut,
            ) => "no broker answers".to_owned(),
            _ => failure.to_string(),
        };
        match self.last().clone() {
            Some(last) => format!("{what}: {last}").into(),
            None => what.into(),
        }
    }

    fn last(&self) -> MutexGuard<'_, Option<String>> {
        lock(&self.last)
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let client = &self.who;
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => {
                warn!(%client, facility, "{message}");
                *self.last() = Some(message.to_owned());
            }
            RDKafkaLogLevel::Warning => warn!(%client, facility, "{message}"),
            _ => debug!(%client, facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(client = %self.who, %error, "{reason}");
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.last() = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Context {
    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(failure) = result {
            warn!(client = %self.who, %failure, "the group's offsets are not committed: only Kafka's own tools miss them");
        }
    }
}

/// Runs a blocking call on a thread of its own. The process can end during the call, which on a thread of the application's pool it could not.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BoxError> + Send + 'static,
) -> Result<T, BoxError> {
    let (tell, told) = oneshot::channel();
    let thread = std::thread::Builder::new().name("kafka-call".to_owned());
    // The receiver is gone if the caller no longer waits.
    thread.spawn(move || _ = tell.send(work()))?;
    told.await?
}

/// Drops a client on another thread, because it waits until it has left its brokers.
pub(super) fn end(client: impl Send + 'static) {
    let ended = std::thread::Builder::new().name("kafka-end".to_owned());
    // If no thread could be started, it has been dropped here.
    let _ = ended.spawn(move || drop(client));
}
