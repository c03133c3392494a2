//! The other side: what writes to topics and reads them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;
use stateful_functions::types;

use super::broker::Broker;
use crate::support::until::until;

const PATIENCE: Duration = Duration::from_secs(60);
/// Polls of 20 ms without an event, after which a broker counts as away.
const SILENT_POLLS: u32 = 100;

/// A client of a broker, with topics of its own.
pub(super) struct Client<'a> {
    pub(super) broker: &'a Broker,
    producer: FutureProducer,
    admin: AdminClient<DefaultClientContext>,
}

/// A record in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) key: Option<String>,
    pub(super) value: String,
}

impl<'a> Client<'a> {
    pub(super) fn of(broker: &'a Broker) -> Self {
        let mut producing = broker.client();
        producing
            .set("enable.idempotence", "true")
            .set("linger.ms", "0");
        Self {
            broker,
            producer: producing.create().unwrap(),
            admin: broker.client().create().unwrap(),
        }
    }

    /// A name that no other test has.
    pub(super) fn name(&self, of: &str) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        format!("{of}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes a topic under a name that no other test has.
    pub(super) async fn topic(&self, of: &str, partitions: i32) -> String {
        let name = self.name(of);
        self.make(&name, partitions, &[]).await;
        name
    }

    pub(super) async fn make(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let options = AdminOptions::new();
        let made = self.admin.create_topics([&topic], &options).await;
        match made.unwrap().remove(0) {
            // The broker makes a topic that was deleted again as soon as a client asks for it, just like this one.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists))
                if partitions == 1 && settings.is_empty() => {}
            made => _ = made.unwrap(),
        }
        // Every client sees it from here on.
        until("the topic to be there", async || {
            let seen = self
                .admin
                .inner()
                .fetch_metadata(Some(name), PATIENCE)
                .ok()?;
            let topic = seen.topics().first()?;
            (topic.error().is_none() && !topic.partitions().is_empty()).then_some(())
        })
        .await;
    }

    pub(super) async fn grow(&self, topic: &str, partitions: usize) {
        let grown = NewPartitions::new(topic, partitions);
        let made = self
            .admin
            .create_partitions([&grown], &AdminOptions::new())
            .await;
        made.unwrap().remove(0).unwrap();
    }

    /// Deletes a topic.
    pub(super) async fn delete(&self, topic: &str) {
        let gone = self
            .admin
            .delete_topics(&[topic], &AdminOptions::new())
            .await;
        gone.unwrap().remove(0).unwrap();
        until("the topic to be gone", async || {
            let seen = self.admin.inner().fetch_metadata(None, PATIENCE).ok()?;
            let is_there = seen.topics().iter().any(|one| one.name() == topic);
            (!is_there).then_some(())
        })
        .await;
    }

    /// Deletes the records before `offset`, as retention does.
    pub(super) async fn forget(&self, topic: &str, partition: i32, offset: i64) {
        let mut before = TopicPartitionList::new();
        before
            .add_partition_offset(topic, partition, Offset::Offset(offset))
            .unwrap();
        self.admin
            .delete_records(&before, &AdminOptions::new())
            .await
            .unwrap();
    }

    /// Writes bytes; ready when the broker has them.
    pub(super) async fn write(
        &self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&str>,
        value: Option<&[u8]>,
    ) {
        let mut record: FutureRecord<'_, str, [u8]> = FutureRecord::to(topic);
        record.partition = partition;
        record.key = key;
        record.payload = value;
        self.producer.send(record, PATIENCE).await.unwrap();
    }

    /// Writes a key and a value that need not be text.
    pub(super) async fn bytes(&self, topic: &str, key: &[u8], value: &[u8]) {
        let record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(topic).key(key).payload(value);
        self.producer.send(record, PATIENCE).await.unwrap();
    }

    /// Writes a text as a value of StateFun's type for texts.
    pub(super) async fn text(&self, topic: &str, partition: i32, key: &str, text: &str) {
        let value = types::STRING.encode(&text.to_owned()).unwrap();
        self.write(topic, Some(partition), Some(key), Some(&value))
            .await;
    }

    /// Waits until a topic has that many committed records, and reads them.
    pub(super) async fn read(&self, topic: &str, count: usize) -> Vec<Read> {
        let mut reader = Reader::of(self.broker, topic);
        until(&format!("{count} records of {topic}"), async || {
            reader.read();
            (reader.records.len() >= count).then_some(())
        })
        .await;
        reader.records
    }

    /// The partition of the first record with this key.
    pub(super) async fn partition_of(&self, topic: &str, key: &str) -> i32 {
        let mut reader = Reader::of(self.broker, topic);
        until("the record", async || {
            reader.read();
            let at = reader
                .records
                .iter()
                .position(|read| read.key.as_deref() == Some(key))?;
            reader.partitions.get(at).copied()
        })
        .await
    }

    /// What a group has committed for a partition.
    pub(super) fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        let client: BaseConsumer = self
            .broker
            .client()
            .set("group.id", group)
            .create()
            .unwrap();
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, partition);
        let answer = client.committed_offsets(asked, PATIENCE).ok()?;
        match answer.find_partition(topic, partition)?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    }
}

/// Reads what is committed in a topic, from its beginning on.
pub(super) struct Reader {
    consumer: BaseConsumer,
    pub(super) records: Vec<Read>,
    partitions: Vec<i32>,
    /// Partitions whose end was not reached.
    unread: BTreeSet<i32>,
}

impl Reader {
    pub(super) fn of(broker: &Broker, topic: &str) -> Self {
        let mut config = broker.client();
        config
            .set("group.id", "reader")
            .set("isolation.level", "read_committed");
        config
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "50");
        let consumer: BaseConsumer = config.create().unwrap();
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
        let mut all = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            let begin = Offset::Beginning;
            all.add_partition_offset(topic, partition.id(), begin)
                .unwrap();
        }
        consumer.assign(&all).unwrap();
        Self {
            consumer,
            records: Vec::new(),
            partitions: Vec::new(),
            unread: (0..all.count() as i32).collect(),
        }
    }

    /// Takes what is there: all up to the end of each partition, unless the broker is silent.
    pub(super) fn read(&mut self) {
        let mut silent = 0;
        loop {
            let record = match self.consumer.poll(Duration::from_millis(20)) {
                Some(Ok(record)) => record,
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.unread.remove(&partition);
                    continue;
                }
                // A broker that is away comes back.
                Some(Err(_)) => continue,
                None if self.unread.is_empty() || silent == SILENT_POLLS => return,
                None => {
                    silent += 1;
                    continue;
                }
            };
            silent = 0;
            self.unread.insert(record.partition());
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            self.partitions.push(record.partition());
            self.records.push(Read {
                key: record.key().map(text),
                value: record.payload().map(text).unwrap_or_default(),
            });
        }
    }
}
