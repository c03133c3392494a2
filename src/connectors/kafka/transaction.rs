//! Exactly once: each batch is a transaction, which also stores the position of the outbox in Kafka.
//!
//! The position is the metadata of an offset that is committed for a group of the egress's own, so the cluster stores both or neither. The
//! metadata also names the process that wrote it. The cluster fences the process that used the `transactional.id` before, and also a process
//! whose transaction took too long. So a fenced process reads who wrote the position: if another process did, it stops sending; otherwise it continues.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::Mutex;
use tracing::info;
use uuid::Uuid;

use super::client::{ANSWER, Context, Settings, blocking, end};
use super::producer::{Producer, is_too_large, refusal};
use super::record::Outgoing;
use crate::runtime::{SinkBatch, SinkPosition};
use crate::sdk::BoxError;

/// The topic whose offset carries the position: offsets can be committed only for topics that exist, and this one always does.
pub(super) const TOPIC: &str = "__consumer_offsets";
pub(super) const PARTITION: i32 = 0;
/// The wait for the coordinator of transactions until a failure is shown. The next attempt continues to wait with the same client, because the
/// coordinator may have to finish the transactions of an earlier process.
const BEGIN: Duration = Duration::from_secs(5);
/// The longest wait until a transaction has ended.
const COMMIT: Duration = Duration::from_secs(60);
/// The prefix of the metadata.
const FORMAT: &str = "statefun/2";
/// That of earlier versions, whose positions are read, too.
const FORMATS: &[&str] = &[FORMAT, "statefun/1"];
/// The longest wait until the client has released acknowledged records.
const CLEARED: Duration = Duration::from_micros(100);

/// The transactions of one egress.
#[derive(Debug)]
pub(super) struct Transactions {
    settings: Settings,
    /// The `transactional.id`, which is also the name of the group.
    id: String,
    /// Names this process.
    process: String,
    state: Mutex<Ownership>,
}

#[derive(Debug, Default)]
struct Ownership {
    session: Option<Arc<Session>>,
    /// A session whose coordinator has not answered yet.
    starting: Option<Session>,
    /// The cluster has fenced this process, and the reason is not known yet: the process that had the egress before, by the position.
    fenced: Option<String>,
    /// Another process has taken over.
    is_replaced: bool,
}

/// A producer with its `transactional.id`, until something fails.
#[derive(Debug)]
struct Session {
    producer: Producer,
    group: Group,
}

/// The committed offset of the egress's group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Committed {
    /// The process that wrote it; empty if none has.
    process: String,
    /// The number of records delivered so far.
    count: i64,
    position: SinkPosition,
}

impl Transactions {
    pub(super) fn new(settings: Settings) -> Result<Self, BoxError> {
        let id = settings.get("transactional.id");
        let id = id.ok_or("an egress that delivers exactly once has a transactional.id")?;
        Ok(Self {
            id: id.to_owned(),
            settings,
            process: Uuid::new_v4().simple().to_string(),
            state: Mutex::default(),
        })
    }

    /// Starts a session: ends transactions that an earlier process or attempt left open, and reads the stored position.
    pub(super) async fn position(&self) -> Result<SinkPosition, BoxError> {
        let mut state = self.state.lock().await;
        Ok(self.begin(&mut state).await?.position)
    }

    async fn begin(&self, state: &mut Ownership) -> Result<Committed, BoxError> {
        state.session = None;
        if state.is_replaced {
            return Err(self.replaced());
        }
        let (settings, id) = (self.settings.clone(), self.id.clone());
        let (process, fenced) = (self.process.clone(), state.fenced.clone());
        let starting = state.starting.take();
        let begun =
            blocking(move || Session::begin(starting, &settings, &id, &process, fenced)).await;
        match begun? {
            Begun::Starting(session, failure) => {
                state.starting = Some(session);
                Err(failure)
            }
            Begun::Fenced(had_it, failure) => {
                state.fenced = Some(had_it);
                Err(failure)
            }
            Begun::Replaced => {
                state.is_replaced = true;
                Err(self.replaced())
            }
            Begun::Session(session, committed) => {
                state.fenced = None;
                state.session = Some(Arc::new(session));
                Ok(committed)
            }
        }
    }

    /// Delivers records and the position of their batch. Refused records are set aside, and the others are delivered without them.
    pub(super) async fn deliver(
        &self,
        batch: &SinkBatch,
        mut records: Vec<(usize, Outgoing)>,
    ) -> Result<(), BoxError> {
        let mut state = self.state.lock().await;
        let mut alone = BTreeSet::new();
        loop {
            let session = state.session.clone().ok_or("the position was not read")?;
            match self
                .transaction(&session, batch, &mut records, &mut alone)
                .await
            {
                Ok(true) => return Ok(()),
                // After a failed record a client no longer knows what it has sent: another one continues.
                Ok(false) => _ = self.begin(&mut state).await?,
                Err(failure) => {
                    state.session = None;
                    if session.is_fenced() {
                        state.fenced = Some(self.process.clone());
                    }
                    return Err(failure);
                }
            }
        }
    }

