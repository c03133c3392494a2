//! The order in which the records of a batch are sent: those with the same keys one after the other, or packed into one record, all others side by
//! side.
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

/// Bytes of a packed record around its keys and parts.
const FRAME: usize = 32;

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
    /// Each pack becomes one record of the call: a record, or several with the same keys.
    pub(super) packs: Vec<Vec<usize>>,
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
        let stream = &self.record(first)?.stream;
        let (pack, mut bytes) = self.pack(first)?;
        let mut packs = vec![pack];
        if self.alone.contains(&first) {
            return Some(Sending { packs });
        }
        let mut left = VecDeque::with_capacity(self.ready.len());
        for at in std::mem::take(&mut self.ready) {
            let is_full = packs.len() >= self.limits.records || self.alone.contains(&at);
            let is_ours = |record: &Outgoing| record.stream == *stream;
            if is_full || !self.record(at).is_some_and(is_ours) {
                left.push_back(at);
                continue;
            }
            match self.pack(at) {
                Some((pack, more)) if bytes + more <= self.limits.bytes => {
                    bytes += more;
                    packs.push(pack);
                }
                _ => left.push_back(at),
            }
        }
        self.ready = left;
        Some(Sending { packs })
    }

    /// The record that a lane begins with and those behind it that are packed with it, and their bytes.
    fn pack(&self, first: usize) -> Option<(Vec<usize>, usize)> {
        let record = self.record(first)?;
        let mut pack = vec![first];
        let lane = self.lanes.get(&keys(record));
        let (Some(most), Some(lane)) = (self.limits.pack, lane) else {
            return Some((pack, record.bytes()));
        };
        if self.alone.contains(&first) {
            return Some((pack, record.bytes()));
        }
        let mut bytes = framed(record) + record.packed_bytes();
        for at in lane.iter().skip(1).take(most.records.saturating_sub(1)) {
            let Some(next) = self.record(*at).filter(|_| !self.alone.contains(at)) else {
                break;
            };
            if bytes + next.packed_bytes() > most.bytes {
                break;
            }
            bytes += next.packed_bytes();
            pack.push(*at);
        }
        let bytes = match pack.len() {
            1 => record.bytes(),
            _ => bytes,
        };
        Some((pack, bytes))
    }

    /// When the next resting record may be sent.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.resting.first().map(|(due, _)| *due)
    }

    /// The records of a pack, with which their lane begins, are stored, or set aside.
    pub(super) fn settle(&mut self, pack: &[usize]) {
        let Some(record) = pack.first().and_then(|at| self.record(*at)) else {
            return;
        };
        self.left = self.left.saturating_sub(pack.len());
        let keys = keys(record);
        let Some(lane) = self.lanes.get_mut(&keys) else {
            return;
        };
        lane.drain(..pack.len().min(lane.len()));
        match lane.front() {
            Some(next) => self.ready.push_back(*next),
            None => _ = self.lanes.remove(&keys),
        }
    }

    /// The first record of a lane was not stored. Returns its failures in a row.
    pub(super) fn failed(&mut self, at: usize) -> u32 {
        let Some(failures) = self.failures.get_mut(at) else {
            return 0;
        };
        *failures += 1;
        *failures
    }

    /// A record that was not stored is sent again later.
    pub(super) fn rest(&mut self, at: usize, now: Duration) {
        let failures = self.failures.get(at).copied().unwrap_or_default();
        // Half of it is random, so that producers that were throttled together do not return together.
        let wait = BACKOFF.delay(failures);
        let half = u64::try_from(wait.as_millis() / 2).unwrap_or(u64::MAX);
        let wait = Duration::from_millis(half + self.random.below(half + 1));
        self.resting.insert((now + wait, at));
    }

    /// Gives up the lane that begins with a record that was not stored, and returns its records in their order.
    pub(super) fn give_up(&mut self, at: usize) -> Vec<usize> {
        let Some(record) = self.record(at) else {
            return Vec::new();
        };
        let lane = self.lanes.remove(&keys(record)).unwrap_or_default();
        self.left = self.left.saturating_sub(lane.len());
        lane.into()
    }

    /// A call was refused as a whole. True if one record alone is the reason; otherwise its records are sent again, each alone.
    pub(super) fn refused(&mut self, sending: &Sending) -> bool {
        if let [pack] = &sending.packs[..]
            && pack.len() == 1
        {
            return true;
        }
        for pack in sending.packs.iter().rev() {
            self.alone.extend(pack);
            if let Some(first) = pack.first() {
                self.ready.push_front(*first);
            }
        }
        false
    }
}

/// What a packed record has in addition to its parts.
fn framed(record: &Outgoing) -> usize {
    let hash = record.explicit_hash_key.as_ref().map_or(0, String::len);
    2 * record.partition_key.len() + hash + FRAME
}

fn keys(record: &Outgoing) -> Keys<'_> {
    let hash = record.explicit_hash_key.as_deref();
    (&record.stream, &record.partition_key, hash)
}

