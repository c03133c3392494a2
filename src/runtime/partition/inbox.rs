//! The inbox of a partition.
//!
//! An inbox is unbounded: partitions send to each other, and two that waited for room in each other's inbox would
//! deadlock. Its bytes are counted instead. Beyond the memory limit ingresses are refused, sources wait, and messages of other
//! partitions are left in the store, where they are anyway.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::command::Command;

/// A message on its way has at least so many bytes: a record of a source has two headers.
const LEAST_BYTES: usize = 4;

/// The commands for one partition, in order. Clones share the inbox. One thread takes the commands.
#[derive(Debug, Clone)]
pub(in crate::runtime) struct Inbox(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<Queue>,
    /// Bytes of unfinished commands.
    bytes: AtomicUsize,
    max_bytes: usize,
    /// Messages of sources for which the partition had room when it looked last.
    room: AtomicU64,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    commands: Vec<Command>,
    bytes: usize,
    /// The partition waits, and must be woken.
    sleeps: bool,
    /// It must also be woken when something has become durable.
    awaits_disk: bool,
    phase: Phase,
}

/// Whether a partition continues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// Yes.
    #[default]
    Running,
    /// Nothing becomes durable any more: commands are not executed, and their senders get that as the answer.
    StoreClosed,
    /// It must end.
    Closed,
}

/// What a partition waits for, in addition to commands.
pub(super) struct Wait<F> {
    /// Time.
    pub(super) until: Option<Instant>,
    /// A change of this phase.
    pub(super) phase: Phase,
    /// Whether something it waits for has become durable; `None` if it waits for nothing of that kind.
    pub(super) durable_advanced: Option<F>,
}

