//! The client that reads.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use rdkafka::consumer::StreamConsumer;

use super::client::{Context, Settings, end};
use super::properties::{Direction, translate};
use crate::module::KafkaIngress;
use crate::sdk::BoxError;

/// As Java's consumer has it; and less in memory, because what waits is already bounded in the runtime.
const DEFAULTS: &[(&str, &str)] = &[
    ("allow.auto.create.topics", "true"),
    ("fetch.queue.backoff.ms", "20"),
    ("isolation.level", "read_uncommitted"),
    ("queued.max.messages.kbytes", "16384"),
    ("queued.min.messages", "20000"),
];

/// Positions are stored with the state: the client keeps none, and asks when one is gone.
const FIXED: &[(&str, &str)] = &[
    ("auto.offset.reset", "error"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "false"),
];

/// How an ingress reads.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    settings: Settings,
    /// Records of a batch at most.
    pub(super) max_records: usize,
    /// Between two looks for new partitions.
    pub(super) discovery: std::time::Duration,
}

/// Records of a batch, when `max.poll.records` does not say it.
const MAX_RECORDS: usize = 2_000;
/// Between two looks for new partitions, when `flink.partition-discovery.interval-millis` does not say it.
const DISCOVERY: std::time::Duration = std::time::Duration::from_secs(10);

impl Reading {
    /// The checked settings of an ingress.
    ///
    /// # Errors
    /// When a property has a value that the client does not take.
    pub(super) fn of(spec: &KafkaIngress) -> Result<Self, BoxError> {
        let mut given = translate(&spec.properties, Direction::Consumer);
        let max_records = given.max_poll_records.take().unwrap_or(MAX_RECORDS);
        let discovery = given.discovery.take().unwrap_or(DISCOVERY);
        let who = format!("ingress {}", spec.id);
        let settings = Settings::checked(who, &spec.address, DEFAULTS, given, FIXED)?;
        Ok(Self {
            settings: settings.with("group.id", &*spec.consumer_group_id),
            max_records,
            discovery,
        })
    }

    /// A client. It connects by itself, and again whenever it has to.
    ///
    /// # Errors
    /// When the settings contradict each other.
    pub(super) fn consumer(&self) -> Result<Arc<Consumer>, BoxError> {
        let (config, context) = (self.settings.config(), self.settings.context());
        let made: StreamConsumer<Context> = config.create_with_context(context)?;
        Ok(Arc::new(Consumer(Some(made))))
    }
}

/// A client that reads; ended away from its last user.
pub(super) struct Consumer(Option<StreamConsumer<Context>>);

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
