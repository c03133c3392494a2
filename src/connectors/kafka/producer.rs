//! The producer.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer,
};
use tokio::sync::mpsc;
use tracing::error;

use super::client::{Context, Quiet, Refusals, Settings, end};
use super::properties::{Direction, Translated, translate};
use super::record::Outgoing;
use crate::module::{DeliverySemantic, KafkaEgress};
use crate::sdk::{BoxError, TypeName};

/// The defaults of Java's producer. `murmur2_random` chooses the same partition for a key as Java's default partitioner.
const DEFAULTS: &[(&str, &str)] = &[
    ("linger.ms", "1"),
    ("message.max.bytes", "1048576"),
    ("message.timeout.ms", "120000"),
    ("partitioner", "murmur2_random"),
];
/// Settings that idempotence requires.
const IN_ORDER: &[(&str, &str)] = &[("acks", "all"), ("enable.idempotence", "true")];
const MAX_IN_FLIGHT: u32 = 5;
/// The time limit of a record in milliseconds, unless `delivery.timeout.ms` is set.
const MESSAGE_TIMEOUT: u128 = 120_000;
/// The shortest transaction timeout that librdkafka accepts.
const SHORTEST_TRANSACTION: Duration = Duration::from_secs(1);
/// The pause while the client's queue is full.
const QUEUE_FULL: Duration = Duration::from_millis(2);

/// The checked settings of an egress.
///
/// # Errors
/// If the client refuses properties.
pub(super) fn settings(id: &TypeName, spec: &KafkaEgress) -> Result<Settings, Refusals> {
    checked(id, spec)?.tried::<BaseProducer<Quiet>>()
}

fn checked(id: &TypeName, spec: &KafkaEgress) -> Result<Settings, Refusals> {
    let mut given = translate(&spec.properties, Direction::Producer);
    let who = format!("egress {id}");
    let semantic = &spec.delivery_semantic;
    let (
        DeliverySemantic::ExactlyOnce {
            transaction_timeout,
        },
        Some(own_id),
    ) = (semantic, spec.transactional_id(id))
    else {
        if given.settings.remove("transactional.id").is_some() {
            given.ignore(
                "transactional.id",
                "the delivery semantic is not exactly-once",
            );
        }
        let is_acknowledged = *semantic == DeliverySemantic::AtLeastOnce;
        let fixed = match is_acknowledged && loosened(&given).is_empty() {
            true => IN_ORDER,
            false => &[],
        };
        return Settings::checked(who, &spec.address, DEFAULTS, given, fixed);
    };
    for name in loosened(&given) {
        given.settings.remove(name);
        given.ignore(name, "transactions need more");
    }
    given.settings.remove("transactional.id");
    let messages = ["delivery.timeout.ms", "message.timeout.ms"];
    let messages = messages.map(|name| given.settings.remove(name));
    let messages = messages
        .into_iter()
        .flatten()
        .find_map(|given| given.trim().parse().ok());
    let timeout = (*transaction_timeout).max(SHORTEST_TRANSACTION).as_millis();
    let messages = timeout.min(messages.unwrap_or(MESSAGE_TIMEOUT));
    let (timeout, messages) = (timeout.to_string(), messages.to_string());
    let fixed = [
        ("transactional.id", &*own_id),
        ("transaction.timeout.ms", &*timeout),
        ("message.timeout.ms", &*messages),
    ];
    let fixed = [IN_ORDER, &fixed].concat();
    Settings::checked(who, &spec.address, DEFAULTS, given, &fixed)
}

/// Settings that may be too weak for idempotence.
fn loosened(given: &Translated) -> Vec<&'static str> {
    let asked = LESS.iter().filter(|(name, less)| {
        let value = given.settings.get(*name);
        value.is_some_and(|value| less(value.trim()))
    });
    asked.map(|(name, _)| *name).collect()
}

/// Whether a value is too weak.
type Less = fn(&str) -> bool;

const LESS: &[(&str, Less)] = &[
    ("acks", |acks| matches!(acks, "0" | "1")),
    ("enable.idempotence", |is| is.eq_ignore_ascii_case("false")),
    ("max.in.flight.requests.per.connection", |many| {
        many.parse().is_ok_and(|many: u32| many > MAX_IN_FLIGHT)
    }),
    ("retries", |retries| retries == "0"),
];

/// A producer, which is dropped on a thread of its own.
pub(super) struct Producer(Option<ThreadedProducer<Context>>);

impl Producer {
    pub(super) fn new(settings: &Settings) -> Result<Self, BoxError> {
        let (config, context) = (settings.config(), settings.context());
        Ok(Self(Some(config.create_with_context(context)?)))
    }

    /// Sends records and waits for their results. Returns the failures by the numbers of the records; with `all_or_none` the first
    /// failure ends it. Records to topics of `alone` are sent in client batches of their own: a batch that is too large fails
    /// as a whole.
    pub(super) async fn send(
        &self,
        records: &[(usize, Outgoing)],
        all_or_none: bool,
        alone: &BTreeSet<String>,
    ) -> Vec<(usize, KafkaError)> {
        let (tell, mut told) = mpsc::unbounded_channel();
        let (mut failures, mut waiting) = (Vec::new(), 0_usize);
        for (index, record) in records {
            let is_alone = alone.contains(&record.topic);
            match self.hand_over(*index, record, Some(&tell)).await {
                Ok(()) => waiting += 1,
                Err(failure) => failures.push((*index, failure)),
            }
            while is_alone && waiting > 0 {
                waiting -= 1;
                let (index, failure) = told.recv().await.unwrap_or_default();
                failures.extend(failure.map(|failure| (index, failure)));
            }
            if all_or_none && !failures.is_empty() {
                return failures;
            }
        }
        while waiting > 0 && (failures.is_empty() || !all_or_none) {
            waiting -= 1;
            let (index, failure) = told.recv().await.unwrap_or_default();
            failures.extend(failure.map(|failure| (index, failure)));
        }
        failures
    }

