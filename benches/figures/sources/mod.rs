//! Saturated sources: a topic or a file that is longer than anybody can read in the measured time, a remote counter, and state exactly once.
//! Ours is compared with the real StateFun in the same run, which reads the same topics, with one function server for both.

#[cfg(feature = "kafka")]
#[path = "../../../tests/it/kafka/broker.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared with the tests, which need more of it"
)]
mod broker;
#[cfg(feature = "kafka")]
mod contestants;
#[cfg(feature = "kafka")]
mod files;
#[cfg(feature = "kafka")]
mod input;
#[cfg(feature = "kafka")]
mod jvm;
#[cfg(feature = "kafka")]
mod kafka_to_kafka;
#[cfg(feature = "kafka")]
mod meter;
#[cfg(feature = "kafka")]
mod to_counter;
#[cfg(feature = "kafka")]
mod topics;

use anyhow::Result;

use crate::Pace;
use crate::table::Table;

/// What is read.
const INPUTS: &[&str] = &["topic", "kafka-to-kafka", "file"];
/// How it is loaded.
const LOADS: &[&str] = &["saturated", "bounded", "fixed", "low"];
const WHO: &[&str] = &["ours", "statefun"];
/// Words for the rows of this section, which select some of them: `sources=file,fixed`.
pub(crate) const ROWS: [&[&str]; 3] = [INPUTS, LOADS, WHO];

#[cfg(not(feature = "kafka"))]
pub(crate) fn measure(_pace: &Pace, table: &mut Table) -> Result<()> {
    let how = "this build has no Kafka; run `cargo bench --features full,kafka -- sources`";
    table.note("SKIPPED: sources", how);
    Ok(())
}

#[cfg(feature = "kafka")]
pub(crate) fn measure(pace: &Pace, table: &mut Table) -> Result<()> {
    use contestants::{Contestant, contestants};
    use files::Files;
    use meter::Meter;
    use topics::Kafka;

    let meter = Meter::start()?;
    let mut heap = to_counter::HeapRates::default();
    let [topic, to_topic, file] =
        ["topic", "kafka-to-kafka", "file"].map(|what| pace.only.wants(what, INPUTS));
    match (topic || to_topic).then(Kafka::start) {
        None => {}
        Some(Ok(kafka)) => {
            let mut all = match pace.only.wants("statefun", WHO) {
                true => contestants(table),
                false => vec![Contestant::Ours],
            };
            let mut filled = None;
            if topic {
                (filled, heap) = to_counter::measure(&kafka, &meter, &mut all, pace, heap, table)?;
            }
            if to_topic {
                kafka_to_kafka::measure(&kafka, &meter, filled, &mut all, pace, table)?;
            }
        }
        Some(Err(lack)) => table.note("SKIPPED: sources of Kafka", &lack),
    }
    if file {
        let ours = &mut vec![Contestant::Ours];
        to_counter::measure(&Files::new()?, &meter, ours, pace, heap, table)?;
    }
    Ok(())
}