#[cfg(test)]
mod tests {
    use super::super::settings::PackLimits;
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
        let sending = lanes.take(now)?;
        Some(sending.packs.into_iter().flatten().collect())
    }

    /// A record was not stored. Returns its failures.
    fn again(lanes: &mut Lanes<'_>, at: usize, now: Duration) -> u32 {
        let failures = lanes.failed(at);
        lanes.rest(at, now);
        failures
    }

    #[test]
    fn records_with_the_same_key_are_sent_one_after_the_other() {
        let records = records(&["a", "b", "a", "a", "b"]);
        let mut lanes = lanes(&records, Limits::MAX);
        assert_eq!(sent(&mut lanes, ms(0)), Some(vec![0, 1]));
        assert_eq!(sent(&mut lanes, ms(0)), None);
        lanes.settle(&[0]);
        assert_eq!(sent(&mut lanes, ms(0)), Some(vec![2]));
        lanes.settle(&[1]);
        lanes.settle(&[2]);
        assert_eq!(sent(&mut lanes, ms(0)), Some(vec![4, 3]));
        lanes.settle(&[3]);
        lanes.settle(&[4]);
        assert!(lanes.is_done());
    }

    #[test]
    fn a_record_that_was_not_stored_holds_up_its_own_key_alone() {
        let records = records(&["a", "b", "a", "b"]);
        let mut lanes = lanes(&records, Limits::MAX);
        assert_eq!(sent(&mut lanes, ms(0)), Some(vec![0, 1]));
        assert_eq!(again(&mut lanes, 0, ms(0)), 1);
        lanes.settle(&[1]);
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
            pack: None,
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
            assert_eq!(alone.packs, [[at]]);
            assert!(at != 1 || lanes.refused(&alone));
            lanes.settle(&[at]);
        }
        assert!(lanes.is_done());
    }

    fn packing(records: usize, bytes: usize) -> Limits {
        let pack = Some(PackLimits { records, bytes });
        Limits {
            pack,
            ..Limits::MAX
        }
    }

    #[test]
    fn records_with_the_same_key_are_packed_and_stored_together_or_not_at_all() {
        let records = records(&["a", "b", "a", "a", "a"]);
        let mut lanes = lanes(&records, packing(3, 1_000));
        let sending = lanes.take(ms(0)).unwrap();
        assert_eq!(sending.packs, [vec![0, 2, 3], vec![1]]);
        lanes.settle(&[1]);
        assert_eq!(again(&mut lanes, 0, ms(0)), 1);
        assert_eq!(sent(&mut lanes, ms(100)), Some(vec![0, 2, 3]));
        lanes.settle(&[0, 2, 3]);
        assert_eq!(sent(&mut lanes, ms(100)), Some(vec![4]));
        lanes.settle(&[4]);
        assert!(lanes.is_done());
    }

    #[test]
    fn a_pack_keeps_its_limits_and_is_taken_apart_when_it_is_refused() {
        let records = [
            record(0, "s", "a", 60),
            record(1, "s", "a", 60),
            record(2, "s", "a", 60),
            record(3, "s", "a", LARGE),
        ];
        let mut lanes = lanes(&records, packing(9, 200));
        let sending = lanes.take(ms(0)).unwrap();
        assert_eq!(sending.packs, [[0, 1]]);
        assert!(!lanes.refused(&sending));
        for at in 0..4 {
            assert_eq!(sent(&mut lanes, ms(0)), Some(vec![at]));
            lanes.settle(&[at]);
        }
        assert!(lanes.is_done());
    }

    #[test]
    fn a_lane_that_is_given_up_is_returned_in_its_order() {
        let records = records(&["a", "b", "a", "a"]);
        let mut lanes = lanes(&records, Limits::MAX);
        assert_eq!(sent(&mut lanes, ms(0)), Some(vec![0, 1]));
        assert_eq!(lanes.give_up(0), [0, 2, 3]);
        assert!(!lanes.is_done());
        lanes.settle(&[1]);
        assert!(lanes.is_done());
        assert_eq!(sent(&mut lanes, ms(0)), None);
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
            let pack = Some(PackLimits {
                records: 3,
                bytes: 1_000,
            });
            let limits = Limits {
                records: 2,
                pack: pack.filter(|_| seed % 2 == 0),
                ..Limits::MAX
            };
            let mut lanes = Lanes::new(&records, limits, random.clone());
            let (mut now, mut stored, mut calls) = (ms(0), Vec::new(), Vec::new());
            let mut given_up: Option<&str> = None;
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
                for pack in sending.packs {
                    if random.chance(1) && given_up.is_none() {
                        given_up = Some(all[pack[0]]);
                        stored.extend(lanes.give_up(pack[0]));
                    } else if random.chance(40) {
                        again(&mut lanes, pack[0], now);
                    } else {
                        lanes.settle(&pack);
                        stored.extend(pack);
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
