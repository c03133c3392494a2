//! What messages are read from: filled before, or while they are read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::meter::Meter;
use crate::tally;

/// Bytes of a message.
pub(super) const LENGTH: usize = 32;
/// How often a load looks at its clock.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// A kind of logs: topics, files.
pub(super) trait Input: Sync {
    /// What it is, for rows of the table.
    fn what(&self) -> &'static str;

    /// Makes an empty one.
    fn make(&self, name: &str) -> Result<()>;

    /// Makes one with `count` messages to `keys` addresses.
    fn fill(&self, name: &str, keys: u64, count: u64) -> Result<Filled>;

    /// Writes to one until `ends`.
    fn load(
        &self,
        name: &str,
        keys: u64,
        rate: Rate,
        meter: &Meter,
        ends: &AtomicBool,
    ) -> Result<()>;

    /// The document of an ingress that reads it from its beginning.
    fn ingress(&self, name: &str) -> String;
}

/// One that is full of messages.
pub(super) struct Filled {
    pub(super) name: String,
    pub(super) count: u64,
}

/// How a load goes on.
#[derive(Clone, Copy)]
pub(super) enum Rate {
    PerSecond(u64),
    /// At most this many messages are on their way.
    Outstanding(u64),
}

impl Rate {
    /// Has `send` write the messages with the numbers that are due, again and again until `ends`.
    pub(super) fn drive(
        self,
        meter: &Meter,
        ends: &AtomicBool,
        mut send: impl FnMut(std::ops::Range<u64>) -> Result<()>,
    ) -> Result<()> {
        let (begun, mut sent) = (Instant::now(), 0);
        while !ends.load(Ordering::Relaxed) {
            let due = match self {
                Self::PerSecond(rate) => (begun.elapsed().as_secs_f64() * rate as f64) as u64,
                Self::Outstanding(limit) => meter.count()?.messages + limit,
            };
            if sent < due {
                send(sent..due)?;
                sent = due;
            }
            thread::sleep(TICK);
        }
        Ok(())
    }
}

/// A message that is sent now.
pub(super) fn message() -> [u8; LENGTH] {
    let mut value = [b'.'; LENGTH];
    value[..8].copy_from_slice(&tally::now().to_be_bytes());
    value
}
