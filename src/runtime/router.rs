//! Routes commands to partitions.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::core::keys::id_hash;
use super::core::{Message, owner};
use super::partition::{Command, Inbox};

/// The inboxes of all partitions. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Router {
    inboxes: Arc<[Inbox]>,
}

impl Router {
    /// A router over this many partitions, whose inboxes are full at `max_bytes` each.
    pub(super) fn new(partitions: u8, max_bytes: usize) -> Self {
        Self {
            inboxes: (0..partitions).map(|_| Inbox::new(max_bytes)).collect(),
        }
    }

    pub(super) fn inboxes(&self) -> &[Inbox] {
        &self.inboxes
    }

    /// Sends a command to the partition of `id`. False if it has ended.
    pub(super) fn send(&self, id: &str, command: Command) -> bool {
        self.inbox_of(id).send(command)
    }

    /// Sends a command to the first partition. False if it has ended.
    pub(super) fn send_to_first(&self, command: Command) -> bool {
        let first = self.inboxes.first();
        first.is_some_and(|inbox| inbox.send(command))
    }

    /// Whether the inbox of the partition of `id` is full.
    pub(super) fn is_full(&self, id: &str) -> bool {
        self.inbox_of(id).is_full()
    }

    /// Passes on a message whose row is staged. A partition that has ended finds it in the store at the next start.
    pub(super) fn hand_on(&self, partition: u8, message: Message) {
        let Some(inbox) = self.inboxes.get(usize::from(partition)) else {
            return;
        };
        let command = match inbox.is_full() {
            false => Command::Deliver(message),
            true => Command::Stored(message.without_content()),
        };
        inbox.send(command);
    }

    /// Whether every partition has room for more of sources. If not, they must be asked.
    pub(super) fn has_room(&self) -> bool {
        self.inboxes.iter().all(Inbox::has_room)
    }

    /// Passes on the messages of a source's batch, those for each partition together. Their rows are staged.
    pub(super) fn hand_on_all(&self, messages: Vec<Vec<Message>>) {
        for (inbox, messages) in self.inboxes.iter().zip(messages) {
            if messages.is_empty() {
                continue;
            }
            if inbox.is_full() {
                for message in messages {
                    inbox.send(Command::Stored(message.without_content()));
                }
            } else {
                inbox.send(Command::DeliverAll(messages));
            }
        }
    }

    /// Makes every partition start no more calls, without waiting for those in progress.
    pub(super) fn drain_all(&self) {
        for inbox in self.inboxes.iter() {
            // One that has ended starts none.
            inbox.send(Command::Drain(oneshot::channel().0));
        }
    }

    /// Queries every partition, and waits for all answers.
    pub(super) async fn ask_all<T>(
        &self,
        command: impl Fn(oneshot::Sender<T>) -> Command,
    ) -> Vec<T> {
        let mut answers = Vec::with_capacity(self.inboxes.len());
        for inbox in self.inboxes.iter() {
            let (sender, receiver) = oneshot::channel();
            if inbox.send(command(sender)) {
                answers.push(receiver);
            }
        }
        let mut all = Vec::with_capacity(answers.len());
        for answer in answers {
            all.extend(answer.await.ok());
        }
        all
    }

    /// Reports that something has become durable.
    pub(super) fn durable_advanced(&self) {
        self.inboxes.iter().for_each(Inbox::durable_advanced);
    }

    /// Reports that nothing becomes durable any more.
    pub(super) fn store_closed(&self) {
        self.inboxes.iter().for_each(Inbox::store_closed);
    }

    /// The number of the partition that `id` belongs to.
    pub(super) fn owner(&self, id: &str) -> u8 {
        let cores = u8::try_from(self.inboxes.len()).unwrap_or(u8::MAX);
        owner(id_hash(id), cores)
    }

    /// The inbox of the partition that `id` belongs to.
    pub(super) fn inbox_of(&self, id: &str) -> &Inbox {
        let owner = self.inboxes.get(usize::from(self.owner(id)));
        owner.expect("there are as many inboxes as the owner is one of")
    }
}