    /// Runs one transaction. `false` means that it has failed and can be repeated, because a record was set aside or will be sent alone.
    async fn transaction(
        &self,
        session: &Arc<Session>,
        batch: &SinkBatch,
        records: &mut Vec<(usize, Outgoing)>,
        alone: &mut BTreeSet<String>,
    ) -> Result<bool, BoxError> {
        let begun = session.producer.begin_transaction();
        begun.map_err(|failure| session.explain(&failure))?;
        let failures = session.producer.send(records, true, alone).await;
        let Some((_, first)) = failures.first() else {
            let committed = Committed {
                process: self.process.clone(),
                count: i64::try_from(records.len())?,
                position: batch.position().clone(),
            };
            let session = Arc::clone(session);
            blocking(move || session.commit(committed)).await?;
            return Ok(true);
        };
        let mut is_better = false;
        for (index, failure) in &failures {
            let Some(at) = records.iter().position(|(number, _)| number == index) else {
                continue;
            };
            let Some((_, record)) = records.get(at) else {
                continue;
            };
            if is_too_large(failure) && alone.insert(record.topic.clone()) {
                is_better = true;
            } else if let Some(why) = refusal(failure, record) {
                batch.set_aside(*index, &why).await;
                records.remove(at);
                is_better = true;
            }
        }
        match is_better {
            true => Ok(false),
            false => Err(session.explain(first)),
        }
    }

    pub(super) const fn settings(&self) -> &Settings {
        &self.settings
    }

    fn replaced(&self) -> BoxError {
        format!(
            "another process delivers under transactional.id {}: this one was fenced and sends no more until it is started again; give different applications different ids by the property transactional.id",
            self.id
        )
        .into()
    }
}

/// The result of starting a session.
enum Begun {
    Session(Session, Committed),
    /// The coordinator has not answered yet.
    Starting(Session, BoxError),
    /// The cluster has fenced this process while it started, when the process of this name had the egress.
    Fenced(String, BoxError),
    /// Another process has taken over.
    Replaced,
}

impl Session {
    /// Begins with `starting`, or with a new session. After `fenced` another process has taken over only if the position is no longer that of the process
    /// that had the egress then: of two processes that start at the same time each may fence the other before one of them has taken it.
    fn begin(
        starting: Option<Self>,
        settings: &Settings,
        id: &str,
        process: &str,
        fenced: Option<String>,
    ) -> Result<Begun, BoxError> {
        let session = match starting {
            Some(session) => session,
            None => {
                let group = Group::new(settings, id)?;
                if let Some(had_it) = fenced {
                    let has_it = group.committed()?.process;
                    if has_it != process && has_it != had_it {
                        return Ok(Begun::Replaced);
                    }
                }
                let producer = Producer::new(settings)?;
                Self { producer, group }
            }
        };
        if let Err(failure) = session.producer.init_transactions(BEGIN) {
            let why = session.explain(&failure);
            return match failure.rdkafka_error_code() {
                Some(RDKafkaErrorCode::OperationTimedOut) => Ok(Begun::Starting(session, why)),
                _ => Err(why),
            };
        }
        let committed = session.group.committed()?;
        // From here on other processes see who has the egress.
        let producer = &session.producer;
        producer
            .begin_transaction()
            .map_err(|failure| session.explain(&failure))?;
        let taken = session.commit(Committed {
            process: process.to_owned(),
            count: 0,
            position: committed.position.clone(),
        });
        if let Err(failure) = taken {
            return match session.is_fenced() {
                true => Ok(Begun::Fenced(committed.process, failure)),
                false => Err(failure),
            };
        }
        info!(transactional_id = %id, delivered = committed.count, "the egress has its transactions");
        Ok(Begun::Session(session, committed))
    }

    /// Ends the transaction, with `committed` in it.
    fn commit(&self, mut committed: Committed) -> Result<(), BoxError> {
        committed.count += self.group.count();
        let count = committed.count;
        let offsets = committed.offsets()?;
        let group = self.group.consumer().group_metadata();
        let group = group.ok_or("the client has no metadata of its group")?;
        let explain = |failure: KafkaError| self.explain(&failure);
        let producer = &self.producer;
        producer
            .send_offsets_to_transaction(&offsets, &group, ANSWER)
            .map_err(|failure| match failure.rdkafka_error_code() {
                Some(RDKafkaErrorCode::OffsetMetadataTooLarge) => format!(
                    "the position of the outbox has {} bytes, more than the brokers store: raise their setting offset.metadata.max.bytes",
                    committed.metadata().len()
                )
                .into(),
                _ => explain(failure),
            })?;
        while producer.in_flight_count() > 0 && producer.fatal().is_none() {
            std::thread::sleep(CLEARED);
        }
        producer.commit_transaction(COMMIT).map_err(explain)?;
        self.group.set_count(count);
        Ok(())
    }

