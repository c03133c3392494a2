//! Makes batches of records: messages for functions, records that are set aside, and the offsets after them.

use std::collections::{BTreeMap, HashMap};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};

use super::consumer::Consumer;
use super::split::Split;
use crate::module::Route;
use crate::runtime::Batch;
use crate::sdk::BoxError;

/// The bytes of a batch at which no further record is added.
const BATCH_BYTES: usize = 4 << 20;

/// Why a record cannot be brought: StateFun's words, and ours for the other one, at which StateFun fails without any.
const NO_KEY: &str =
    "The io.statefun.kafka.v1/ingress ingress requires a UTF-8 key set for each record.";
const NO_VALUE: &str = "the record has no value, which StateFun does not take either";

/// The targets of a topic's records, and the partitions that are read.
pub(super) struct Topic {
    route: Route,
    pub(super) partitions: HashMap<i32, Partition>,
}

impl Topic {
    pub(super) fn of(route: &Route) -> (String, Self) {
        let topic = Self {
            route: route.clone(),
            partitions: HashMap::new(),
        };
        (route.source.clone(), topic)
    }
}

pub(super) struct Partition {
    pub(super) split: Split,
    /// The offset after the last record that was brought.
    pub(super) next: i64,
}

/// Records that the client had already fetched.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) batch: Batch,
    records: usize,
    bytes: usize,
    /// The offsets after the records.
    pub(super) next: BTreeMap<Split, i64>,
    /// The event that followed the records.
    pub(super) then: Option<Then>,
}

/// An event that is not a record.
pub(super) enum Then {
    /// A position is out of the range of its partition.
    PositionGone,
    /// A failure from which the client recovers by itself.
    Passing(KafkaError),
    /// A failure that ends the run.
    Failed(BoxError),
}

impl Then {
    /// What a failure means for the run.
    pub(super) fn of(failure: KafkaError, consumer: &Consumer) -> Self {
        use RDKafkaErrorCode as Code;
        match failure.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => Self::PositionGone,
            Some(
                Code::AllBrokersDown
                | Code::Authentication
                | Code::BrokerTransportFailure
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::OperationTimedOut
                | Code::Resolve
                | Code::SSL
                | Code::UnknownPartition
                | Code::UnknownTopic
                | Code::UnknownTopicOrPartition,
            ) => Self::Passing(failure),
            _ => Self::Failed(consumer.explain(&failure)),
        }
    }
}

impl Gathered {
    /// Turns a record into the messages for its targets, or sets it aside.
    pub(super) fn take(
        &mut self,
        record: &BorrowedMessage<'_>,
        topics: &mut HashMap<String, Topic>,
    ) -> Result<(), Then> {
        let (topic, offset) = (record.topic(), record.offset());
        let Some(known) = topics.get_mut(topic) else {
            return Err(Then::Failed(
                format!(
                    "Consumed a record from topic [{topic}], but no routing config was specified."
                )
                .into(),
            ));
        };
        let Some(partition) = known.partitions.get_mut(&record.partition()) else {
            return Ok(());
        };
        // Fetched before the client was moved to another offset.
        if offset < partition.next {
            return Ok(());
        }
        match (record.key(), record.payload()) {
            (Some(key), Some(value)) => {
                let id = String::from_utf8_lossy(key);
                for target in &known.route.targets {
                    let typename = &known.route.value_type;
                    self.batch.add(target, &id, typename, value);
                }
            }
            (key, value) => {
                let why = if key.is_none() { NO_KEY } else { NO_VALUE };
                let mut origin = format!(
                    "topic {topic}, partition {}, offset {offset}",
                    record.partition()
                );
                if let Some(key) = key {
                    origin.push_str(&format!(", key {}", String::from_utf8_lossy(key)));
                }
                self.batch.set_aside(origin, why, value.unwrap_or_default());
            }
        }
        self.records += 1;
        self.bytes += record.key_len() + record.payload_len();
        partition.next = offset + 1;
        match self.next.get_mut(&partition.split) {
            Some(next) => *next = partition.next,
            None => _ = self.next.insert(partition.split.clone(), partition.next),
        }
        Ok(())
    }

    /// Whether no further record is added.
    pub(super) const fn is_enough(&self, max_records: usize) -> bool {
        self.records >= max_records || self.bytes >= BATCH_BYTES
    }
}
