//! Records that are delayed beyond their batch, so that they do not delay those of other streams and keys: their stream does not exist or may not be
//! written, or their shard is throttled. Later records with the same keys queue behind them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::record::{Lane, Outgoing};
use crate::runtime::KeptRecord;

/// The bytes of delayed records at which no further lane is delayed.
const BYTES: usize = 8 << 20;

/// The delayed records of an egress, by stream.
#[derive(Debug)]
pub(super) struct Delayed {
    streams: Mutex<BTreeMap<String, StreamQueue>>,
    /// The number of records at which no further lane is delayed.
    most: usize,
    /// A stream has its first delayed record.
    begun: Notify,
    /// Records are no longer delayed.
    freed: Notify,
}

#[derive(Debug, Default)]
struct StreamQueue {
    /// In their order.
    waiting: Vec<(Outgoing, KeptRecord)>,
    /// How many delayed records each lane has, those being delivered included.
    lanes: HashMap<Lane, usize>,
    /// Of all lanes.
    count: usize,
    bytes: usize,
    is_delivered: bool,
}

/// Records that are delivered now, each with its place.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) records: Vec<(usize, Outgoing)>,
    pub(super) kept: Vec<KeptRecord>,
}

impl Delayed {
    pub(super) fn new(most: usize) -> Self {
        Self {
            streams: Mutex::default(),
            most,
            begun: Notify::new(),
            freed: Notify::new(),
        }
    }

    /// Whether records with the same keys are delayed, so that `record` has to queue behind them.
    pub(super) fn holds(&self, record: &Outgoing) -> bool {
        let streams = self.streams();
        let queue = streams.get(&record.stream);
        queue.is_some_and(|queue| queue.lanes.contains_key(&record.lane()))
    }

    /// Whether no more should be delayed.
    pub(super) fn is_full(&self) -> bool {
        let streams = self.streams();
        let of = |what: fn(&StreamQueue) -> usize| streams.values().map(what).sum::<usize>();
        of(|queue| queue.count) >= self.most || of(|queue| queue.bytes) >= BYTES
    }

    /// Delays a record.
    pub(super) fn push(&self, record: Outgoing, kept: KeptRecord) {
        let mut streams = self.streams();
        let queue = streams.entry(record.stream.clone()).or_default();
        queue.bytes += record.bytes();
        queue.count += 1;
        *queue.lanes.entry(record.lane()).or_default() += 1;
        queue.waiting.push((record, kept));
        drop(streams);
        self.begun.notify_one();
    }

    /// A stream whose records nobody delivers; from now on the caller does.
    pub(super) fn begin(&self) -> Option<String> {
        let mut streams = self.streams();
        let (name, queue) = streams.iter_mut().find(|(_, queue)| !queue.is_delivered)?;
        queue.is_delivered = true;
        Some(name.clone())
    }

    /// The waiting records of a stream. `None` if there are none; then the caller no longer delivers them.
    pub(super) fn take(&self, stream: &str) -> Option<Taken> {
        let mut streams = self.streams();
        let queue = streams.get_mut(stream)?;
        let waiting = std::mem::take(&mut queue.waiting);
        if waiting.is_empty() {
            streams.remove(stream);
            return None;
        }
        let (records, kept): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
        let records = records.into_iter().enumerate().collect();
        Some(Taken { records, kept })
    }

    /// A record is no longer delayed.
    pub(super) fn end(&self, record: &Outgoing) {
        let mut streams = self.streams();
        let Some(queue) = streams.get_mut(&record.stream) else {
            return;
        };
        queue.bytes = queue.bytes.saturating_sub(record.bytes());
        queue.count = queue.count.saturating_sub(1);
        let lane = record.lane();
        if let Some(count) = queue.lanes.get_mut(&lane) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                queue.lanes.remove(&lane);
            }
        }
        drop(streams);
        self.freed.notify_waiters();
    }

    /// Ready when a stream has its first delayed record.
    pub(super) async fn begun(&self) {
        self.begun.notified().await;
    }

    /// Ready when `record` need not queue any more, or there is room for it.
    pub(super) async fn room_for(&self, record: &Outgoing) {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            // From here on no call is missed.
            freed.as_mut().enable();
            if !self.is_full() || !self.holds(record) {
                return;
            }
            freed.await;
        }
    }

    fn streams(&self) -> MutexGuard<'_, BTreeMap<String, StreamQueue>> {
        // The queues are consistent after every section that holds the lock.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
