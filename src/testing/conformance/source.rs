//! The suite for sources, whatever they read.
#![expect(clippy::unwrap_used, reason = "a suite of tests: a failure is a panic")]

use async_trait::async_trait;

use super::memory::MemoryFarSide;
use super::stage::{Guarantee, LedgerEntry, Life, OUT, check, end, ledger, plain};
use crate::random::Random;
use crate::runtime::{Runtime, RuntimeBuilder};
use crate::testing::faulty::FaultyDisk;

/// A source under test and the system it reads, which outlives every runtime.
#[async_trait]
pub trait SourceRig: Send + Sync {
    /// Binds the source to a new runtime; called for each start.
    fn bind(&self, builder: RuntimeBuilder) -> RuntimeBuilder;

    /// Writes a record to the system that the source reads, or sends it to a source that waits for requests. True if the system
    /// has it, or the request was accepted. If false, the same record is fed again, possibly after the next start.
    async fn feed(&self, runtime: &Runtime, record: &LedgerEntry) -> bool;

    /// What the source promises.
    fn guarantee(&self) -> Guarantee;
}

/// Runs the suite, with random kills from `seed`.
///
/// # Panics
/// If the source breaks a guarantee; the message says which.
pub fn run(rig: &dyn SourceRig, seed: u64) {
    let mut random = Random::seeded(seed);
    let mut disk = FaultyDisk::default();
    let far_side = MemoryFarSide::default();
    let bind = |builder: RuntimeBuilder| rig.bind(builder).egress(OUT, far_side.sink());
    let mut fed: Vec<LedgerEntry> = Vec::new();
    for _ in 0..4 {
        disk.cut_power_after(random.below(250));
        let Ok(life) = Life::start(&disk, plain, bind) else {
            disk = disk.lose_power(&mut random);
            continue;
        };
        feed(rig, &life, &mut fed, 10 + random.below(40));
        // The runtime is killed on the way, or when everything is done.
        if random.chance(50) {
            arrives(&life, &fed);
        }
        disk = end(life, &disk, &mut random);
    }
    let life = Life::start(&disk, plain, bind).unwrap();
    feed(rig, &life, &mut fed, 10);
    arrives(&life, &fed);
    life.stop();
    // The records accepted before the stop are there, and no others.
    let life = Life::start(&disk, plain, bind).unwrap();
    feed(rig, &life, &mut fed, 1);
    arrives(&life, &fed);
    let mut all = Vec::new();
    for id in ids() {
        let arrived = life.run(ledger(&life.runtime, &id)).unwrap();
        check(rig.guarantee(), &texts(&fed, &id), &arrived, &id);
        all.extend(arrived);
    }
    // Every effect leaves once, because the target stores its position.
    let has_left = async |_: &Runtime| far_side.texts().len() >= all.len();
    assert!(life.until("all records to leave", has_left));
    life.stop();
    let mut left = far_side.texts();
    left.sort();
    all.sort();
    assert_eq!(left, all, "on the far side, and in the ledgers");
}

/// Feeds this many further records, or until the runtime has died.
fn feed(rig: &dyn SourceRig, life: &Life, fed: &mut Vec<LedgerEntry>, count: u64) {
    for _ in 0..count {
        let record = LedgerEntry::numbered(fed.len() as u64);
        if !life.until("a record to be taken in", async |runtime| {
            rig.feed(runtime, &record).await
        }) {
            return;
        }
        fed.push(record);
    }
}

/// Waits until all records that were fed are in the ledgers, or the runtime has died.
fn arrives(life: &Life, fed: &[LedgerEntry]) {
    for id in ids() {
        let expected = texts(fed, &id);
        life.until("all records to arrive", async |runtime| {
            let Some(arrived) = ledger(runtime, &id).await else {
                return false;
            };
            expected.iter().all(|text| arrived.contains(text))
        });
    }
}

fn ids() -> impl Iterator<Item = String> {
    (0..3).map(|number| LedgerEntry::numbered(number).id)
}

fn texts(fed: &[LedgerEntry], id: &str) -> Vec<String> {
    let of_id = fed.iter().filter(|record| record.id == id);
    of_id.map(|record| record.text.clone()).collect()
}
