//! Seeded schedules over the partition core: random arrivals, replies, failures, clocks, syncs and crashes, on virtual time.
//!
//! One to four cores share a [`Memory`](crate::storage::Memory) store. The function server is invented: what a message does is decided
//! when its call is answered, and written down (`model`). After every step the core's outputs (`watch`) and what it holds are
//! compared with that; now and then, after every crash and at rest so are all rows of the store (`audit`). A crash leaves any prefix of the
//! lists that were staged, never less than was synced.
//!
//! Equal seeds give equal schedules. Outside semver, like all of the simulator: it is here for the tests of this crate.

mod audit;
mod image;
mod model;
mod plan;
mod reply;
mod request;
mod watch;
mod world;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use world::World;

/// Lines of the schedule that a violation shows.
const SHOWN: usize = 80;

/// What a schedule went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Inputs that cores took.
    pub steps: u64,
    /// Messages that came from an ingress or a function.
    pub messages: u64,
    /// Batches whose effects were applied.
    pub applied: u64,
    /// Batches that failed.
    pub failed: u64,
    /// Delayed messages that fired.
    pub fired: u64,
    /// Delayed messages that were cancelled.
    pub cancelled: u64,
    /// Messages handed from core to core.
    pub forwarded: u64,
    /// Crashes.
    pub crashes: u64,
    /// Addresses that were set aside.
    pub parked: u64,
}

impl Report {
    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            steps: self.steps + other.steps,
            messages: self.messages + other.messages,
            applied: self.applied + other.applied,
            failed: self.failed + other.failed,
            fired: self.fired + other.fired,
            cancelled: self.cancelled + other.cancelled,
            forwarded: self.forwarded + other.forwarded,
            crashes: self.crashes + other.crashes,
            parked: self.parked + other.parked,
        }
    }
}

/// An invariant that a schedule found broken.
#[derive(Debug)]
pub struct Violation {
    /// The schedule.
    pub seed: u64,
    /// What is wrong.
    pub what: String,
    /// The last steps before it.
    pub schedule: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.schedule {
            writeln!(f, "  {line}")?;
        }
        write!(f, "seed {}: {}", self.seed, self.what)
    }
}

impl std::error::Error for Violation {}

/// Runs the schedule of `seed` to its end.
///
/// # Errors
/// When an invariant does not hold. The schedule is run a second time then, to tell what led there.
pub fn run(seed: u64) -> Result<Report, Violation> {
    play(seed, &mut World::new(seed, false)).or_else(|_| {
        let mut world = World::new(seed, true);
        play(seed, &mut world).map_err(|what| {
            let mut schedule = world.take_trace();
            schedule.drain(..schedule.len().saturating_sub(SHOWN));
            Violation {
                seed,
                what,
                schedule,
            }
        })
    })
}

/// A panic of the core is a violation like any other.
fn play(seed: u64, world: &mut World) -> Result<Report, String> {
    catch_unwind(AssertUnwindSafe(|| world.play())).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no text");
        Err(format!("seed {seed}: panicked: {text}"))
    })
}

/// `Err` with `what` unless it `holds`.
fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}
