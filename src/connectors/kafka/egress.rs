//! `io.statefun.kafka.v1/egress`: writes records to the topics that functions name in them.
//!
//! A record that its topic refuses is set aside with the reason, and does not delay others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::error::KafkaError;
use tokio::time::{Instant, sleep};

use super::client::Settings;
use super::producer::{Producer, is_too_large, refusal, settings};
use super::record::Outgoing;
use super::transaction::Transactions;
use crate::module::{DeliverySemantic, KafkaEgress};
use crate::runtime::{HttpListeners, Listener, Sink, SinkBatch, SinkPosition, StartError};
use crate::sdk::{BoxError, TypeName};

/// As many as an outbox holds in memory: a transaction costs the same for one record as for all of them.
const MAX_BATCH: usize = 16_384;
/// A batch that takes longer is shown to operators.
const SLOW: Duration = Duration::from_secs(5);

/// Writes to topics.
#[derive(Debug)]
pub(crate) struct KafkaSink {
    id: TypeName,
    spec: KafkaEgress,
    /// Set when the egress is open.
    way: Option<Way>,
}

#[derive(Debug)]
enum Way {
    /// Acknowledgements are not waited for.
    Unacknowledged(Client),
    /// A batch is delivered when all its records are acknowledged.
    Acknowledged(Client),
    /// A batch and its position are one transaction.
    Transactional(Transactions),
}

impl KafkaSink {
    pub(crate) const fn new(id: TypeName, spec: KafkaEgress) -> Self {
        let way = None;
        Self { id, spec, way }
    }
}

#[async_trait]
impl Sink for KafkaSink {
    /// Checks the settings, without connecting to the brokers.
    async fn open(&mut self, _listeners: &HttpListeners) -> Result<Option<Listener>, StartError> {
        let what = || format!("egress {}", self.id);
        let settings = settings(&self.id, &self.spec);
        let settings = settings.map_err(|why| StartError::connector(what(), why))?;
        self.way = Some(match self.spec.delivery_semantic {
            DeliverySemantic::None => Way::Unacknowledged(Client::new(settings)),
            DeliverySemantic::AtLeastOnce => Way::Acknowledged(Client::new(settings)),
            DeliverySemantic::ExactlyOnce { .. } => {
                let transactions = Transactions::new(settings);
                Way::Transactional(transactions.map_err(|why| StartError::connector(what(), why))?)
            }
        });
        Ok(None)
    }

    async fn position(&self) -> Result<Option<SinkPosition>, BoxError> {
        match &self.way {
            Some(Way::Transactional(transactions)) => Ok(Some(transactions.position().await?)),
            _ => Ok(None),
        }
    }

    async fn deliver(&self, batch: &SinkBatch) -> Result<(), BoxError> {
        let way = self.way.as_ref().ok_or("the sink was not opened")?;
        let delivery = way.deliver(batch);
        tokio::pin!(delivery);
        let begun = Instant::now();
        loop {
            tokio::select! {
                done = &mut delivery => return done,
                () = sleep(SLOW) => {}
            }
            let seconds = begun.elapsed().as_secs();
            let why = match way.settings().last_failure() {
                Some(last) => format!("no acknowledgement for {seconds} s: {last}"),
                None => format!("no acknowledgement for {seconds} s"),
            };
            batch.struggles(&why);
        }
    }

    fn max_batch(&self) -> usize {
        MAX_BATCH
    }
}

impl Way {
    async fn deliver(&self, batch: &SinkBatch) -> Result<(), BoxError> {
        let records = readable(batch).await;
        match self {
            Self::Unacknowledged(client) => {
                client.producer()?.throw(&records).await;
                Ok(())
            }
            Self::Acknowledged(client) => client.deliver(batch, records).await,
            Self::Transactional(transactions) => transactions.deliver(batch, records).await,
        }
    }

    const fn settings(&self) -> &Settings {
        match self {
            Self::Unacknowledged(client) | Self::Acknowledged(client) => &client.settings,
            Self::Transactional(transactions) => transactions.settings(),
        }
    }
}

/// The records of a batch with their numbers; those that are not Kafka records are set aside.
async fn readable(batch: &SinkBatch) -> Vec<(usize, Outgoing)> {
    let mut records = Vec::with_capacity(batch.records().len());
    for (index, record) in batch.records().iter().enumerate() {
        match Outgoing::read(record) {
            Ok(outgoing) => records.push((index, outgoing)),
            Err(why) => batch.set_aside(index, &why).await,
        }
    }
    records
}

/// A client without transactions, which is replaced after a fatal error.
#[derive(Debug)]
struct Client {
    settings: Settings,
    producer: Mutex<Option<Arc<Producer>>>,
}

impl Client {
    const fn new(settings: Settings) -> Self {
        let producer = Mutex::new(None);
        Self { settings, producer }
    }

    fn producer(&self) -> Result<Arc<Producer>, BoxError> {
        let mut kept = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        let usable = kept.take().filter(|producer| producer.fatal().is_none());
        let producer = match usable {
            Some(producer) => producer,
            None => Arc::new(Producer::new(&self.settings)?),
        };
        *kept = Some(Arc::clone(&producer));
        Ok(producer)
    }

    async fn deliver(
        &self,
        batch: &SinkBatch,
        mut records: Vec<(usize, Outgoing)>,
    ) -> Result<(), BoxError> {
        let producer = self.producer()?;
        let mut alone = BTreeSet::new();
        loop {
            let failures = producer.send(&records, false, &alone).await;
            let mut failures: BTreeMap<usize, KafkaError> = failures.into_iter().collect();
            records.retain(|(index, _)| failures.contains_key(index));
            if records.is_empty() {
                return Ok(());
            }
            let mut again = BTreeSet::new();
            for (index, record) in &records {
                let Some(failure) = failures.remove(index) else {
                    continue;
                };
                if is_too_large(&failure) && !alone.contains(&record.topic) {
                    again.insert(record.topic.clone());
                    continue;
                }
                match refusal(&failure, record) {
                    Some(why) => batch.set_aside(*index, &why).await,
                    None => return Err(producer.explain(&failure)),
                }
            }
            records.retain(|(_, record)| {
                again.contains(&record.topic) && !alone.contains(&record.topic)
            });
            alone.extend(again);
        }
    }
}