    /// Sends records without waiting for results: one that fails is lost and logged.
    pub(super) async fn throw(&self, records: &[(usize, Outgoing)]) {
        for (index, record) in records {
            if let Err(failure) = self.hand_over(*index, record, None).await {
                lost(&failure);
            }
        }
    }

    async fn hand_over(
        &self,
        index: usize,
        record: &Outgoing,
        tell: Option<&mpsc::UnboundedSender<Report>>,
    ) -> Result<(), KafkaError> {
        loop {
            let ticket = Box::new(Ticket {
                index,
                tell: tell.cloned(),
            });
            let mut handed: BaseRecord<'_, str, [u8], _> =
                BaseRecord::with_opaque_to(&record.topic, ticket).payload(&record.value);
            if let Some(key) = &record.key {
                handed = handed.key(key);
            }
            let Err((failure, _)) = ThreadedProducer::send(self, handed) else {
                return Ok(());
            };
            if failure.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(failure);
            }
            tokio::time::sleep(QUEUE_FULL).await;
        }
    }

    /// `failure`, with its cause if that is known.
    pub(super) fn explain(&self, failure: &KafkaError) -> BoxError {
        self.context().explain(failure)
    }

    /// The fatal error of the client, if there is one.
    pub(super) fn fatal(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.client().fatal_error()
    }
}

impl Deref for Producer {
    type Target = ThreadedProducer<Context>;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Producer")
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        end(self.0.take());
    }
}

/// The result of the record with this number.
type Report = (usize, Option<KafkaError>);

/// Accompanies a record, and returns with its result.
pub(super) struct Ticket {
    index: usize,
    tell: Option<mpsc::UnboundedSender<Report>>,
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        let failure = result.as_ref().err().map(|(failure, _)| failure.clone());
        match (ticket.tell, failure) {
            // The receiver may be gone.
            (Some(tell), failure) => _ = tell.send((ticket.index, failure)),
            (None, Some(failure)) => lost(&failure),
            (None, None) => {}
        }
    }
}

fn lost(failure: &KafkaError) {
    error!(%failure, "a record is lost: the egress has the delivery semantic `none`");
}

/// Whether a client batch was too large that may have held more than one record.
pub(super) fn is_too_large(failure: &KafkaError) -> bool {
    failure.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge)
}

/// The reason if the cluster will never accept the record; `None` for temporary failures.
pub(super) fn refusal(failure: &KafkaError, record: &Outgoing) -> Option<String> {
    use RDKafkaErrorCode as Code;
    let refused = match failure.rdkafka_error_code() {
        None => matches!(failure, KafkaError::Nul(_)),
        Some(code) => matches!(
            code,
            Code::InvalidArgument
                | Code::InvalidRecord
                | Code::InvalidTopic
                | Code::MessageSizeTooLarge
                | Code::PolicyViolation
                | Code::TopicAuthorizationFailed
                | Code::UnknownTopic
                | Code::UnknownTopicOrPartition
        ),
    };
    refused.then(|| format!("topic {}: {failure}", record.topic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::Properties;

    fn settings_of(semantic: DeliverySemantic, pairs: &[(&str, &str)]) -> Settings {
        let spec = KafkaEgress::of_tests(semantic, Properties::of_tests(pairs));
        settings(&TypeName::new("a/out"), &spec).unwrap()
    }

    #[test]
    fn a_transaction_has_its_id_and_its_timeout_and_what_it_needs() {
        let semantic = DeliverySemantic::ExactlyOnce {
            transaction_timeout: Duration::from_secs(60),
        };
        let settings = settings_of(semantic, &[("acks", "1"), ("delivery.timeout.ms", "90000")]);
        for (name, value) in [
            ("transactional.id", "statefun-a/out"),
            ("transaction.timeout.ms", "60000"),
            ("message.timeout.ms", "60000"),
            ("acks", "all"),
        ] {
            assert_eq!(settings.get(name), Some(value), "{name}");
        }
        let settings = settings_of(semantic, &[("transactional.id", "mine")]);
        assert_eq!(settings.get("transactional.id"), Some("mine"));
    }

    #[test]
    fn properties_that_ask_for_less_than_idempotence_are_respected_without_transactions() {
        let settings = settings_of(
            DeliverySemantic::AtLeastOnce,
            &[("acks", "1"), ("transactional.id", "mine")],
        );
        assert_eq!(
            (settings.get("acks"), settings.get("enable.idempotence")),
            (Some("1"), None)
        );
        assert_eq!(settings.get("transactional.id"), None);
        let settings = settings_of(DeliverySemantic::AtLeastOnce, &[]);
        assert_eq!(settings.get("enable.idempotence"), Some("true"));
    }
}
