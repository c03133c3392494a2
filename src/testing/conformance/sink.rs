//! The suite for sinks, wherever their records go.
#![expect(clippy::unwrap_used, reason = "a suite of tests: a failure is a panic")]

use async_trait::async_trait;

use super::memory::MemoryLog;
use super::stage::{Guarantee, LedgerEntry, Life, check, end, plain};
use crate::random::Random;
use crate::runtime::{Runtime, RuntimeBuilder};
use crate::sdk::{EgressMessage, TypeName};
use crate::testing::faulty::FaultyDisk;

/// A sink under test and its target system, which outlives every runtime.
#[async_trait]
pub trait SinkRig: Send + Sync {
    /// Binds the sink to the egress of [`record`](Self::record) in a new runtime; called for each start.
    fn bind(&self, builder: RuntimeBuilder) -> RuntimeBuilder;

    /// The texts that have arrived so far, in order, including repetitions.
    async fn arrived(&self, runtime: &Runtime) -> Vec<String>;

    /// Makes a text a record for the sink's egress. Default: the unchanged text, to [`OUT`](super::OUT).
    fn record(&self) -> fn(&str) -> EgressMessage {
        plain
    }

    /// What the sink promises.
    fn guarantee(&self) -> Guarantee;
}

const LOG: TypeName = TypeName::new("conformance/log");

/// Runs the suite, with random kills from `seed`.
///
/// # Panics
/// If the sink breaks a guarantee; the message says which.
pub fn run(rig: &dyn SinkRig, seed: u64) {
    let mut random = Random::seeded(seed);
    let mut disk = FaultyDisk::default();
    let log = MemoryLog::default();
    let mut texts = Vec::new();
    let mut write = |count: u64| -> usize {
        for _ in 0..count {
            // From one function, whose order is guaranteed.
            let record = LedgerEntry {
                id: "one".to_owned(),
                text: format!("record-{}", texts.len()),
            };
            texts.push(record.text.clone());
            log.append(record);
        }
        texts.len()
    };
    for _ in 0..4 {
        write(10 + random.below(30));
        disk.cut_power_after(random.below(250));
        let source = log.source(Random::seeded(random.next_u64()));
        let bind = |builder: RuntimeBuilder| rig.bind(builder).ingress(LOG, source);
        let Ok(life) = Life::start(&disk, rig.record(), bind) else {
            disk = disk.lose_power(&mut random);
            continue;
        };
        let enough = usize::try_from(random.below(60)).unwrap();
        life.until("some records to arrive", async |runtime| {
            rig.arrived(runtime).await.len() >= enough.min(10)
        });
        disk = end(life, &disk, &mut random);
    }
    let count = write(10);
    let last = format!("record-{}", count - 1);
    let source = log.source(Random::seeded(random.next_u64()));
    let life = Life::start(&disk, rig.record(), |builder| {
        rig.bind(builder).ingress(LOG, source)
    })
    .unwrap();
    life.until("all records to arrive", async |runtime| {
        rig.arrived(runtime).await.contains(&last)
    });
    let arrived = life.run(rig.arrived(&life.runtime));
    life.stop();
    check(rig.guarantee(), &texts, &arrived, "the far side");
}
