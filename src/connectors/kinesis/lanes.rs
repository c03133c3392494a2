//! The order in which the records of a batch are sent: those with the same keys one after the other, all others side by side.
//!
//! Kinesis may store a record of a call and refuse one before it. So a record is sent only when those before it with the same keys are stored.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use super::record::Outgoing;
use super::settings::Limits;
use crate::random::Random;
use crate::retry::Backoff;

/// Waits before a record is sent again.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(100),
    factor: 2.0,
    max: Duration::from_secs(10),
};
/// Larger records are sent alone, because not every stream takes them.
const LARGE: usize = 1 << 20;

/// The records of a batch that are not stored yet.
pub(super) struct Lanes<'a> {
    records: &'a [(usize, Outgoing)],
    limits: Limits,
    /// Records by their keys, in their order; the first one of each is ready, resting or in progress.
    lanes: HashMap<Keys<'a>, VecDeque<usize>>,
    /// Records that may be sent.
    ready: VecDeque<usize>,
    /// Records that are sent again later, with the time.
    resting: BTreeSet<(Duration, usize)>,
    /// Failures of each record.
    failures: Vec<u32>,
    /// Records that are sent alone.
    alone: BTreeSet<usize>,
    left: usize,
    random: Random,
}

/// Stream, partition key and explicit hash key.
type Keys<'a> = (&'a str, &'a str, Option<&'a str>);

/// Records for one stream, by their places in the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sending {
    pub(super) records: Vec<usize>,
}

impl<'a> Lanes<'a> {
    pub(super) fn new(records: &'a [(usize, Outgoing)], limits: Limits, random: Random) -> Self {
        let mut lanes = Self {
            records,
            limits,
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            resting: BTreeSet::new(),
            failures: vec![0; records.len()],
            alone: BTreeSet::new(),
            left: records.len(),
            random,
        };
        for (at, (_, record)) in records.iter().enumerate() {
            let lane = lanes.lanes.entry(keys(record)).or_default();
            lane.push_back(at);
            if lane.len() == 1 {
                lanes.ready.push_back(at);
            }
            if record.bytes() > LARGE {
                lanes.alone.insert(at);
            }
        }
        lanes
    }

    pub(super) fn record(&self, at: usize) -> Option<&'a Outgoing> {
        self.records.get(at).map(|(_, record)| record)
    }

    /// Whether all records are settled.
    pub(super) const fn is_done(&self) -> bool {
        self.left == 0
    }

    /// The next call; `None` if nothing may be sent now.
    pub(super) fn take(&mut self, now: Duration) -> Option<Sending> {
        while let Some((due, at)) = self.resting.first().copied().filter(|(due, _)| *due <= now) {
            self.resting.remove(&(due, at));
            self.ready.push_back(at);
        }
        let first = self.ready.pop_front()?;
        let mut records = vec![first];
        if self.alone.contains(&first) {
            return Some(Sending { records });
        }
        let stream = &self.record(first)?.stream;
        let mut bytes = self.record(first)?.bytes();
        let mut left = VecDeque::with_capacity(self.ready.len());
        for at in std::mem::take(&mut self.ready) {
            let Some(record) = self.record(at) else {
                continue;
            };
            let fits = records.len() < self.limits.records
                && bytes + record.bytes() <= self.limits.bytes
                && !self.alone.contains(&at)
                && record.stream == *stream;
            if fits {
                bytes += record.bytes();
                records.push(at);
            } else {
                left.push_back(at);
            }
        }
        self.ready = left;
        Some(Sending { records })
    }

    /// When the next resting record may be sent.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.resting.first().map(|(due, _)| *due)
    }

    /// A record is stored, or set aside.
    pub(super) fn settle(&mut self, at: usize) {
        let Some(record) = self.record(at) else {
            return;
        };
        self.left = self.left.saturating_sub(1);
        let keys = keys(record);
        let Some(lane) = self.lanes.get_mut(&keys) else {
            return;
        };
        lane.pop_front();
        match lane.front() {
            Some(next) => self.ready.push_back(*next),
            None => _ = self.lanes.remove(&keys),
        }
    }

    /// A record was not stored, and is sent again later. Returns its failures.
    pub(super) fn again(&mut self, at: usize, now: Duration) -> u32 {
        let Some(failures) = self.failures.get_mut(at) else {
            return 0;
        };
        *failures += 1;
        // Half of it is random, so that producers that were throttled together do not return together.
        let wait = BACKOFF.delay(*failures);
        let half = u64::try_from(wait.as_millis() / 2).unwrap_or(u64::MAX);
        let wait = Duration::from_millis(half + self.random.below(half + 1));
        let failures = *failures;
        self.resting.insert((now + wait, at));
        failures
    }

    /// A call was refused as a whole. True if one record alone is the reason; otherwise its records are sent again, each alone.
    pub(super) fn refused(&mut self, sending: &Sending) -> bool {
        if sending.records.len() == 1 {
            return true;
        }
        for at in sending.records.iter().rev() {
            self.alone.insert(*at);
            self.ready.push_front(*at);
        }
        false
    }
}

