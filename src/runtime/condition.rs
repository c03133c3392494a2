//! The condition of a source or a sink, for operators.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::core::SplitPosition;
use super::endpoint::Failing;

/// The condition of a source or a sink: how many records it moved, and whether it fails.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    moved: AtomicU64,
    failed: AtomicU64,
    /// The records of a source that are kept because they cannot be brought.
    set_aside: AtomicU64,
    failing: Mutex<Option<Failing>>,
    /// The progress of a source, by split.
    splits: Mutex<BTreeMap<String, SplitStatus>>,
}

/// The progress of a source in one of its splits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SplitStatus {
    /// The position that it staged last.
    pub(crate) position: Bytes,
    /// How many records have not been brought yet, if the source has reported it.
    pub(crate) behind: Option<u64>,
    /// By how much time it is behind the newest record, if the source has reported it.
    pub(crate) behind_by: Option<Duration>,
}

impl Condition {
    /// Records that this many more records were moved.
    pub(super) fn moved_on(&self, records: usize) {
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        self.moved.fetch_add(records, Ordering::Relaxed);
    }

    /// Records that were moved since the start.
    pub(crate) fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// Failures that were recorded since the start.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Records how many records of a source are set aside.
    pub(super) fn keeps_aside(&self, records: usize) {
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        self.set_aside.store(records, Ordering::Relaxed);
    }

    /// Records that this many more records of a source are set aside.
    pub(super) fn set_aside_more(&self, records: usize) {
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        self.set_aside.fetch_add(records, Ordering::Relaxed);
    }

    /// Records that an operator has removed a record that was set aside.
    pub(crate) fn set_aside_less(&self) {
        let less = |records: u64| records.checked_sub(1);
        _ = self
            .set_aside
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// How many records of a source are set aside.
    pub(crate) fn set_aside(&self) -> u64 {
        self.set_aside.load(Ordering::Relaxed)
    }

    /// Records that this many attempts in a row have failed, the last one for this reason.
    pub(super) fn fails(&self, attempts: u32, last_failure: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.set(Some(Failing {
            attempts,
            last_failure,
        }));
    }

    /// Records one more failure of an attempt that goes on.
    pub(super) fn struggles(&self, failure: &str) {
        let attempts = self.failing().map_or(1, |failing| failing.attempts);
        self.fails(attempts, failure.to_owned());
    }

    /// Records that it works.
    pub(super) fn works(&self) {
        self.set(None);
    }

    /// Records the new positions of a source.
    pub(super) fn stands_at<'a>(&self, positions: impl Iterator<Item = &'a SplitPosition>) {
        let mut splits = self.splits.lock().unwrap_or_else(PoisonError::into_inner);
        for SplitPosition { split, position } in positions {
            match (position, splits.get_mut(split)) {
                (None, _) => _ = splits.remove(split),
                (Some(position), Some(status)) => status.position = position.clone(),
                (Some(position), None) => {
                    let status = SplitStatus {
                        position: position.clone(),
                        ..SplitStatus::default()
                    };
                    splits.insert(split.clone(), status);
                }
            }
        }
    }

    /// Records how many records of `split` have not been brought yet.
    pub(super) fn is_behind(&self, split: &str, records: u64) {
        let mut splits = self.splits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(status) = splits.get_mut(split) {
            status.behind = Some(records);
        }
    }

    /// Records by how much time `split` is behind.
    pub(super) fn is_behind_by(&self, split: &str, time: Duration) {
        let mut splits = self.splits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(status) = splits.get_mut(split) {
            status.behind_by = Some(time);
        }
    }

    /// The progress of a source, by split.
    pub(crate) fn splits(&self) -> BTreeMap<String, SplitStatus> {
        self.splits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The failed attempts, while it fails.
    pub(crate) fn failing(&self) -> Option<Failing> {
        self.lock().clone()
    }

    fn set(&self, failing: Option<Failing>) {
        *self.lock() = failing;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Failing>> {
        // It is a single value, so no panic leaves it half written.
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
