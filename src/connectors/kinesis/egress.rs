//! `io.statefun.kinesis.v1/egress`: writes records to the streams that functions name in them, each at least once.
//!
//! A record that no stream stores is set aside with the reason, and does not delay others. Records of a stream or shard that does not take them are
//! delayed beyond their batch, for the same reason.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;

use super::client::Lazy;
use super::delayed::{Delayed, Taken};
use super::delivery::{Delivery, Missing, stops};
use super::lanes::Lanes;
use super::origin::{OfBatch, OfDelayed, RecordOrigin};
use super::record::Outgoing;
use super::settings::{Dependencies, Writing};
use crate::module::{KinesisEgress, Location};
use crate::random::Random;
use crate::runtime::{HttpListeners, Listener, Sink, SinkBatch, StartError};
use crate::sdk::{BoxError, TypeName};

/// The largest batch, whatever `maxOutstandingRecords` is: as many as an outbox holds in memory.
const MAX_BATCH: usize = 4_096;

/// Writes to streams.
#[derive(Debug)]
pub(crate) struct KinesisSink {
    id: TypeName,
    location: Location,
    spec: KinesisEgress,
    dependencies: Dependencies,
    opened: Option<(Writing, Arc<Lazy>)>,
    missing: Missing,
    delayed: Delayed,
    stop: OnceLock<watch::Receiver<bool>>,
}

impl KinesisSink {
    pub(crate) fn new(
        id: TypeName,
        location: Location,
        spec: KinesisEgress,
        dependencies: Dependencies,
    ) -> Self {
        let delayed = Delayed::new(max_batch(&spec));
        Self {
            id,
            location,
            spec,
            dependencies,
            opened: None,
            missing: Missing::default(),
            delayed,
            stop: OnceLock::new(),
        }
    }

    /// Sends records, each with its number in `origin`.
    async fn send(
        &self,
        origin: &dyn RecordOrigin,
        records: &[(usize, Outgoing)],
    ) -> Result<(), BoxError> {
        let (writing, client) = self.opened.as_ref().ok_or("the sink was not opened")?;
        let random = Random::seeded(self.dependencies.clock.now().as_millis());
        let lanes = Lanes::new(records, writing.limits, random);
        let delivery = Delivery::new(client, &self.missing, origin, records, lanes);
        delivery.run(self.stop.get().cloned()).await
    }

    /// Delays the records that have to queue behind delayed ones. Returns those that can be sent now, and those that have to wait for room.
    fn sorted(&self, batch: &OfBatch<'_>, records: Vec<(usize, Outgoing)>) -> Sorted {
        let mut sorted = Sorted::default();
        let mut waiting = HashSet::new();
        for (index, record) in records {
            let is_held = self.delayed.holds(&record);
            let is_behind = !waiting.is_empty() && waiting.contains(&record.lane());
            if is_behind || (is_held && self.delayed.is_full()) {
                waiting.insert(record.lane());
                sorted.wait.push((index, record));
            } else if is_held {
                batch.delay(index, &record);
            } else {
                sorted.go.push((index, record));
            }
        }
        sorted
    }

    /// Delivers the delayed records of a stream, until there are none.
    async fn deliver_delayed(&self, stream: String) {
        while let Some(Taken { records, kept }) = self.delayed.take(&stream) {
            let origin = OfDelayed::new(&self.delayed, kept);
            // It fails when the runtime stops. The next start delivers the rest.
            if self.send(&origin, &records).await.is_err() {
                return;
            }
        }
    }
}

/// The records of a batch.
#[derive(Default)]
struct Sorted {
    go: Vec<(usize, Outgoing)>,
    wait: Vec<(usize, Outgoing)>,
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
        let delayed = &self.delayed;
        let origin = OfBatch { batch, delayed };
        let mut records = readable(batch).await;
        loop {
            let Sorted { go, wait } = self.sorted(&origin, records);
            self.send(&origin, &go).await?;
            let Some((_, first)) = wait.first() else {
                return Ok(());
            };
            tokio::select! {
                () = delayed.room_for(first) => {}
                () = stops(self.stop.get().cloned()) => {
                    return Err("the runtime stops, and streams do not take records".into());
                }
            }
            records = wait;
        }
    }

    fn max_batch(&self) -> usize {
        max_batch(&self.spec)
    }

    async fn serve(&self, stop: watch::Receiver<bool>) {
        let stop = self.stop.get_or_init(|| stop).clone();
        let mut stopping = std::pin::pin!(stops(Some(stop)));
        let mut deliveries = FuturesUnordered::new();
        loop {
            while let Some(stream) = self.delayed.begin() {
                deliveries.push(self.deliver_delayed(stream));
            }
            tokio::select! {
                () = &mut stopping => break,
                () = self.delayed.begun() => {}
                Some(()) = deliveries.next() => {}
            }
        }
        // Calls in progress end by themselves.
        while deliveries.next().await.is_some() {}
    }
}

fn max_batch(spec: &KinesisEgress) -> usize {
    let most = usize::try_from(spec.max_outstanding_records.get());
    most.unwrap_or(MAX_BATCH).min(MAX_BATCH)
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
