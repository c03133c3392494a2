//! The condition of a source or a sink, for operators.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::endpoint::Failing;

/// The condition of a source or a sink: how many records it moved, and whether it fails.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    moved: AtomicU64,
    failing: Mutex<Option<Failing>>,
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

    /// Records that this many attempts in a row have failed, the last one for this reason.
    pub(super) fn fails(&self, attempts: u32, last_failure: String) {
        self.set(Some(Failing {
            attempts,
            last_failure,
        }));
    }

    /// Records that it works.
    pub(super) fn works(&self) {
        self.set(None);
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
