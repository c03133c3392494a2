//! What `statefun check --connect` asks a cluster. Nothing is changed there: no offset is committed, no topic created, nobody fenced.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::{Context, Settings, blocking, end};
use super::consumer::Reading;
use super::transaction::{PARTITION, TOPIC};
use crate::module::{DeliverySemantic, KafkaEgress, KafkaIngress, KafkaStart, Places};
use crate::runtime::{SystemAnswer, Verdict};
use crate::sdk::BoxError;

/// Asks for the topics of an ingress and for its rights.
pub(super) async fn of_ingress(
    spec: KafkaIngress,
    reading: Reading,
    patience: Duration,
) -> Vec<SystemAnswer> {
    let places = spec.places.clone();
    let asked = blocking(move || {
        let settings = reading.settings.connection();
        let settings = settings.with("group.id", &*spec.consumer_group_id);
        let mut inquiry = Inquiry::begin(settings, spec.places.clone(), patience)?;
        inquiry.ingress(&spec);
        Ok(inquiry.end())
    });
    asked
        .await
        .unwrap_or_else(|failure| failed(&places, &failure))
}

/// Asks for the cluster of an egress, and with exactly-once for its position and the limit of transactions.
pub(super) async fn of_egress(
    spec: KafkaEgress,
    settings: Settings,
    patience: Duration,
) -> Vec<SystemAnswer> {
    let places = spec.places.clone();
    let admin = settings.clone();
    let asked = blocking(move || {
        let group = settings
            .get("transactional.id")
            .unwrap_or("statefun")
            .to_owned();
        let connection = settings.connection().with("group.id", group.as_str());
        let mut inquiry = Inquiry::begin(connection, spec.places.clone(), patience)?;
        let broker = inquiry.egress(&spec, &group);
        Ok((broker, inquiry.deadline, inquiry.end(), spec))
    });
    match asked.await {
        Ok((broker, deadline, mut answers, spec)) => {
            if let (
                Some(broker),
                DeliverySemantic::ExactlyOnce {
                    transaction_timeout,
                },
            ) = (broker, spec.delivery_semantic)
            {
                let left = deadline.saturating_duration_since(Instant::now());
                answers.push(
                    longest_transaction(&admin, &places, broker, transaction_timeout, left).await,
                );
            }
            answers
        }
        Err(failure) => failed(&places, &failure),
    }
}

/// The most events that are taken for the cause of a failure.
const MAX_EVENTS: usize = 1_000;

fn failed(places: &Places, failure: &BoxError) -> Vec<SystemAnswer> {
    vec![SystemAnswer::new(
        Verdict::Fault,
        places.finding("address", failure.to_string()),
    )]
}

/// What a cluster says of the partitions of a topic.
enum Partitions {
    /// There are these.
    Known(Vec<i32>),
    /// The topic does not exist, or not yet.
    Missing,
    /// It does not describe the topic.
    Refused(Code),
}

/// Questions with a client, and the answers so far.
struct Inquiry {
    client: Arc<BaseConsumer<Context>>,
    places: Places,
    deadline: Instant,
    answers: Vec<SystemAnswer>,
}

impl Inquiry {
    fn begin(settings: Settings, places: Places, patience: Duration) -> Result<Self, BoxError> {
        // The end of a partition is an event: so an empty one answers, too.
        let settings = settings.with("enable.partition.eof", "true");
        let settings = settings.with("fetch.wait.max.ms", "10");
        let (config, context) = (settings.config(), settings.context());
        Ok(Self {
            client: Arc::new(config.create_with_context(context)?),
            places,
            deadline: Instant::now() + patience,
            answers: Vec::new(),
        })
    }