fn keys(record: &Outgoing) -> Keys<'_> {
    let hash = record.explicit_hash_key.as_deref();
    (&record.stream, &record.partition_key, hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(at: usize, stream: &str, key: &str, bytes: usize) -> (usize, Outgoing) {
        let record = Outgoing {
            stream: stream.to_owned(),
            partition_key: key.to_owned(),
            explicit_hash_key: None,
            value: vec![0; bytes].into(),
        };
        (at, record)
    }

    fn records(keys: &[&str]) -> Vec<(usize, Outgoing)> {
        let all = keys.iter().enumerate();
        all.map(|(at, key)| record(at, "s", key, 1)).collect()
    }

    fn lanes<'a>(records: &'a [(usize, Outgoing)], limits: Limits) -> Lanes<'a> {
        Lanes::new(records, limits, Random::seeded(1))
    }

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn sent(lanes: &mut Lanes<'_>, now: Duration) -> Option<Vec<usize>> {
        lanes.take(now).map(|sending| sending.records)
    }

    #[test]
    fn records_with_the_same_key_are_sent_one_after_the_other() {
        let records = records(&["a", "b", "a", "a", "b"]);
        let mut lanes = lanes(&records, Limits::MAX);
        assert_eq!(sent(&mut lanes, ms(0)), Some(vec![0, 1]));
        assert_eq!(sent(&mut lanes, ms(0)), None);
        lanes.settle(0);
        assert_eq!(sent(&mut lanes, ms(0)), Some(vec![2]));
        lanes.settle(1);
        lanes.settle(2);
        assert_eq!(sent(&mut lanes, ms(0)), Some(vec![4, 3]));
        lanes.settle(3);
        lanes.settle(4);
        assert!(lanes.is_done());
    }

    #[test]
    fn a_record_that_was_not_stored_holds_up_its_own_key_alone() {
        let records = records(&["a", "b", "a", "b"]);
        let mut lanes = lanes(&records, Limits::MAX);
        assert_eq!(sent(&mut lanes, ms(0)), Some(vec![0, 1]));
        assert_eq!(lanes.again(0, ms(0)), 1);
        lanes.settle(1);
        assert_eq!(sent(&mut lanes, ms(0)), Some(vec![3]));
        let due = lanes.next_due().unwrap();
        assert!((ms(50)..=ms(100)).contains(&due), "{due:?}");
        assert_eq!(sent(&mut lanes, due - ms(1)), None);
        assert_eq!(sent(&mut lanes, due), Some(vec![0]));
    }

    #[test]
    fn a_call_has_one_stream_and_keeps_the_limits() {
        let limits = Limits {
            records: 2,
            bytes: 10,
        };
        let records = [
            record(0, "s", "a", 1),
            record(1, "t", "b", 1),
            record(2, "s", "c", 9),
            record(3, "s", "d", 1),
            record(4, "s", "e", 1),
        ];
        let mut lanes = lanes(&records, limits);
        assert_eq!(sent(&mut lanes, ms(0)), Some(vec![0, 3]));
        assert_eq!(sent(&mut lanes, ms(0)), Some(vec![1]));
        assert_eq!(sent(&mut lanes, ms(0)), Some(vec![2]));
        assert_eq!(sent(&mut lanes, ms(0)), Some(vec![4]));
    }

    #[test]
    fn the_record_for_which_a_call_is_refused_is_found() {
        let records = records(&["a", "b", "c"]);
        let mut lanes = lanes(&records, Limits::MAX);
        let all = lanes.take(ms(0)).unwrap();
        assert!(!lanes.refused(&all));
        for at in 0..3 {
            let alone = lanes.take(ms(0)).unwrap();
            assert_eq!(alone.records, [at]);
            assert!(at != 1 || lanes.refused(&alone));
            lanes.settle(at);
        }
        assert!(lanes.is_done());
    }

    #[test]
    fn a_large_record_is_sent_alone() {
        let records = [
            record(0, "s", "a", 1),
            record(1, "s", "b", LARGE),
            record(2, "s", "c", 1),
        ];
        let mut lanes = lanes(&records, Limits::MAX);
        assert_eq!(sent(&mut lanes, ms(0)), Some(vec![0, 2]));
        assert_eq!(sent(&mut lanes, ms(0)), Some(vec![1]));
    }

    /// Whatever is refused, the first storing of each key's records is in their order, and none is forgotten.
    #[test]
    fn any_partial_failures_keep_the_order_of_each_key() {
        for seed in 0..300 {
            let mut random = Random::seeded(seed);
            let keys = ["a", "b", "c"];
            let all: Vec<&str> = (0..40)
                .map(|_| keys[usize::try_from(random.below(3)).unwrap()])
                .collect();
            let records = records(&all);
            let limits = Limits {
                records: 2,
                ..Limits::MAX
            };
            let mut lanes = Lanes::new(&records, limits, random.clone());
            let (mut now, mut stored, mut calls) = (ms(0), Vec::new(), Vec::new());
            while !lanes.is_done() {
                while let Some(sending) = lanes.take(now) {
                    calls.push(sending);
                }
                if calls.is_empty() {
                    now = lanes.next_due().unwrap();
                    continue;
                }
                let at = usize::try_from(random.below(calls.len() as u64)).unwrap();
                let sending = calls.remove(at);
                if random.chance(10) && !lanes.refused(&sending) {
                    continue;
                }
                for at in sending.records {
                    if random.chance(40) {
                        lanes.again(at, now);
                    } else {
                        stored.push(at);
                        lanes.settle(at);
                    }
                }
            }
            for key in keys {
                let of_key = |at: &&usize| all[**at] == key;
                let stored: Vec<_> = stored.iter().filter(of_key).collect();
                assert!(stored.is_sorted(), "seed {seed}: {stored:?}");
            }
            assert_eq!(stored.len(), all.len(), "seed {seed}");
        }
    }
}
