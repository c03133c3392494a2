//! The delivery of records: which calls are made, and what their results mean for each record.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::aggregated::packed;
use super::api::{PutRecord, PutRecords, PutResult};
use super::client::Lazy;
use super::failure::{Failure, Meaning};
use super::lanes::{Lanes, Sending};
use super::origin::RecordOrigin;
use super::record::Outgoing;
use crate::sdk::BoxError;

/// Calls in progress.
const CALLS: usize = 8;
/// A stream that does not exist is waited for this long; then records for it are set aside.
const MISSING: Duration = Duration::from_secs(10);
/// Failures of a record in a row from which on they are shown to operators, and no longer delay other records.
const OFTEN: u32 = 3;
/// A call in progress when the runtime stops may take this long.
const LAST_CALL: Duration = Duration::from_secs(5);

/// Streams that do not exist, and since when.
#[derive(Debug, Default)]
pub(super) struct Missing(Mutex<BTreeMap<String, Instant>>);

impl Missing {
    /// Whether a stream that does not exist has not existed for some time.
    fn is_gone(&self, stream: &str) -> bool {
        let now = Instant::now();
        let mut streams = self.streams();
        let since = *streams.entry(stream.to_owned()).or_insert(now);
        now - since >= MISSING
    }

    fn exists(&self, stream: &str) {
        self.streams().remove(stream);
    }

    fn streams(&self) -> MutexGuard<'_, BTreeMap<String, Instant>> {
        // Single entries are put and taken: a panic leaves none half written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The result of each record of a call.
type Results = Result<Vec<PutResult>, Failure>;

/// The delivery of some records.
pub(super) struct Delivery<'a> {
    client: &'a Lazy,
    missing: &'a Missing,
    origin: &'a dyn RecordOrigin,
    records: &'a [(usize, Outgoing)],
    lanes: Lanes<'a>,
    begun: Instant,
    calls: FuturesUnordered<BoxFuture<'a, (Sending, Results)>>,
    /// The last failure since something was stored.
    last_failure: Option<String>,
}

impl<'a> Delivery<'a> {
    /// The delivery of `records`, each with its place in `origin`.
    pub(super) fn new(
        client: &'a Lazy,
        missing: &'a Missing,
        origin: &'a dyn RecordOrigin,
        records: &'a [(usize, Outgoing)],
        lanes: Lanes<'a>,
    ) -> Self {
        Self {
            client,
            missing,
            origin,
            records,
            lanes,
            begun: Instant::now(),
            calls: FuturesUnordered::new(),
            last_failure: None,
        }
    }

    /// Sends records until all are stored, set aside or delayed.
    ///
    /// # Errors
    /// If the runtime stops and Kinesis does not take the records.
    pub(super) async fn run(mut self, stop: Option<watch::Receiver<bool>>) -> Result<(), BoxError> {
        let mut stopping = std::pin::pin!(stops(stop));
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
        if let Some(stream) = self.stream(sending) {
            self.missing.exists(stream);
        }
        let mut results = results.into_iter();
        for pack in &sending.packs {
            let failure = match results.next() {
                Some(PutResult {
                    error_code: None,
                    sequence_number: Some(_),
                    ..
                }) => {
                    self.stored(pack);
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
            self.again(pack, &failure, OFTEN);
        }
    }

    fn stored(&mut self, pack: &[usize]) {
        for at in pack {
            if let Some((index, record)) = self.records.get(*at) {
                self.origin.stored(*index, record);
            }
        }
        self.lanes.settle(pack);
        self.last_failure = None;
    }

    /// A whole call has failed.
    async fn failed(&mut self, sending: &Sending, failure: &Failure) {
        let delayed_after = match failure.meaning() {
            Meaning::Invalid => {
                if self.lanes.refused(sending) {
                    self.set_aside(sending, &failure.to_string()).await;
                }
                return;
            }
            Meaning::Missing => {
                let stream = self.stream(sending);
                if stream.is_some_and(|stream| self.missing.is_gone(stream)) {
                    return self.set_aside(sending, &failure.to_string()).await;
                }
                1
            }
            // It holds for all records of the stream.
            _ if failure.is_denied() => 1,
            // There is nothing that it could delay.
            _ if failure.is_of_service() => u32::MAX,
            _ => OFTEN,
        };
        let told = failure.with_causes();
        for pack in &sending.packs {
            self.again(pack, &told, delayed_after);
        }
    }

    fn stream(&self, sending: &Sending) -> Option<&'a str> {
        let first = *sending.packs.first()?.first()?;
        let record = self.lanes.record(first)?;
        Some(&record.stream)
    }

    async fn set_aside(&mut self, sending: &Sending, why: &str) {
        for pack in &sending.packs {
            for at in pack {
                if let Some((index, record)) = self.records.get(*at) {
                    self.origin.set_aside(*index, record, why).await;
                }
            }
            self.lanes.settle(pack);
        }
    }

    /// The records of a pack are sent again later. From that many failures in a row on, they no longer delay others.
    fn again(&mut self, pack: &[usize], failure: &str, delayed_after: u32) {
        let Some(first) = pack.first() else {
            return;
        };
        let failures = self.lanes.failed(*first);
        if failures >= OFTEN.min(delayed_after) {
            self.origin.struggles(failure);
        }
        if failures >= delayed_after && self.origin.may_delay() {
            for at in self.lanes.give_up(*first) {
                if let Some((index, record)) = self.records.get(at) {
                    self.origin.delay(*index, record);
                }
            }
            return;
        }
        self.lanes.rest(*first, self.begun.elapsed());
        self.last_failure = Some(failure.to_owned());
    }
}

/// Makes one call.
async fn put(client: &Lazy, records: &[(usize, Outgoing)], sending: Sending) -> (Sending, Results) {
    let record = |at: &usize| records.get(*at).map(|(_, record)| record);
    let mut stream = "";
    let mut chosen = Vec::with_capacity(sending.packs.len());
    for pack in &sending.packs {
        let pack: Vec<&Outgoing> = pack.iter().filter_map(record).collect();
        let Some(first) = pack.first() else {
            continue;
        };
        stream = &first.stream;
        chosen.push(PutRecord {
            data: match &pack[..] {
                [alone] => alone.value.clone(),
                several => packed(several),
            },
            partition_key: &first.partition_key,
            explicit_hash_key: first.explicit_hash_key.as_deref(),
        });
    }
    let call = PutRecords {
        stream_name: stream,
        records: chosen,
    };
    let called = async {
        let client = client.client().await.map_err(Failure::Unasked)?;
        Ok(client.call(&call).await?.answer.records)
    };
    let results = called.await;
    (sending, results)
}

/// Ready when the runtime stops.
pub(super) async fn stops(stop: Option<watch::Receiver<bool>>) {
    let Some(mut stop) = stop else {
        return std::future::pending().await;
    };
    // The sender is gone once the runtime has ended.
    let _ = stop.wait_for(|stops| *stops).await;
}
