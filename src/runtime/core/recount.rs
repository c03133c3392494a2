//! What a core holds, counted anew: it must agree with what is kept, and be nothing at rest. For tests.

use super::mailbox::Waiting;
use super::{Core, Counts};

impl Core {
    /// The counts as they are found by looking at every message of every address.
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