    fn explain(&self, failure: &KafkaError) -> BoxError {
        match self.producer.fatal() {
            Some((_, reason)) => format!("{failure}: {reason}").into(),
            None => self.producer.explain(failure),
        }
    }

    fn is_fenced(&self) -> bool {
        use RDKafkaErrorCode as Code;
        let fatal = self.producer.fatal();
        fatal.is_some_and(|(code, _)| {
            matches!(
                code,
                Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch
            )
        })
    }
}

/// The group whose offset carries the position. It has no members.
struct Group {
    consumer: Option<BaseConsumer<Context>>,
    /// The number of records delivered so far.
    count: std::sync::atomic::AtomicI64,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Group")
    }
}

impl Group {
    fn new(settings: &Settings, id: &str) -> Result<Self, BoxError> {
        let settings = settings.connection().with("group.id", id);
        // Waits for the offsets of an unfinished transaction.
        let settings = settings.with("isolation.level", "read_committed");
        let (config, context) = (settings.config(), settings.context());
        Ok(Self {
            consumer: Some(config.create_with_context(context)?),
            count: 0.into(),
        })
    }

    fn consumer(&self) -> &BaseConsumer<Context> {
        self.consumer
            .as_ref()
            .expect("it is there until it is dropped")
    }

    fn count(&self) -> i64 {
        self.count.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn set_count(&self, count: i64) {
        self.count
            .store(count, std::sync::atomic::Ordering::Relaxed);
    }

    fn committed(&self) -> Result<Committed, BoxError> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset(TOPIC, PARTITION, Offset::Invalid)?;
        let consumer = self.consumer();
        let answer = consumer.committed_offsets(asked, ANSWER);
        let answer = answer.map_err(|failure| consumer.context().explain(&failure))?;
        let committed = Committed::read(&answer)?;
        self.set_count(committed.count);
        Ok(committed)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        end(self.consumer.take());
    }
}

impl Committed {
    fn read(answer: &TopicPartitionList) -> Result<Self, BoxError> {
        let Some(element) = answer.find_partition(TOPIC, PARTITION) else {
            return Ok(Self::default());
        };
        element.error()?;
        let Offset::Offset(count) = element.offset() else {
            return Ok(Self::default());
        };
        let (process, position) = Self::of_metadata(element.metadata())?;
        Ok(Self {
            process,
            count,
            position,
        })
    }

    fn of_metadata(metadata: &str) -> Result<(String, SinkPosition), BoxError> {
        let mut words = metadata.split(' ');
        let format = words.next().filter(|format| FORMATS.contains(format));
        let (Some(_), Some(process), Some(position), None) =
            (format, words.next(), words.next(), words.next())
        else {
            let text = "the group of the egress has an offset that is not ours: give the egress another id by the property transactional.id";
            return Err(text.into());
        };
        let position = SinkPosition::from_bytes(&STANDARD.decode(position)?)?;
        Ok((process.to_owned(), position))
    }

    fn metadata(&self) -> String {
        let position = STANDARD.encode(self.position.to_bytes());
        format!("{FORMAT} {} {position}", self.process)
    }

    fn offsets(&self) -> Result<TopicPartitionList, BoxError> {
        let mut offsets = TopicPartitionList::new();
        let mut element = offsets.add_partition(TOPIC, PARTITION);
        element.set_offset(Offset::Offset(self.count))?;
        element.set_metadata(self.metadata());
        Ok(offsets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_is_read_back() {
        let committed = Committed {
            process: "a1".to_owned(),
            count: 7,
            position: SinkPosition::default(),
        };
        let read = Committed::read(&committed.offsets().unwrap()).unwrap();
        assert_eq!(read, committed);
        assert_eq!(
            Committed::read(&TopicPartitionList::new()).unwrap(),
            Committed::default()
        );
    }

    #[test]
    fn an_offset_that_somebody_else_committed_is_refused() {
        for metadata in [
            "",
            "statefun/1 a",
            "statefun/3 a ",
            "statefun/1 a b c",
            "statefun/2 a !",
        ] {
            assert!(Committed::of_metadata(metadata).is_err(), "{metadata}");
        }
    }
}
