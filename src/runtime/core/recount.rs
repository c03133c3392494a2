//! Counts a core's content from scratch: the result must equal the maintained counts, and be zero at rest. For tests.

use super::mailbox::Waiting;
use super::{Core, Counts};

impl Core {
    /// The counts, computed from every message of every address.
    pub fn recount(&self) -> Counts {
        let mut counts = Counts::default();
        for (_, mailbox) in self.mailboxes.iter() {
            let held = mailbox.batch().iter().chain(mailbox.waiting());
            counts += Counts {
                memory_bytes: held.map(Waiting::size).sum::<usize>(),
                ..mailbox.counts()
            };
        }
        counts
    }

    /// Addresses that the core has in memory.
    pub fn addresses(&self) -> usize {
        self.mailboxes.len()
    }
}
