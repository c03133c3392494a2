//! Saturated sources: a log that is longer than anybody can read in the measured time, a remote counter, and state exactly once. Ours is
//! compared with the real StateFun in the same run, with one function server for both.

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
mod from_kafka;
#[cfg(feature = "kafka")]
mod jvm;
#[cfg(feature = "kafka")]
mod kafka_to_kafka;
#[cfg(feature = "kafka")]
mod meter;
#[cfg(feature = "kafka")]
mod topics;

use anyhow::Result;

use crate::Pace;
use crate::table::Table;

#[cfg(not(feature = "kafka"))]
pub(crate) fn measure(_pace: &Pace, table: &mut Table) -> Result<()> {
    let how = "this build has no Kafka; run `cargo bench --features full,kafka -- sources`";
    table.note("SKIPPED: sources", how);
    Ok(())
}

#[cfg(feature = "kafka")]
pub(crate) fn measure(pace: &Pace, table: &mut Table) -> Result<()> {
    use contestants::contestants;
    use meter::Meter;
    use topics::Kafka;

    let meter = Meter::start()?;
    let kafka = match Kafka::start() {
        Ok(kafka) => kafka,
        Err(lack) => {
            table.note("SKIPPED: sources of Kafka", &lack);
            return Ok(());
        }
    };
    let mut all = contestants(table);
    let input = from_kafka::measure(&kafka, &meter, &mut all, pace, table)?;
    kafka_to_kafka::measure(&kafka, &meter, &input, &mut all, pace, table)
}
