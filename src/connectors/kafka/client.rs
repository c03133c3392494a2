//! The parts that consumers and producers share: settings, the events of a client, and blocking calls.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaConfRes;
use tokio::sync::oneshot;
use tracing::{debug, warn};

use super::properties::{Ignored, NO_COUNTERPART, Refused, Translated};
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
    /// The names in the module file of settings that have another one there.
    given_as: BTreeMap<String, String>,
    /// Properties of the module file that have no effect.
    ignored: Vec<Ignored>,
    /// What clients with these settings reported.
    told: Told,
}

/// What the clients of an ingress or egress reported.
type Told = Arc<Mutex<Reports>>;

#[derive(Debug, Default)]
struct Reports {
    /// The last failure: calls that time out do not say why.
    last: Option<String>,
    /// When texts were logged: a client that cannot connect reports the same each second.
    logged: BTreeMap<String, Instant>,
}

/// The interval in which a report of a client is logged once.
const LOGGED_ONCE: Duration = Duration::from_secs(60);

impl Reports {
    /// Whether a report is to be logged. What follows `(after` changes each time.
    fn is_new(&mut self, message: &str, now: Instant) -> bool {
        self.logged
            .retain(|_, logged| now.duration_since(*logged) < LOGGED_ONCE);
        let (text, _) = message.split_once(" (after ").unwrap_or((message, ""));
        if self.logged.contains_key(text) {
            return false;
        }
        self.logged.insert(text.to_owned(), now);
        true
    }
}

fn lock(told: &Told) -> MutexGuard<'_, Reports> {
    // No section that holds the lock panics half-way.
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Settings {
    /// Values may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.checked.keys()).finish()
    }
}

impl Settings {
    /// The settings of the module file override `defaults`, and `fixed` overrides both. A value outside the range of the client becomes the nearest
    /// one inside it.
    ///
    /// # Errors
    /// All values that librdkafka refuses.
    pub(super) fn checked(
        who: String,
        address: &str,
        defaults: &[(&str, &str)],
        given: Translated,
        fixed: &[(&str, &str)],
    ) -> Result<Self, Refusals> {
        let Translated {
            settings,
            given_as,
            mut ignored,
            mut refused,
            ..
        } = given;
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            let pairs = pairs.iter();
            pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        let mut checked = BTreeMap::from_iter(pairs(COMMON));
        checked.extend(pairs(defaults));
        for (name, value) in settings {
            let in_file = given_as.get(&name).unwrap_or(&name).clone();
            match within(&name, value) {
                Ok((value, None)) => _ = checked.insert(name, value),
                Ok((value, Some(nearest))) => {
                    let told = format!("`{in_file}`: {nearest}");
                    ignored.push(Ignored {
                        name: in_file,
                        told,
                    });
                    checked.insert(name, value);
                }
                Err(Unfit::Unknown) => ignored.push(Ignored::new(&in_file, NO_COUNTERPART)),
                Err(Unfit::Invalid(why)) => refused.push(Refused {
                    name: Some(in_file),
                    why,
                }),
            }
        }
        if !refused.is_empty() {
            return Err(Refusals(refused));
        }
        checked.insert("bootstrap.servers".to_owned(), address.to_owned());
        checked.extend(pairs(fixed));
        Ok(Self {
            who,
            checked,
            given_as,
            ignored,
            told: Told::default(),
        })
    }

    /// Makes a client that knows no broker, which shows whether the settings fit each other and the files that they name can be read.
    ///
    /// # Errors
    /// What librdkafka refuses.
    pub(super) fn tried<C>(self) -> Result<Self, Refusals>
    where
        C: FromClientConfigAndContext<Quiet> + Send + 'static,
    {
        let mut alone = self.clone();
        alone.checked.remove("bootstrap.servers");
        let made: KafkaResult<C> = alone.config().create_with_context(Quiet);
        match made {
            Ok(client) => {
                end(client);
                Ok(self)
            }
            Err(failure) => {
                let why = match failure {
                    KafkaError::ClientCreation(why) => why,
                    other => other.to_string(),
                };
                let named = self.given_as.iter();
                let named = named.map(|(native, given)| (native.as_str(), given.as_str()));
                let own = self
                    .checked
                    .keys()
                    .map(|name| (name.as_str(), name.as_str()));
                // Names are parts of others: the longest one is meant.
                let meant = named
                    .chain(own)
                    .filter(|(native, _)| why.contains(native))
                    .max_by_key(|(native, _)| native.len());
                let name = meant.map(|(_, given)| given.to_owned());
                Err(Refusals(vec![Refused { name, why }]))
            }
        }
    }

    /// Properties of the module file that have no effect.
    pub(super) fn ignored(&self) -> &[Ignored] {
        &self.ignored
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
        lock(&self.told).last = None;
        Context {
            who: self.who.clone(),
            told: Arc::clone(&self.told),
        }
    }

