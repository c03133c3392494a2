//! Counters of received requests.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use serde_json::{Value, json};

/// At most this many idempotency keys are kept (a few dozen MiB); later ones are not checked for duplicates.
const MAX_KEYS: usize = 2_000_000;

/// The counters, and the status to answer with.
#[derive(Debug)]
pub(super) struct Counts {
    inner: Mutex<Inner>,
    hashing: RandomState,
}

#[derive(Debug)]
struct Inner {
    totals: Totals,
    /// Hashes of idempotency keys of accepted requests.
    keys: HashSet<u64>,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Totals {
    status: StatusCode,
    /// Requests answered with 2xx.
    received: u64,
    /// Requests answered with something else.
    refused: u64,
    /// Received requests whose key had been received before.
    duplicates: u64,
    /// Received requests without a key.
    without_key: u64,
    distinct_keys: u64,
    bytes: u64,
}

/// How one request is answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verdict {
    pub(super) status: StatusCode,
    pub(super) is_duplicate: bool,
}

impl Counts {
    pub(super) fn new(status: StatusCode) -> Self {
        let totals = Totals {
            status,
            received: 0,
            refused: 0,
            duplicates: 0,
            without_key: 0,
            distinct_keys: 0,
            bytes: 0,
        };
        Self {
            inner: Mutex::new(Inner {
                totals,
                keys: HashSet::new(),
            }),
            hashing: RandomState::new(),
        }
    }

    pub(super) fn totals(&self) -> Totals {
        self.lock().totals
    }

    /// Changes the status to answer with.
    pub(super) fn switch(&self, status: StatusCode) {
        self.lock().totals.status = status;
    }

    /// Counts a request, once its whole body has arrived.
    pub(super) fn count(&self, key: Option<&[u8]>, bytes: u64) -> Verdict {
        let key = key.map(|key| self.hashing.hash_one(key));
        let mut inner = self.lock();
        let status = inner.totals.status;
        if !status.is_success() {
            inner.totals.refused += 1;
            return Verdict {
                status,
                is_duplicate: false,
            };
        }
        inner.totals.received += 1;
        inner.totals.bytes += bytes;
        let is_duplicate = inner.remember(key);
        Verdict {
            status,
            is_duplicate,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No panic leaves a counter half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Whether the key was received before.
    fn remember(&mut self, key: Option<u64>) -> bool {
        let Some(key) = key else {
            self.totals.without_key += 1;
            return false;
        };
        if self.keys.contains(&key) {
            self.totals.duplicates += 1;
            return true;
        }
        if self.keys.len() < MAX_KEYS {
            self.keys.insert(key);
            self.totals.distinct_keys += 1;
        }
        false
    }
}

impl Totals {
    pub(super) fn to_json(self) -> Value {
        json!({
            "up": self.status.is_success(),
            "status": self.status.as_u16(),
            "received": self.received,
            "refused": self.refused,
            "duplicates": self.duplicates,
            "distinct_keys": self.distinct_keys,
            "without_key": self.without_key,
            "bytes": self.bytes,
        })
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} received ({} distinct keys, {} duplicates, {} without key), {} refused, answering {}",
            self.received,
            self.distinct_keys,
            self.duplicates,
            self.without_key,
            self.refused,
            self.status.as_u16()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_keys_are_duplicates_and_refused_requests_leave_no_key() {
        let counts = Counts::new(StatusCode::OK);
        counts.count(Some(b"a"), 3);
        counts.switch(StatusCode::SERVICE_UNAVAILABLE);
        assert!(!counts.count(Some(b"b"), 3).status.is_success());
        counts.switch(StatusCode::OK);
        assert!(!counts.count(Some(b"b"), 3).is_duplicate);
        assert!(counts.count(Some(b"a"), 3).is_duplicate);
        counts.count(None, 3);
        assert_eq!(
            counts.totals().to_json(),
            json!({"up": true, "status": 200, "received": 4, "refused": 1, "duplicates": 1, "distinct_keys": 2, "without_key": 1, "bytes": 12})
        );
    }
}
