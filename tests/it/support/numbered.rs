//! A load of numbered records for a few keys, and its effects `<number> <count>`, where the count is that of the key.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::until::until;

pub(crate) const KEYS: u64 = 7;

/// The pace of a load: it is never far before its effects, and goes on until it is ended.
pub(crate) struct Pace {
    /// Records that are written before their effects are seen.
    ahead: u64,
    seen: AtomicU64,
    ends: AtomicBool,
}

impl Pace {
    pub(crate) const fn new(ahead: u64) -> Self {
        Self {
            ahead,
            seen: AtomicU64::new(0),
            ends: AtomicBool::new(false),
        }
    }

    /// So many effects have been seen.
    pub(crate) fn saw(&self, effects: usize) {
        self.seen.store(effects as u64, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.ends.store(true, Ordering::Relaxed);
    }

    pub(crate) fn ends(&self) -> bool {
        self.ends.load(Ordering::Relaxed)
    }

    /// Waits until another record may be written after `written` ones.
    pub(crate) async fn waits(&self, written: u64) {
        until("effects of the load", async || {
            let seen = self.seen.load(Ordering::Relaxed);
            (self.ends() || written < seen + self.ahead).then_some(())
        })
        .await;
    }
}

/// The effects of each key, in order.
#[derive(Default)]
pub(crate) struct Effects(BTreeMap<String, Vec<(u64, u64)>>);

impl Effects {
    /// Adds the effect `<number> <count>`.
    pub(crate) fn add(&mut self, key: &str, text: &str) {
        let (number, count) = text.split_once(' ').unwrap();
        let effect = (number.parse().unwrap(), count.parse().unwrap());
        self.0.entry(key.to_owned()).or_default().push(effect);
    }

    /// Without those that came again, which at least once allows.
    #[cfg(feature = "kinesis")]
    pub(crate) fn first_of_each(mut self) -> Self {
        for effects in self.0.values_mut() {
            let mut seen = std::collections::BTreeSet::new();
            effects.retain(|effect| seen.insert(*effect));
        }
        self
    }

    #[cfg(feature = "kinesis")]
    pub(crate) fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Each of the `written` numbers is there once, in the order of its key, with the count that its key had then.
    pub(crate) fn assert_complete(mut self, written: u64) {
        for key in 0..KEYS {
            let numbers = (key..written).step_by(KEYS as usize);
            let expected: Vec<(u64, u64)> = numbers.zip(1..).collect();
            let found = self.0.remove(&format!("key-{key}")).unwrap_or_default();
            assert_eq!(found, expected, "key-{key}");
        }
        assert!(self.0.is_empty(), "{:?}", self.0);
    }
}
