//! The consumer.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use futures_util::FutureExt as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;

use super::client::{Context, Quiet, Refusals, Settings, end};
use super::properties::{Direction, translate};
use crate::module::KafkaIngress;
use crate::sdk::BoxError;

/// The defaults of Java's consumer, with less memory, because the runtime already limits waiting messages.
const DEFAULTS: &[(&str, &str)] = &[
    ("allow.auto.create.topics", "true"),
    ("fetch.queue.backoff.ms", "20"),
    ("isolation.level", "read_uncommitted"),
    ("queued.max.messages.kbytes", "16384"),
    ("queued.min.messages", "20000"),
];

/// Positions are stored with the state: the client stores none, and reports one that is out of range.
const FIXED: &[(&str, &str)] = &[
    ("auto.offset.reset", "error"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "false"),
];

/// The settings of an ingress.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) settings: Settings,
    /// The most records of a batch.
    pub(super) max_records: usize,
    /// The interval of checks for new partitions.
    pub(super) discovery: std::time::Duration,
}

/// The most records of a batch, unless `max.poll.records` is set.
const MAX_RECORDS: usize = 10_000;
/// The interval of checks for new partitions, unless `flink.partition-discovery.interval-millis` is set.
const DISCOVERY: std::time::Duration = std::time::Duration::from_secs(10);

impl Reading {
    /// The checked settings of an ingress.
    ///
    /// # Errors
    /// If the client refuses properties.
    pub(super) fn of(spec: &KafkaIngress) -> Result<Self, Refusals> {
        let mut given = translate(&spec.properties, Direction::Consumer);
        let max_records = given.max_poll_records.take().unwrap_or(MAX_RECORDS);
        let discovery = given.discovery.take().unwrap_or(DISCOVERY);
        let who = format!("ingress {}", spec.id);
        let settings = Settings::checked(who, &spec.address, DEFAULTS, given, FIXED)?;
        let settings = settings.with("group.id", &*spec.consumer_group_id);
        Ok(Self {
            settings: settings.tried::<BaseConsumer<Quiet>>()?,
            max_records,
            discovery,
        })
    }

    /// A client. It connects and reconnects by itself.
    ///
    /// # Errors
    /// If the settings contradict each other.
    pub(super) fn consumer(&self) -> Result<Arc<Consumer>, BoxError> {
        let (config, context) = (self.settings.config(), self.settings.context());
        let made: StreamConsumer<Context> = config.create_with_context(context)?;
        Ok(Arc::new(Consumer(Some(made))))
    }
}

/// A consumer, which is dropped on a thread of its own.
pub(super) struct Consumer(Option<StreamConsumer<Context>>);

impl Consumer {
    /// `failure`, with its cause if that is known. The client tells causes as events, which nobody takes before partitions are assigned.
    pub(super) fn explain(&self, failure: &KafkaError) -> BoxError {
        let is_idle = self
            .assignment()
            .is_ok_and(|assigned| assigned.count() == 0);
        let mut events = 0;
        while is_idle && events < MAX_EVENTS && self.recv().now_or_never().is_some() {
            events += 1;
        }
        self.context().explain(failure)
    }
}

/// The most events that are taken for the cause of a failure.
const MAX_EVENTS: usize = 1_000;

impl Deref for Consumer {
    type Target = StreamConsumer<Context>;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Consumer")
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        end(self.0.take());
    }
}