    fn end(self) -> Vec<SystemAnswer> {
        end(self.client);
        self.answers
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn answer(&mut self, verdict: Verdict, key: &str, text: impl Into<String>) {
        let finding = self.places.finding(key, text.into());
        self.answers.push(SystemAnswer::new(verdict, finding));
    }

    /// The client tells causes as events.
    fn explain(&self, failure: &KafkaError) -> String {
        let mut events = 0;
        while events < MAX_EVENTS && self.client.poll(Duration::ZERO).is_some() {
            events += 1;
        }
        self.client.context().explain(failure).to_string()
    }

    fn ingress(&mut self, spec: &KafkaIngress) {
        let mut first = None;
        for route in &spec.topics {
            let topic = &*route.source;
            let partitions = match self.partitions(topic) {
                Ok(partitions) => partitions,
                Err(failure) => {
                    let text = self.explain(&failure);
                    return self.answer(Verdict::Fault, "address", text);
                }
            };
            match partitions {
                Partitions::Missing => self.answer(
                    Verdict::Warning,
                    "topics",
                    format!("the topic {topic} does not exist: the ingress waits for it"),
                ),
                Partitions::Known(partitions) => {
                    first = first.or_else(|| Some((topic, *partitions.first()?)));
                    self.reads(topic, &partitions);
                }
                Partitions::Refused(code) => {
                    let text = format!("the topic {topic} cannot be described: {code}");
                    self.answer(Verdict::Fault, "topics", text);
                }
            }
        }
        if let Some((topic, partition)) = first {
            self.group(spec, topic, partition);
        }
    }

    fn partitions(&self, topic: &str) -> KafkaResult<Partitions> {
        let metadata = self.client.fetch_metadata(Some(topic), self.left())?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let error = found.and_then(|found| found.error()).map(Code::from);
        let partitions = found.map_or(&[][..], |found| found.partitions());
        Ok(match error {
            None if partitions.is_empty() => Partitions::Missing,
            None => Partitions::Known(partitions.iter().map(|one| one.id()).collect()),
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::LeaderNotAvailable) => {
                Partitions::Missing
            }
            Some(code) => Partitions::Refused(code),
        })
    }

    /// Reads at the end of a partition.
    fn reads(&mut self, topic: &str, partitions: &[i32]) {
        let count = match partitions.len() {
            1 => "1 partition".to_owned(),
            many => format!("{many} partitions"),
        };
        match self.is_read(topic, partitions) {
            Ok(true) => {
                let text = format!("the topic {topic} has {count} and can be read");
                self.answer(Verdict::Fine, "topics", text);
            }
            Ok(false) => {
                let text = format!(
                    "the topic {topic} has {count}; whether it can be read was not answered in time"
                );
                self.answer(Verdict::Unknown, "topics", text);
            }
            Err(failure) => {
                let text = format!("the topic {topic} has {count} and cannot be read: {failure}");
                self.answer(Verdict::Fault, "topics", text);
            }
        }
    }

    fn is_read(&self, topic: &str, partitions: &[i32]) -> KafkaResult<bool> {
        let mut assigned = TopicPartitionList::new();
        if let Some(partition) = partitions.first() {
            assigned.add_partition_offset(topic, *partition, Offset::End)?;
        }
        self.client.assign(&assigned)?;
        loop {
            match self.client.poll(self.left()) {
                None => return Ok(false),
                Some(Ok(record)) if record.topic() == topic => return Ok(true),
                Some(Ok(_)) => {}
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(true),
                // Others are reported, and the client recovers from them.
                Some(Err(failure)) if is_refusal(&failure) => return Err(failure),
                Some(Err(_)) if self.left().is_zero() => return Ok(false),
                Some(Err(_)) => {}
            }
        }
    }

    /// The committed offsets of the group.
    fn group(&mut self, spec: &KafkaIngress, topic: &str, partition: i32) {
        let group = &spec.consumer_group_id;
        let needs_it = matches!(
            spec.startup_position,
            KafkaStart::GroupOffsets | KafkaStart::Offsets(_)
        );
        match self.committed(topic, partition) {
            Ok(()) => {
                let text = format!("the offsets of the group {group} can be read");
                self.answer(Verdict::Fine, "consumerGroupId", text);
            }
            Err(failure) => {
                let text = format!(
                    "the offsets of the group {group} cannot be read: {}",
                    self.explain(&failure)
                );
                let verdict = match (needs_it, is_refusal(&failure)) {
                    (true, true) => Verdict::Fault,
                    (false, true) => Verdict::Warning,
                    _ => Verdict::Unknown,
                };
                self.answer(verdict, "consumerGroupId", text);
            }
        }
    }

