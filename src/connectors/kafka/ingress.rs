//! `io.statefun.kafka.v1/ingress`: records of topics become messages.
//!
//! Partitions are assigned manually. The offset after a batch is stored together with the batch. A partition without a stored offset
//! begins at the document's startup position if the ingress has never run, otherwise at its oldest record, as with StateFun.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tracing::{error, info, warn};

use super::client::blocking;
use super::commits::Commits;
use super::consumer::{Consumer, Reading};
use super::gather::{Gathered, Partition, Then, Topic};
use super::split::{Split, Stored, position};
use super::start::{again, begin, list};
use super::topics::{Reach, partitions, reaches};
use crate::module::{KafkaIngress, KafkaStart};
use crate::runtime::{Batch, HttpListeners, Inlet, Listener, Source, StartError};
use crate::sdk::BoxError;

/// The interval of checks for a missing topic.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Reads topics.
#[derive(Debug)]
pub(crate) struct KafkaSource {
    spec: KafkaIngress,
    reading: Option<Reading>,
}

impl KafkaSource {
    pub(crate) const fn new(spec: KafkaIngress) -> Self {
        let reading = None;
        Self { spec, reading }
    }
}

#[async_trait]
impl Source for KafkaSource {
    /// Checks the settings, without connecting to the brokers.
    async fn open(&mut self, _listeners: &HttpListeners) -> Result<Option<Listener>, StartError> {
        let reading = Reading::of(&self.spec).map_err(|why| {
            let what = format!("ingress {} ({})", self.spec.id, self.spec.location);
            StartError::connector(what, why)
        })?;
        self.reading = Some(reading);
        Ok(None)
    }

    async fn run(&mut self, inlet: &Inlet) -> Result<(), BoxError> {
        let reading = self.reading.clone().ok_or("the source was not opened")?;
        let consumer = reading.consumer()?;
        let commits = Commits::new(Arc::clone(&consumer));
        let mut reader = Reader {
            spec: &self.spec,
            reading,
            consumer,
            inlet,
            commits: &commits,
            topics: self.spec.topics.iter().map(Topic::of).collect(),
            missing: Vec::new(),
        };
        tokio::select! {
            ended = reader.run() => ended,
            never = commits.run() => match never {},
        }
    }
}

/// One run of the source.
struct Reader<'a> {
    spec: &'a KafkaIngress,
    reading: Reading,
    consumer: Arc<Consumer>,
    inlet: &'a Inlet,
    commits: &'a Commits,
    topics: HashMap<String, Topic>,
    /// Topics that were missing at the last check.
    missing: Vec<String>,
}