    /// The last failure that the newest client reported.
    pub(super) fn last_failure(&self) -> Option<String> {
        lock(&self.told).last.clone()
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

/// The settings that a client refuses; not empty.
#[derive(Debug)]
pub(super) struct Refusals(pub(super) Vec<Refused>);

impl std::fmt::Display for Refusals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&all.join("; "))
    }
}

impl std::error::Error for Refusals {}

/// Why librdkafka does not take a setting.
enum Unfit {
    Unknown,
    Invalid(String),
}

/// `value`, or the nearest one that librdkafka takes, and then what happened.
fn within(name: &str, value: String) -> Result<(String, Option<String>), Unfit> {
    let why = match check(name, &value) {
        Ok(()) => return Ok((value, None)),
        Err(Unfit::Invalid(why)) => why,
        Err(unknown) => return Err(unknown),
    };
    match nearest(&why, &value) {
        Some(nearest) => {
            let told = format!(
                "{value} is outside the range of this client, which takes {nearest} instead"
            );
            Ok((nearest, Some(told)))
        }
        None => Err(Unfit::Invalid(why)),
    }
}

/// The end of the range in librdkafka's message that is nearest to `value`. Java's client takes such values.
fn nearest(why: &str, value: &str) -> Option<String> {
    let (_, range) = why.split_once("outside allowed range ")?;
    let (least, most) = range.trim().split_once("..")?;
    let (least, most) = (least.parse::<i64>().ok()?, most.parse::<i64>().ok()?);
    let value = value.parse::<i64>().ok()?;
    Some(value.clamp(least, most).to_string())
}

fn check(name: &str, value: &str) -> Result<(), Unfit> {
    let mut alone = ClientConfig::new();
    alone.set(name, value);
    match alone.create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
            Err(Unfit::Unknown)
        }
        Err(KafkaError::ClientConfig(_, why, ..)) if why.contains(NOT_BUILT_IN) => {
            Err(Unfit::Invalid(format!(
                "TLS and SCRAM need a build with the feature `kafka-tls`, which this one does not have ({why})"
            )))
        }
        Err(KafkaError::ClientConfig(_, why, ..)) => Err(Unfit::Invalid(why)),
        Err(failure) => Err(Unfit::Invalid(failure.to_string())),
    }
}

/// Takes the events of a client that is made to try its settings.
#[derive(Debug)]
pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}
    fn error(&self, _error: KafkaError, _reason: &str) {}
}

impl ConsumerContext for Quiet {}

impl ProducerContext for Quiet {
    type DeliveryOpaque = ();
    fn delivery(&self, _result: &DeliveryResult<'_>, (): ()) {}
}

/// Receives the events of a client.
#[derive(Debug)]
pub(super) struct Context {
    who: String,
    told: Told,
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
        match &lock(&self.told).last {
            Some(last) => format!("{what}: {last}").into(),
            None => what.into(),
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let client = &self.who;
        let mut told = lock(&self.told);
        let is_error = matches!(
            level,
            RDKafkaLogLevel::Emerg
                | RDKafkaLogLevel::Alert
                | RDKafkaLogLevel::Critical
                | RDKafkaLogLevel::Error
        );
        if is_error {
            told.last = Some(message.to_owned());
        }
        let is_loud = is_error || matches!(level, RDKafkaLogLevel::Warning);
        if is_loud && told.is_new(message, Instant::now()) {
            warn!(%client, facility, "{message}");
        } else {
            debug!(%client, facility, "{message}");
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(client = %self.who, %error, "{reason}");
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            lock(&self.told).last = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Context {
    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(failure) = result {
            warn!(client = %self.who, %failure, "the group's offsets are not committed; only Kafka's own tools are affected");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_reports_each_second_is_logged_once_a_minute() {
        let mut reports = Reports::default();
        let begun = Instant::now();
        let text = |millis| format!("login refused (after {millis}ms in state AUTH)");
        let mut is_new =
            |text: &str, seconds| reports.is_new(text, begun + Duration::from_secs(seconds));
        assert!(is_new(&text(3), 0));
        assert!(!is_new(&text(5), 1) && !is_new(&text(4), 59));
        assert!(is_new("another", 2));
        assert!(is_new(&text(3), 60));
    }

    #[test]
    fn a_number_outside_the_range_becomes_the_nearest_one() {
        let refused = check("socket.timeout.ms", "305000");
        let Err(Unfit::Invalid(why)) = refused else {
            panic!("the client takes it");
        };
        assert_eq!(nearest(&why, "305000").as_deref(), Some("300000"));
        assert_eq!(nearest(&why, "1").as_deref(), Some("10"));
        assert_eq!(nearest("another reason", "1"), None);
    }
}
