//! Ids: a record gets an id when it enters; at each stage its item id is derived from it.
//!
//! Ids, and those derived from them, begin with the time in milliseconds and a counter (UUID version 7), so rows of the same time are
//! next to each other in the tables.

use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

use crate::time::Timestamp;

/// The bits of the counter after the milliseconds.
const COUNTER_BITS: u32 = 12;

/// Assigns ids to records without one.
///
/// An id consists of the time with a counter, and of a random number per pipeline and process: two processes never assign the same id, and
/// no process assigns one twice. A batch that is run again assigns new ids, which is right because the first run had no effect.
#[derive(Debug)]
pub(crate) struct RecordIds {
    seed: Uuid,
    /// Milliseconds and counter of the last id.
    last: AtomicU64,
}

impl RecordIds {
    pub(crate) const fn seeded(seed: Uuid) -> Self {
        Self {
            seed,
            last: AtomicU64::new(0),
        }
    }

    pub(crate) fn next(&self, now: Timestamp) -> Uuid {
        let millis = now.as_millis().min(u64::MAX >> (COUNTER_BITS + 4));
        let least = millis << COUNTER_BITS;
        let after = |last: u64| Some(least.max(last + 1));
        // It always increases, even if the clock stands still or steps back: then it runs ahead of the time.
        let last = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, after);
        let number = least.max(last.unwrap_or_default() + 1);
        timed(number, mixed(self.seed.as_u64_pair().1 ^ number))
    }
}

/// A version 7 id with these milliseconds and counter.
fn timed(number: u64, rest: u64) -> Uuid {
    let (millis, counter) = (number >> COUNTER_BITS, number & ((1 << COUNTER_BITS) - 1));
    let front = (millis << 16) | (7 << 12) | counter;
    Uuid::from_u64_pair(front, (rest >> 2) | (0b10 << 62))
}

/// Maps each number to a different one, and similar numbers to very different ones.
const fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

/// `made` with the time of `of`, if that has one.
fn at_time_of(of: Uuid, made: Uuid) -> Uuid {
    match of.get_version_num() {
        7 => Uuid::from_u64_pair(of.as_u64_pair().0, made.as_u64_pair().1),
        _ => made,
    }
}

/// Derives the id of a record at one stage: the address of its delivery there, and the idempotency key of each attempt.
#[derive(Debug, Clone)]
pub(crate) struct ItemIds {
    stage: String,
    number: u64,
}

impl ItemIds {
    pub(crate) fn of(pipeline: &str, stage: &str) -> Self {
        let stage = format!("{pipeline}/{stage}");
        let number = Uuid::new_v5(&Uuid::NAMESPACE_OID, stage.as_bytes());
        let number = number.as_u64_pair().1;
        Self { stage, number }
    }

    pub(crate) fn item(&self, record: Uuid) -> Uuid {
        if record.get_version_num() != 7 {
            return Uuid::new_v5(&record, self.stage.as_bytes());
        }
        let (front, rest) = record.as_u64_pair();
        let rest = mixed(rest ^ self.number);
        Uuid::from_u64_pair(front, (rest >> 2) | (0b10 << 62))
    }
}

/// The id of a batch's record, derived from its items.
pub(crate) fn of_batch(records: impl Iterator<Item = Uuid>) -> Uuid {
    let (mut bytes, mut last) = (Vec::new(), Uuid::nil());
    for record in records {
        bytes.extend_from_slice(record.as_bytes());
        last = record;
    }
    at_time_of(last, Uuid::new_v5(&Uuid::NAMESPACE_OID, &bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[test]
    fn ids_of_one_process_and_of_two_differ() {
        let (one, two) = (
            RecordIds::seeded(Uuid::from_u128(1)),
            RecordIds::seeded(Uuid::from_u128(2)),
        );
        let ids = [one.next(NOW), one.next(NOW), two.next(NOW), two.next(NOW)];
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }

    #[test]
    fn ids_go_up_with_the_time_and_within_a_millisecond_and_when_the_clock_steps_back() {
        let (ids, item) = (
            RecordIds::seeded(Uuid::from_u128(1)),
            ItemIds::of("orders", "crm"),
        );
        let mut last = (Uuid::nil(), Uuid::nil());
        for n in 0..10_000_u64 {
            let now = Timestamp::from_millis(NOW.as_millis() + (n / 5_000) * 3 - n % 2);
            let record = ids.next(now);
            let both = (record, item.item(record));
            assert_eq!(record.get_version_num(), 7);
            assert!(both.0 > last.0 && both.1 > last.1);
            last = both;
        }
    }

    #[test]
    fn an_item_id_follows_from_record_pipeline_and_stage() {
        for (record, version) in [
            (Uuid::from_u128(1), 5),
            (RecordIds::seeded(Uuid::from_u128(1)).next(NOW), 7),
        ] {
            let of = |pipeline, stage| ItemIds::of(pipeline, stage).item(record);
            assert_eq!(of("orders", "crm"), of("orders", "crm"));
            assert_ne!(of("orders", "crm"), of("orders", "audit"));
            assert_ne!(of("orders", "crm"), of("bills", "crm"));
            assert_eq!(of("orders", "crm").get_version_num(), version);
        }
    }
}
