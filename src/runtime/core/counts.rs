//! The counts of a core.

use std::ops::{AddAssign, SubAssign};

/// Messages of a core, a function type or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Known messages that wait or are in flight.
    pub backlog: u64,
    /// Messages in memory that do not wait for a retry.
    pub active: usize,
    /// Bytes of messages in memory.
    pub memory_bytes: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.backlog += other.backlog;
        self.active += other.active;
        self.memory_bytes += other.memory_bytes;
    }
}

impl SubAssign for Counts {
    fn sub_assign(&mut self, other: Self) {
        self.backlog -= other.backlog;
        self.active -= other.active;
        self.memory_bytes -= other.memory_bytes;
    }
}
