//! `io.statefun.kinesis.v1/egress`: writes records to the streams that functions name in them, each at least once.
//!
//! A record that no stream stores is set aside with the reason, and does not delay others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::api::{PutRecord, PutRecords, PutResult};
use super::client::Lazy;
use super::failure::{Failure, Meaning};
use super::lanes::{Lanes, Sending};
use super::record::Outgoing;
use super::settings::{Dependencies, Writing};
use crate::module::{KinesisEgress, Location};
use crate::random::Random;
use crate::runtime::{HttpListeners, Listener, Sink, SinkBatch, StartError};
use crate::sdk::{BoxError, TypeName};

/// The largest batch, whatever `maxOutstandingRecords` is: as many as an outbox holds in memory.
const MAX_BATCH: usize = 4_096;
/// Calls in progress.
const CALLS: usize = 8;
/// A stream that does not exist is waited for this long; then records for it are set aside.
const MISSING: Duration = Duration::from_secs(10);
/// Failures of a record in a row from which on they are shown to operators.
const OFTEN: u32 = 3;
/// A call in progress when the runtime stops may take this long.
const LAST_CALL: Duration = Duration::from_secs(5);

/// Writes to streams.
#[derive(Debug)]
pub(crate) struct KinesisSink {
    id: TypeName,
    location: Location,
    spec: KinesisEgress,
    dependencies: Dependencies,
    opened: Option<(Writing, Arc<Lazy>)>,
    /// Streams that do not exist, and since when.
    missing: Mutex<BTreeMap<String, Instant>>,
    stop: OnceLock<watch::Receiver<bool>>,
}

impl KinesisSink {
    pub(crate) fn new(
        id: TypeName,
        location: Location,
        spec: KinesisEgress,
        dependencies: Dependencies,
    ) -> Self {
        Self {
            id,
            location,
            spec,
            dependencies,
            opened: None,
            missing: Mutex::default(),
            stop: OnceLock::new(),
        }
    }
}

#[async_trait]
impl Sink for KinesisSink {
    /// Checks the settings, without a connection.
    async fn open(&mut self, _listeners: &HttpListeners) -> Result<Option<Listener>, StartError> {
        let what = || format!("egress {} ({})", self.id, self.location);
        let writing = Writing::of(&self.spec).map_err(|why| StartError::connector(what(), why))?;
        let settings = writing.settings.clone();
        let client = Lazy::new(settings, self.dependencies.clone());
        self.opened = Some((writing, Arc::new(client)));
        Ok(None)
    }

    async fn deliver(&self, batch: &SinkBatch) -> Result<(), BoxError> {
        let (writing, client) = self.opened.as_ref().ok_or("the sink was not opened")?;
        let records = readable(batch).await;
        let random = Random::seeded(self.dependencies.clock.now().as_millis());
        let delivery = Delivery {
            sink: self,
            client,
            batch,
            records: &records,
            lanes: Lanes::new(&records, writing.limits, random),
            begun: Instant::now(),
            calls: FuturesUnordered::new(),
            last_failure: None,
        };
        delivery.run().await
    }

    fn max_batch(&self) -> usize {
        let most = usize::try_from(self.spec.max_outstanding_records.get());
        most.unwrap_or(MAX_BATCH).min(MAX_BATCH)
    }

    async fn serve(&self, stop: watch::Receiver<bool>) {
        let stop = self.stop.get_or_init(|| stop).clone();
        stops(Some(stop)).await;
    }
}

/// The records of a batch with their numbers; those that no stream stores are set aside.
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

/// The result of each record of a call.
type Results = Result<Vec<PutResult>, Failure>;

/// The delivery of one batch.
struct Delivery<'a> {
    sink: &'a KinesisSink,
    client: &'a Lazy,
    batch: &'a SinkBatch,
    records: &'a [(usize, Outgoing)],
    lanes: Lanes<'a>,
    begun: Instant,
    calls: FuturesUnordered<BoxFuture<'a, (Sending, Results)>>,
    /// The last failure since something was stored.
    last_failure: Option<String>,
}

