//! The threads of all partitions.

use std::io;
use std::thread::{Builder, JoinHandle, panicking};

use tracing::dispatcher::{Dispatch, get_default, with_default};
use tracing::error;

use super::inbox::Inbox;
use super::{Dependencies, Partition};
use crate::runtime::callers::NoAnswer;
use crate::runtime::core::Core;

/// All calls that can make progress do so before the partition takes more commands: otherwise it would accept more than it delivers.
const TASKS_AT_A_TIME: u32 = 4096;

/// A running thread for each partition. Dropping it ends them, after their current work.
#[derive(Debug, Default)]
pub(in crate::runtime) struct Partitions {
    threads: Vec<(Inbox, JoinHandle<()>)>,
}

impl Partitions {
    /// Starts a thread that drives `core`, and takes its commands from `inbox`.
    ///
    /// # Errors
    /// If the system cannot start a thread or an async runtime.
    pub(in crate::runtime) fn start(
        &mut self,
        core: Core,
        inbox: Inbox,
        dependencies: Dependencies,
    ) -> io::Result<()> {
        let waiting = tokio::runtime::Builder::new_current_thread()
            .event_interval(TASKS_AT_A_TIME)
            .enable_all()
            .build()?;
        let name = format!("partition-{}", core.index());
        let guard = PanicGuard {
            name: name.clone(),
            inbox: inbox.clone(),
            dependencies: dependencies.clone(),
        };
        let partition = Partition::new(core, dependencies, inbox.clone());
        // It logs where the thread that starts it logs, also if that is a subscriber of one thread.
        let log = get_default(Dispatch::clone);
        let thread = Builder::new().name(name).spawn(move || {
            with_default(&log, || {
                let _guard = guard;
                partition.run(waiting);
            });
        })?;
        self.threads.push((inbox, thread));
        Ok(())
    }

    /// Ends all threads, and waits for that. Calls in progress are aborted: their batches are sent again at the next start.
    pub(in crate::runtime) fn stop(&mut self) {
        for (inbox, _) in &self.threads {
            inbox.close();
        }
        for (_, thread) in self.threads.drain(..) {
            // An error is a panic, which its `PanicGuard` has reported.
            let _ = thread.join();
        }
    }
}

impl Drop for Partitions {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Reports a panic of the thread, and closes the inbox in any case.
struct PanicGuard {
    name: String,
    inbox: Inbox,
    dependencies: Dependencies,
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if panicking() {
            let Dependencies {
                store_status,
                acknowledgements,
                ..
            } = &self.dependencies;
            error!(partition = %self.name, "a partition has panicked: nothing more is accepted; restart the runtime");
            store_status.close(&format!("{} has panicked; see the log", self.name));
            acknowledgements.callers().end(NoAnswer::NotWritable);
        }
        self.inbox.close();
    }
}
