//! Where the records of a delivery come from, and what becomes of them: a batch, or what was delayed beyond one.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::delayed::Delayed;
use super::record::Outgoing;
use crate::runtime::{KeptRecord, SinkBatch};

/// The place where records come from, by their numbers there.
#[async_trait]
pub(super) trait RecordOrigin: Send + Sync {
    /// A record is stored.
    fn stored(&self, index: usize, record: &Outgoing);

    /// Sets a record aside; ready when that is on disk.
    async fn set_aside(&self, index: usize, record: &Outgoing, why: &str);

    /// Shows operators a failure.
    fn struggles(&self, failure: &str);

    /// Whether a record may be delayed, so that it does not delay others.
    fn may_delay(&self) -> bool;

    /// Delays a record.
    fn delay(&self, index: usize, record: &Outgoing);
}

/// A batch.
pub(super) struct OfBatch<'a> {
    pub(super) batch: &'a SinkBatch,
    pub(super) delayed: &'a Delayed,
}

#[async_trait]
impl RecordOrigin for OfBatch<'_> {
    /// The runtime settles the batch.
    fn stored(&self, _index: usize, _record: &Outgoing) {}

    async fn set_aside(&self, index: usize, _record: &Outgoing, why: &str) {
        self.batch.set_aside(index, why).await;
    }

    fn struggles(&self, failure: &str) {
        self.batch.struggles(failure);
    }

    fn may_delay(&self) -> bool {
        !self.delayed.is_full()
    }

    fn delay(&self, index: usize, record: &Outgoing) {
        if let Some(kept) = self.batch.keep(index) {
            self.delayed.push(record.clone(), kept);
        }
    }
}

/// Records that were delayed.
pub(super) struct OfDelayed<'a> {
    delayed: &'a Delayed,
    /// Those that are not settled yet, by their numbers.
    kept: Mutex<Vec<Option<KeptRecord>>>,
}

impl<'a> OfDelayed<'a> {
    pub(super) fn new(delayed: &'a Delayed, kept: Vec<KeptRecord>) -> Self {
        let kept = Mutex::new(kept.into_iter().map(Some).collect());
        Self { delayed, kept }
    }

    fn take(&self, index: usize) -> Option<KeptRecord> {
        self.kept().get_mut(index)?.take()
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Option<KeptRecord>>> {
        // Single entries are taken: a panic leaves none half written.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl RecordOrigin for OfDelayed<'_> {
    fn stored(&self, index: usize, record: &Outgoing) {
        if let Some(kept) = self.take(index) {
            kept.settle();
        }
        self.delayed.end(record);
    }

    async fn set_aside(&self, index: usize, record: &Outgoing, why: &str) {
        if let Some(kept) = self.take(index) {
            kept.set_aside(why).await;
        }
        self.delayed.end(record);
    }

    fn struggles(&self, failure: &str) {
        if let Some(kept) = self.kept().iter().flatten().next() {
            kept.struggles(failure);
        }
    }

    /// They are delayed already.
    fn may_delay(&self) -> bool {
        false
    }

    fn delay(&self, _index: usize, _record: &Outgoing) {}
}