impl Reader<'_> {
    async fn run(&mut self) -> Result<(), BoxError> {
        self.begin().await?;
        let mut looking = std::pin::pin!(self.look_later());
        loop {
            tokio::select! {
                gathered = self.gather() => self.bring(gathered).await?,
                found = &mut looking => {
                    self.seen(found).await?;
                    looking.set(self.look_later());
                }
            }
        }
    }

    /// Like [`look`](Self::look), after a pause.
    fn look_later(&self) -> impl Future<Output = Result<Found, BoxError>> + use<> {
        let wait = match self.missing.is_empty() {
            true => self.reading.discovery,
            false => self.reading.discovery.min(LOOK_AGAIN),
        };
        let look = self.look();
        async move {
            tokio::time::sleep(wait).await;
            look.await
        }
    }

    /// Resumes all partitions at their stored offsets, and starts those that were never read.
    async fn begin(&mut self) -> Result<(), BoxError> {
        let stored = Stored::read(self.inlet.positions()?)?;
        let found = self.look().await?;
        let is_fresh = stored.is_fresh();
        let is_ours = |split: &Split| self.topics.contains_key(&split.topic);
        let known: BTreeMap<Split, i64> = stored
            .next
            .into_iter()
            .filter(|(split, _)| is_ours(split))
            .collect();
        self.assign(known.clone())?;
        let start = match is_fresh {
            true => self.spec.startup_position.clone(),
            false => KafkaStart::Earliest,
        };
        let new = found
            .reaches
            .keys()
            .filter(|split| !known.contains_key(split));
        let new: Vec<Split> = new.cloned().collect();
        // Offsets read by an earlier run may not be committed yet.
        let receipt = self.inlet.bring(Batch::new()).await?;
        self.commits.put(receipt, known);
        self.take_up(new, start, &found.missing).await?;
        self.report(found);
        Ok(())
    }

    /// The topics of the cluster now. Borrows nothing, so that it can run while records are read.
    fn look(&self) -> impl Future<Output = Result<Found, BoxError>> + use<> {
        let consumer = Arc::clone(&self.consumer);
        let topics: Vec<String> = self.topics.keys().cloned().collect();
        blocking(move || {
            let mut found = Found::default();
            let mut splits = Vec::new();
            for (topic, ids) in partitions(&consumer, &topics)? {
                if ids.is_empty() {
                    found.missing.push(topic);
                    continue;
                }
                splits.extend(ids.into_iter().map(|id| Split::new(&*topic, id)));
            }
            found.reaches = reaches(&consumer, splits.iter())?;
            Ok(found)
        })
    }

    /// Starts new partitions, and reports the lag of the ingress.
    async fn seen(&mut self, found: Result<Found, BoxError>) -> Result<(), BoxError> {
        let found = match found {
            Ok(found) => found,
            Err(failure) => {
                self.inlet.struggles(&failure.to_string());
                return Ok(());
            }
        };
        let new = found
            .reaches
            .keys()
            .filter(|split| self.partition(split).is_none());
        let new: Vec<Split> = new.cloned().collect();
        if !new.is_empty() {
            self.take_up(new, KafkaStart::Earliest, &found.missing)
                .await?;
        }
        self.report(found);
        Ok(())
    }

    /// Starts partitions that have no position. Their first offset is staged before their first record, so that it is the same after a
    /// crash. Missing topics are staged, too, so that they are read from their first record when they appear.
    async fn take_up(
        &mut self,
        new: Vec<Split>,
        start: KafkaStart,
        missing: &[String],
    ) -> Result<(), BoxError> {
        let mut batch = Batch::new();
        let mut splits = BTreeMap::new();
        if !new.is_empty() {
            let (consumer, reset) = (Arc::clone(&self.consumer), self.spec.auto_offset_reset);
            splits = blocking(move || begin(&consumer, &new, &start, reset)).await?;
        }
        for (split, next) in &splits {
            info!(ingress = %self.spec.id, %split, next, "begins to read a partition");
            batch.set_position(split.to_string(), position(*next));
            batch = batch.forget(&*split.topic);
        }
        for topic in missing {
            batch.set_position(&**topic, bytes::Bytes::new());
        }
        let receipt = self.inlet.bring(batch).await?;
        self.commits.put(receipt, splits.clone());
        self.assign(splits)
    }

    /// Reads partitions from these offsets.
    fn assign(&mut self, splits: BTreeMap<Split, i64>) -> Result<(), BoxError> {
        let mut assigned = TopicPartitionList::new();
        for (split, next) in splits {
            assigned.add_partition_offset(&split.topic, split.partition, Offset::Offset(next))?;
            if let Some(topic) = self.topics.get_mut(&split.topic) {
                let partition = split.partition;
                topic
                    .partitions
                    .insert(partition, Partition { split, next });
            }
        }
        if assigned.count() > 0 {
            self.consumer.incremental_assign(&assigned)?;
        }
        Ok(())
    }

    /// Waits for a record, and takes the records already fetched after it. If it is dropped while it waits, nothing is lost.
    async fn gather(&mut self) -> Gathered {
        let consumer = Arc::clone(&self.consumer);
        let mut gathered = Gathered::default();
        let mut received = consumer.recv().await;
        loop {
            let outcome = match received {
                Ok(record) => gathered.take(&record, &mut self.topics),
                Err(failure) => Err(Then::of(failure, &consumer)),
            };
            if let Err(then) = outcome {
                gathered.then = Some(then);
                return gathered;
            }
            if gathered.is_enough(self.reading.max_records) {
                return gathered;
            }
            match consumer.recv().now_or_never() {
                Some(next) => received = next,
                None => return gathered,
            }
        }
    }

    async fn bring(&mut self, gathered: Gathered) -> Result<(), BoxError> {
        let Gathered {
            mut batch,
            next,
            then,
            ..
        } = gathered;
        if !next.is_empty() {
            for (split, next) in &next {
                batch.set_position(split.to_string(), position(*next));
            }
            let receipt = self.inlet.bring(batch).await?;
            self.commits.put(receipt, next);
        }
        match then {
            None => Ok(()),
            Some(Then::PositionGone) => self.go_on_elsewhere().await,
            Some(Then::Passing(failure)) => {
                let failure = self.consumer.explain(&failure);
                self.inlet.struggles(&failure.to_string());
                Ok(())
            }
            Some(Then::Failed(failure)) => Err(failure),
        }
    }

    /// Continues at `autoOffsetResetPosition` in partitions that no longer have our offset.
    async fn go_on_elsewhere(&mut self) -> Result<(), BoxError> {
        let found = self.look().await?;
        let mut moved = BTreeMap::new();
        let mut batch = Batch::new();
        for (split, reach) in &found.reaches {
            let Some(Partition { next, .. }) = self.partition(split) else {
                continue;
            };
            if (reach.oldest..=reach.end).contains(next) {
                continue;
            }
            let goes_on = again(*reach, self.spec.auto_offset_reset);
            error!(
                ingress = %self.spec.id, %split, stored = next, oldest = reach.oldest, end = reach.end, goes_on,
                "the records behind the stored position are gone from the topic and were not read; the partition continues at autoOffsetResetPosition"
            );
            batch.set_position(split.to_string(), position(goes_on));
            moved.insert(split.clone(), goes_on);
        }
        if moved.is_empty() {
            return Err("the cluster reports a position as out of range that is in range".into());
        }
        let receipt = self.inlet.bring(batch).await?;
        self.commits.put(receipt, moved.clone());
        let splits: Vec<Split> = moved.keys().cloned().collect();
        self.consumer
            .incremental_unassign(&list(&splits, Offset::Invalid)?)?;
        self.assign(moved)
    }

    /// Reports the lag of each partition, and the missing topics.
    fn report(&mut self, found: Found) {
        for (split, reach) in &found.reaches {
            if let Some(partition) = self.partition(split) {
                let behind = u64::try_from(reach.end - partition.next).unwrap_or_default();
                self.inlet.behind(&split.to_string(), behind);
            }
        }
        let missing = found.missing.join(", ");
        if missing.is_empty() {
            self.inlet.recovers();
        } else {
            self.inlet.struggles(&format!(
                "the topic {missing} does not exist; it will be checked for again"
            ));
            if found.missing != self.missing {
                warn!(ingress = %self.spec.id, topics = %missing, "the topics do not exist; they will be checked for again");
            }
        }
        self.missing = found.missing;
    }

    fn partition(&self, split: &Split) -> Option<&Partition> {
        let topic = self.topics.get(&split.topic)?;
        topic.partitions.get(&split.partition)
    }
}

/// The topics of an ingress, as the cluster has them.
#[derive(Default)]
struct Found {
    reaches: BTreeMap<Split, Reach>,
    /// Topics that do not exist.
    missing: Vec<String>,
}