impl Delivery<'_> {
    /// Sends records until all are stored or set aside.
    ///
    /// # Errors
    /// If the runtime stops and Kinesis does not take the records.
    async fn run(mut self) -> Result<(), BoxError> {
        let mut stopping = std::pin::pin!(stops(self.sink.stop.get().cloned()));
        let mut ends: Option<Instant> = None;
        loop {
            if let (Some(_), Some(failure)) = (ends, &self.last_failure) {
                return Err(failure.clone().into());
            }
            while self.calls.len() < CALLS
                && let Some(sending) = self.lanes.take(self.begun.elapsed())
            {
                let call = put(self.client, self.records, sending);
                self.calls.push(Box::pin(call));
            }
            if self.lanes.is_done() {
                return Ok(());
            }
            let due = self.lanes.next_due().map(|due| self.begun + due);
            tokio::select! {
                Some((sending, results)) = self.calls.next() => self.settle(&sending, results).await,
                () = sleep_until(due.unwrap_or(self.begun)), if due.is_some() => {}
                () = &mut stopping, if ends.is_none() => ends = Some(Instant::now() + LAST_CALL),
                () = sleep_until(ends.unwrap_or(self.begun)), if ends.is_some() => {
                    return Err("Kinesis does not answer, and the runtime stops".into());
                }
            }
        }
    }

    async fn settle(&mut self, sending: &Sending, results: Results) {
        let results = match results {
            Ok(results) => results,
            Err(failure) => return self.failed(sending, &failure).await,
        };
        if let Some(record) = sending
            .records
            .first()
            .and_then(|at| self.lanes.record(*at))
        {
            self.sink.missing().remove(&record.stream);
        }
        let mut results = results.into_iter();
        for at in &sending.records {
            let failure = match results.next() {
                Some(PutResult {
                    error_code: None,
                    sequence_number: Some(_),
                    ..
                }) => {
                    self.lanes.settle(*at);
                    self.last_failure = None;
                    continue;
                }
                Some(PutResult {
                    error_code: Some(code),
                    error_message,
                    ..
                }) => format!("PutRecords: {code}: {}", error_message.unwrap_or_default()),
                // Neither stored nor refused: it may be another service that answers.
                Some(_) | None => "PutRecords: the answer has no result for a record".to_owned(),
            };
            self.again(*at, &failure);
        }
    }

    /// A whole call has failed.
    async fn failed(&mut self, sending: &Sending, failure: &Failure) {
        match failure.meaning() {
            Meaning::Invalid => {
                if self.lanes.refused(sending) {
                    self.set_aside(sending, &failure.to_string()).await;
                }
            }
            Meaning::Missing if self.is_gone(sending) => {
                self.set_aside(sending, &failure.to_string()).await;
            }
            _ => {
                let told = failure.with_causes();
                for at in &sending.records {
                    self.again(*at, &told);
                }
            }
        }
    }

    /// Whether the stream of a call has not existed for some time.
    fn is_gone(&self, sending: &Sending) -> bool {
        let first = sending.records.first();
        let Some(record) = first.and_then(|at| self.lanes.record(*at)) else {
            return false;
        };
        let now = Instant::now();
        let mut missing = self.sink.missing();
        let since = *missing.entry(record.stream.clone()).or_insert(now);
        now - since >= MISSING
    }

    async fn set_aside(&mut self, sending: &Sending, why: &str) {
        for at in &sending.records {
            if let Some((index, _)) = self.records.get(*at) {
                self.batch.set_aside(*index, why).await;
            }
            self.lanes.settle(*at);
        }
    }

    fn again(&mut self, at: usize, failure: &str) {
        let failures = self.lanes.again(at, self.begun.elapsed());
        if failures >= OFTEN {
            self.batch.struggles(failure);
        }
        self.last_failure = Some(failure.to_owned());
    }
}

impl KinesisSink {
    fn missing(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Instant>> {
        // Single entries are put and taken: a panic leaves none half written.
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes one call.
async fn put(client: &Lazy, records: &[(usize, Outgoing)], sending: Sending) -> (Sending, Results) {
    let chosen: Vec<&Outgoing> = sending
        .records
        .iter()
        .filter_map(|at| records.get(*at).map(|(_, record)| record))
        .collect();
    let call = PutRecords {
        stream_name: chosen.first().map_or("", |record| &record.stream),
        records: chosen
            .iter()
            .map(|record| PutRecord {
                data: &record.value,
                partition_key: &record.partition_key,
                explicit_hash_key: record.explicit_hash_key.as_deref(),
            })
            .collect(),
    };
    let called = async {
        let client = client.client().await.map_err(Failure::Unasked)?;
        Ok(client.call(&call).await?.answer.records)
    };
    let results = called.await;
    (sending, results)
}

/// Ready when the runtime stops.
async fn stops(stop: Option<watch::Receiver<bool>>) {
    let Some(mut stop) = stop else {
        return std::future::pending().await;
    };
    // The sender is gone once the runtime has ended.
    let _ = stop.wait_for(|stops| *stops).await;
}