    fn committed(&self, topic: &str, partition: i32) -> KafkaResult<()> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset(topic, partition, Offset::Invalid)?;
        let answer = self.client.committed_offsets(asked, self.left())?;
        answer
            .elements()
            .iter()
            .try_for_each(|element| element.error())
    }

    /// Returns the number of a broker that can be asked.
    fn egress(&mut self, spec: &KafkaEgress, group: &str) -> Option<i32> {
        let metadata = match self.client.fetch_metadata(Some(TOPIC), self.left()) {
            Ok(metadata) => metadata,
            Err(failure) => {
                let text = self.explain(&failure);
                self.answer(Verdict::Fault, "address", text);
                return None;
            }
        };
        let brokers = metadata.brokers().len();
        self.answer(
            Verdict::Fine,
            "address",
            format!(
                "the cluster answers, and has {brokers} {}",
                match brokers {
                    1 => "broker",
                    _ => "brokers",
                }
            ),
        );
        let by_use = match spec.delivery_semantic {
            DeliverySemantic::ExactlyOnce { .. } => {
                match self.committed(TOPIC, PARTITION) {
                    Ok(()) => {
                        let text =
                            format!("the position, which the group {group} keeps, can be read");
                        self.answer(Verdict::Fine, "deliverySemantic", text);
                    }
                    Err(failure) => {
                        let text = format!(
                            "the position, which the group {group} keeps, cannot be read: {}",
                            self.explain(&failure)
                        );
                        let verdict = match is_refusal(&failure) {
                            true => Verdict::Fault,
                            false => Verdict::Unknown,
                        };
                        self.answer(verdict, "deliverySemantic", text);
                    }
                }
                format!(
                    "whether transactional.id {group} may be used, and topics be written, shows with the first record"
                )
            }
            _ => "whether topics may be written shows with the first record: functions name them"
                .to_owned(),
        };
        self.answer(Verdict::Unknown, "", by_use);
        metadata.brokers().first().map(|broker| broker.id())
    }
}

/// Whether the cluster refuses what was asked.
fn is_refusal(failure: &KafkaError) -> bool {
    let code = failure.rdkafka_error_code();
    matches!(
        code,
        Some(
            Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::TransactionalIdAuthorizationFailed
                | Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::SSL
        )
    )
}

/// Whether the brokers take transactions of this length.
async fn longest_transaction(
    settings: &Settings,
    places: &Places,
    broker: i32,
    asked: Duration,
    left: Duration,
) -> SystemAnswer {
    const NAME: &str = "transaction.max.timeout.ms";
    let say = |verdict, text: String| {
        SystemAnswer::new(verdict, places.finding("transactionTimeout", text))
    };
    let connection = settings.connection();
    let (config, context) = (connection.config(), connection.context());
    let limit = async {
        let admin: AdminClient<Context> = config.create_with_context(context)?;
        let asked = [ResourceSpecifier::Broker(broker)];
        let options = AdminOptions::new().request_timeout(Some(left));
        let answers = admin.describe_configs(&asked, &options).await?;
        end(admin);
        let answer = answers.into_iter().next().ok_or(KafkaError::Canceled)?;
        let found = answer.map_err(KafkaError::AdminOp)?;
        let value = found.get(NAME).and_then(|entry| entry.value.clone());
        Ok::<_, KafkaError>(value.and_then(|value| value.parse::<u64>().ok()))
    };
    match limit.await {
        Ok(Some(limit)) if u128::from(limit) < asked.as_millis() => say(
            Verdict::Fault,
            format!(
                "the brokers allow transactions of {limit} ms at most ({NAME}), which is less than the transaction timeout"
            ),
        ),
        Ok(Some(limit)) => say(
            Verdict::Fine,
            format!("the brokers allow transactions of {limit} ms ({NAME})"),
        ),
        Ok(None) => say(Verdict::Unknown, format!("the brokers do not tell {NAME}")),
        Err(failure) => say(
            Verdict::Unknown,
            format!("the brokers do not tell {NAME}: {failure}"),
        ),
    }
}
