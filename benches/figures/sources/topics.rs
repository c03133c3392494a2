//! A broker, topics, what is written to them, and what is committed in them.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::broker::{Broker, Version};
use super::input::{Filled, Input, Rate, TICK, message};
use super::meter::Meter;
use crate::support::made::Lack;
use crate::tally;

const PATIENCE: Duration = Duration::from_secs(60);
/// As the broker makes topics.
const PARTITIONS: i32 = 4;

pub(super) struct Kafka {
    broker: Broker,
}

impl Kafka {
    /// # Errors
    /// If Java, Maven or an artifact cannot be had here.
    pub(super) fn start() -> Result<Self, Lack> {
        let broker = Broker::start(Version::V39, false, None)?;
        Ok(Self { broker })
    }

    pub(super) fn address(&self) -> String {
        self.broker.address()
    }

    fn client(&self) -> ClientConfig {
        self.broker.client()
    }

    fn producer(&self, linger_ms: &str) -> Result<ThreadedProducer<DefaultProducerContext>> {
        let mut settings = self.client();
        settings
            .set("linger.ms", linger_ms)
            .set("acks", "1")
            .set("partitioner", "murmur2_random")
            .set("queue.buffering.max.messages", "200000");
        Ok(settings.create()?)
    }

    /// A reader of what is committed in a topic.
    pub(super) fn committed(&self, topic: &str) -> Result<Committed> {
        let mut settings = self.client();
        settings
            .set("group.id", topic)
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("queued.min.messages", "1000000")
            .set("fetch.queue.backoff.ms", "10");
        let consumer: BaseConsumer = settings.create()?;
        let mut all = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            all.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&all)?;
        Ok(Committed {
            consumer,
            counts: HashMap::new(),
            count: 0,
        })
    }
}

impl Input for Kafka {
    fn what(&self) -> &'static str {
        "topic"
    }

    fn make(&self, topic: &str) -> Result<()> {
        // The broker makes what a producer asks for.
        let producer = self.producer("0")?;
        let start = Instant::now();
        loop {
            let seen = producer.client().fetch_metadata(Some(topic), PATIENCE)?;
            let partitions = seen.topics().first().map_or(0, |it| it.partitions().len());
            if partitions == PARTITIONS as usize {
                return Ok(());
            }
            ensure!(start.elapsed() < PATIENCE, "there is no topic {topic}");
            thread::sleep(TICK);
        }
    }

    fn fill(&self, topic: &str, keys: u64, count: u64) -> Result<Filled> {
        self.make(topic)?;
        let producer = self.producer("20")?;
        for number in 0..count {
            send(&producer, topic, number % keys)?;
        }
        producer.flush(PATIENCE)?;
        Ok(Filled {
            name: topic.to_owned(),
            count,
        })
    }

    fn load(
        &self,
        topic: &str,
        keys: u64,
        rate: Rate,
        meter: &Meter,
        ends: &AtomicBool,
    ) -> Result<()> {
        let producer = self.producer("0")?;
        rate.drive(meter, ends, |mut numbers| {
            numbers.try_for_each(|number| send(&producer, topic, number % keys))
        })?;
        producer.flush(PATIENCE)?;
        Ok(())
    }

    fn ingress(&self, topic: &str) -> String {
        format!(
            "kind: io.statefun.kafka.v1/ingress
spec:
  id: bench/in
  address: {}
  consumerGroupId: {topic}
  startupPosition: {{type: earliest}}
  topics: [{{topic: {topic}, valueType: {}, targets: [{}]}}]
",
            self.address(),
            tally::STAMPED,
            tally::TALLY
        )
    }
}

fn send(producer: &ThreadedProducer<DefaultProducerContext>, topic: &str, key: u64) -> Result<()> {
    let key = format!("key-{key}");
    loop {
        let value = message();
        let record = BaseRecord::to(topic).key(&key).payload(&value);
        let Err((failure, _)) = producer.send(record) else {
            return Ok(());
        };
        if failure.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
            return Err(failure.into());
        }
        thread::sleep(TICK);
    }
}

/// Reads what is committed, and checks that each address has counted each message once and in order.
pub(super) struct Committed {
    consumer: BaseConsumer,
    counts: HashMap<Vec<u8>, i64>,
    pub(super) count: u64,
}

impl Committed {
    /// Reads for `span`, and returns the age of each record in microseconds.
    ///
    /// # Errors
    /// If a record comes twice, is missing, or is out of order.
    pub(super) fn read(&mut self, span: Duration) -> Result<Vec<u32>> {
        let until = Instant::now() + span;
        let mut micros = Vec::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(micros);
            }
            let Some(record) = self.consumer.poll(left) else {
                continue;
            };
            let record = match record {
                // A topic that was made just now.
                Err(failure) => match failure.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::UnknownTopicOrPartition) => continue,
                    _ => return Err(failure.into()),
                },
                Ok(record) => record,
            };
            let key = record.key().context("a record without a key")?;
            let value = record.payload().context("a record without a value")?;
            let sent = tally::stamp(value).context("a record without a time")?;
            micros.push(
                tally::now()
                    .saturating_sub(sent)
                    .try_into()
                    .unwrap_or(u32::MAX),
            );
            let count = value.get(8..).and_then(|rest| rest.first_chunk());
            let count = count.map(|count| i64::from_be_bytes(*count));
            let expected = self.counts.get(key).copied().unwrap_or(0) + 1;
            if count != Some(expected) {
                let key = String::from_utf8_lossy(key);
                bail!("record {count:?} of {key} arrived where {expected} was due");
            }
            match self.counts.get_mut(key) {
                Some(count) => *count = expected,
                None => _ = self.counts.insert(key.to_vec(), expected),
            }
            self.count += 1;
        }
    }
}