impl Inbox {
    /// An inbox that is full at this many bytes.
    pub(in crate::runtime) fn new(max_bytes: usize) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::default(),
            bytes: AtomicUsize::new(0),
            max_bytes,
            room: AtomicU64::new(0),
            arrived: Notify::new(),
        }))
    }

    /// Adds a command. False if the partition has ended.
    pub(in crate::runtime) fn send(&self, command: Command) -> bool {
        let bytes = command.size();
        let mut state = self.state();
        if state.phase == Phase::Closed {
            return false;
        }
        state.commands.push(command);
        state.bytes += bytes;
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.wake(state);
        true
    }

    /// Bytes of messages on their way.
    pub(super) fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Whether the limit of bytes on their way is reached.
    pub(in crate::runtime) fn is_full(&self) -> bool {
        self.bytes() >= self.0.max_bytes
    }

    /// Reports for how many messages of sources the partition has room.
    pub(super) fn note_room(&self, messages: u64) {
        self.0.room.store(messages, Ordering::Relaxed);
    }

    /// Whether there is certainly room for more of sources, however many messages are on their way. If not, the partition must be asked.
    pub(in crate::runtime) fn has_room(&self) -> bool {
        // The partition looks for room before it has finished its commands.
        let bytes = self.0.bytes.load(Ordering::Acquire);
        let most = u64::try_from(bytes.div_ceil(LEAST_BYTES)).unwrap_or(u64::MAX);
        most < self.0.room.load(Ordering::Relaxed)
    }

    /// Reports that something has become durable.
    pub(in crate::runtime) fn durable_advanced(&self) {
        let state = self.state();
        if state.awaits_disk {
            self.wake(state);
        }
    }

    /// Reports that nothing becomes durable any more.
    pub(in crate::runtime) fn store_closed(&self) {
        self.enter(Phase::StoreClosed);
    }

    /// Ends the partition after its current work.
    pub(super) fn close(&self) {
        self.enter(Phase::Closed);
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.state();
        if state.phase != Phase::Closed {
            state.phase = phase;
        }
        if phase == Phase::Closed {
            // Waiting senders see it from the dropped channel.
            state.commands.clear();
        }
        self.wake(state);
    }

    /// Takes all commands into the empty `taken`, once there are some or another awaited event has happened. Returns the phase of the
    /// partition and the number of bytes taken, which must be passed to [`done`](Self::done).
    pub(super) async fn take<F: Fn() -> bool>(
        &self,
        taken: &mut Vec<Command>,
        wait: &Wait<F>,
    ) -> (Phase, usize) {
        loop {
            {
                let mut state = self.state();
                let is_ready = !state.commands.is_empty()
                    || state.phase != wait.phase
                    || wait.durable_advanced.as_ref().is_some_and(|moved| moved())
                    || wait.until.is_some_and(|until| until <= Instant::now());
                state.sleeps = !is_ready;
                state.awaits_disk = !is_ready && wait.durable_advanced.is_some();
                if is_ready {
                    std::mem::swap(taken, &mut state.commands);
                    return (state.phase, std::mem::take(&mut state.bytes));
                }
            }
            let arrived = self.0.arrived.notified();
            match wait.until {
                Some(until) => _ = timeout_at(until, arrived).await,
                None => arrived.await,
            }
        }
    }

    /// Records that this many bytes are no longer on their way.
    pub(super) fn done(&self, bytes: usize) {
        self.0.bytes.fetch_sub(bytes, Ordering::Release);
    }

    fn wake(&self, mut state: MutexGuard<'_, Queue>) {
        let sleeps = std::mem::take(&mut state.sleeps);
        drop(state);
        if sleeps {
            self.0.arrived.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, Queue> {
        // It is consistent after every section that holds the lock.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    fn wait(until: Option<Instant>) -> Wait<fn() -> bool> {
        Wait {
            until,
            phase: Phase::Running,
            durable_advanced: None,
        }
    }

    fn drain() -> (Command, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        (Command::Drain(sender), receiver)
    }

    #[tokio::test]
    async fn bytes_count_until_they_are_done() {
        let inbox = Inbox::new(1);
        assert!(!inbox.is_full());
        assert!(inbox.send(drain().0));
        let mut taken = Vec::new();
        let (_, bytes) = inbox.take(&mut taken, &wait(None)).await;
        assert!(taken.len() == 1 && inbox.is_full());
        inbox.done(bytes);
        assert_eq!(inbox.bytes(), 0);
    }

    #[tokio::test]
    async fn there_is_room_if_the_partition_had_some_for_all_that_may_be_on_its_way() {
        let inbox = Inbox::new(usize::MAX);
        assert!(!inbox.has_room(), "it has not looked yet");
        inbox.note_room(1);
        assert!(inbox.has_room());
        assert!(inbox.send(drain().0) && !inbox.has_room());
        let (_, bytes) = inbox.take(&mut Vec::new(), &wait(None)).await;
        assert!(!inbox.has_room(), "they are not handled yet");
        inbox.done(bytes);
        assert!(inbox.has_room());
        inbox.note_room(0);
        assert!(!inbox.has_room());
    }

    #[tokio::test]
    async fn few_bytes_on_their_way_leave_room() {
        let inbox = Inbox::new(usize::MAX);
        assert!(inbox.send(drain().0));
        let most = u64::try_from(inbox.bytes() / LEAST_BYTES).unwrap();
        inbox.note_room(most);
        assert!(!inbox.has_room(), "they may be as many messages");
        inbox.note_room(most + 2);
        assert!(inbox.has_room());
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_a_command_by_time_and_by_the_disk() {
        let inbox = Inbox::new(1);
        let mut taken = Vec::new();
        inbox.take(&mut taken, &wait(Some(Instant::now()))).await;
        assert!(taken.is_empty());

        let moved = AtomicUsize::new(0);
        let on_disk = Wait {
            until: None,
            phase: Phase::Running,
            durable_advanced: Some(|| moved.load(Ordering::SeqCst) > 0),
        };
        tokio::join!(inbox.take(&mut taken, &on_disk), async {
            moved.store(1, Ordering::SeqCst);
            inbox.durable_advanced();
        });
        let forever = wait(None);
        tokio::join!(inbox.take(&mut taken, &forever), async {
            inbox.send(drain().0);
        });
        assert_eq!(taken.len(), 1);
    }

    #[tokio::test]
    async fn a_closed_inbox_takes_nothing_and_tells_who_waits() {
        let inbox = Inbox::new(1);
        let (command, answer) = drain();
        inbox.send(command);
        inbox.close();
        assert!(answer.await.is_err());
        assert!(!inbox.send(drain().0));
        let (phase, _) = inbox.take(&mut Vec::new(), &wait(None)).await;
        assert_eq!(phase, Phase::Closed);
    }
}
