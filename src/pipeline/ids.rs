//! Who is who: records get an id when they enter, items one per stage that follows from it.

use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

/// Gives ids to records that come without one.
///
/// An id is made of a number drawn once per pipeline and process, and of a counter: two processes never give the same, and one
/// process never twice. A batch that is run again gives new ids, which is right because the first run had no effect.
#[derive(Debug)]
pub(crate) struct RecordIds {
    seed: Uuid,
    next: AtomicU64,
}

impl RecordIds {
    pub(crate) const fn seeded(seed: Uuid) -> Self {
        Self {
            seed,
            next: AtomicU64::new(0),
        }
    }

    pub(crate) fn next(&self) -> Uuid {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Uuid::new_v5(&self.seed, &number.to_be_bytes())
    }
}

/// Gives a record its id at one stage: the address of its delivery there, and the idempotency key of each attempt.
#[derive(Debug, Clone)]
pub(crate) struct ItemIds(String);

impl ItemIds {
    pub(crate) fn of(pipeline: &str, stage: &str) -> Self {
        Self(format!("{pipeline}/{stage}"))
    }

    pub(crate) fn item(&self, record: Uuid) -> Uuid {
        Uuid::new_v5(&record, self.0.as_bytes())
    }
}

/// The id of the record that a batch becomes: another one for other items.
pub(crate) fn of_batch<'a>(records: impl Iterator<Item = &'a [u8]>) -> Uuid {
    let bytes: Vec<u8> = records.flatten().copied().collect();
    Uuid::new_v5(&Uuid::NAMESPACE_OID, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_process_and_of_two_differ() {
        let (one, two) = (
            RecordIds::seeded(Uuid::from_u128(1)),
            RecordIds::seeded(Uuid::from_u128(2)),
        );
        let ids = [one.next(), one.next(), two.next(), two.next()];
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }

    #[test]
    fn an_item_id_follows_from_record_pipeline_and_stage() {
        let record = Uuid::from_u128(1);
        let of = |pipeline, stage| ItemIds::of(pipeline, stage).item(record);
        assert_eq!(of("orders", "crm"), of("orders", "crm"));
        assert_ne!(of("orders", "crm"), of("orders", "audit"));
        assert_ne!(of("orders", "crm"), of("bills", "crm"));
        assert_eq!(of("orders", "crm").get_version_num(), 5);
    }
}
