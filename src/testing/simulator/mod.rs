//! Seeded schedules over the partition core: random arrivals, replies, failures, clocks, syncs and crashes, on virtual time.
//!
//! One to four cores share a [`Memory`](crate::storage::Memory) store. The function server is simulated: the effects of a message are chosen
//! when its call is answered, and recorded (`model`). After every step the core's outputs and its content are compared with the model
//! (`watch`); from time to time, after every crash and at rest, so are all rows of the store (`audit`). A crash leaves any prefix of the
//! staged lists that contains the synced ones.
//!
//! Equal seeds give equal schedules. The simulator is exempt from semantic versioning: it is for the tests of this crate.

mod answers;
mod arrivals;
mod audit;
mod disk;
mod image;
mod model;
mod operator;
mod plan;
mod reply;
mod request;
mod rest;
mod watch;
mod world;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use world::World;

/// How many lines of the schedule a violation shows.
const SHOWN: usize = 80;

/// What happened in a schedule.
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
    /// Addresses that were parked.
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

/// An invariant that a schedule has found broken.
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
/// If an invariant does not hold. The schedule is then run a second time to record the steps that led to it.
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
