//! What a core keeps count of, and the same counted anew: they must agree, and be nothing at rest. For tests.

use super::Core;
use super::mailbox::Waiting;

/// What a core holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Messages that wait or are in flight, as far as they are known.
    pub backlog: u64,
    /// Messages in memory that do not wait for a retry.
    pub active: usize,
    /// Bytes of messages in memory.
    pub memory_bytes: usize,
}

impl Core {
    /// The counts as they are kept.
    pub const fn counts(&self) -> Counts {
        Counts {
            backlog: self.backlog,
            active: self.active,
            memory_bytes: self.memory_bytes,
        }
    }

    /// The counts as they are found by looking at every address.
    pub fn recount(&self) -> Counts {
        let mut counts = Counts::default();
        for mailbox in self.mailboxes.values() {
            counts.backlog += mailbox.backlog();
            counts.active += mailbox.active();
            let held = mailbox.batch.iter().chain(&mailbox.waiting);
            counts.memory_bytes += held.map(Waiting::size).sum::<usize>();
        }
        counts
    }

    /// Addresses that the core has in memory.
    pub fn addresses(&self) -> usize {
        self.mailboxes.len()
    }
}
