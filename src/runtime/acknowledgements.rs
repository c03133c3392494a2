//! Acknowledgements and answers that wait for the disk. The committer sends them itself, right after the sync: passing them through the
//! partition would cost each caller another thread switch.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::callers::{CallOutcome, Callers, NoAnswer};
use super::partition::Admission;
use crate::storage::Position;

/// A message that a sender or caller outside waits for.
#[derive(Debug)]
pub(super) enum Acknowledgement {
    /// The outcome of a message, for its sender.
    Admission(ReplyTo, Admission),
    /// An answer: gateway and encoded `TypedValue`.
    Answer(String, Bytes),
}

/// The waiting sender of a message.
#[derive(Debug)]
pub(super) enum ReplyTo {
    /// A sender, until the message is on disk.
    Sender(oneshot::Sender<Admission>),
    /// A caller, until there is an answer.
    Caller(Uuid),
}

/// The acknowledgements of all partitions, in order of position. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Acknowledgements {
    partitions: Arc<[Mutex<Queue>]>,
    callers: Callers,
}

type Queue = VecDeque<(Position, Acknowledgement)>;

impl Acknowledgements {
    pub(super) fn new(partitions: u8, callers: Callers) -> Self {
        Self {
            partitions: (0..partitions).map(|_| Mutex::default()).collect(),
            callers,
        }
    }

    pub(super) const fn callers(&self) -> &Callers {
        &self.callers
    }

    /// Sends an acknowledgement now.
    pub(super) fn tell(&self, acknowledgement: Acknowledgement) {
        match acknowledgement {
            Acknowledgement::Admission(ReplyTo::Sender(sender), admission) => {
                // Senders that have gone need not be told.
                let _ = sender.send(admission);
            }
            Acknowledgement::Admission(ReplyTo::Caller(id), Admission::Accepted) => {
                self.callers.accepted(id);
            }
            Acknowledgement::Admission(ReplyTo::Caller(id), admission) => {
                self.callers.tell(id, CallOutcome::Admission(admission));
            }
            Acknowledgement::Answer(gateway, value) => self.callers.answer(&gateway, value),
        }
    }

    /// Sends these when they are durable, or now if they already are, according to `durable`. That is called after they have been added: the committer
    /// sees them from then on, so none is missed by both.
    pub(super) fn add(
        &self,
        partition: u8,
        acknowledgements: impl Iterator<Item = (Position, Acknowledgement)>,
        durable: impl FnOnce() -> Position,
    ) {
        let Some(queue) = self.partitions.get(usize::from(partition)) else {
            return;
        };
        let mut queue = locked(queue);
        queue.extend(acknowledgements);
        self.tell_up_to(queue, durable());
    }

    /// Sends everything up to this durable position.
    pub(super) fn durable(&self, position: Position) {
        for queue in self.partitions.iter() {
            self.tell_up_to(locked(queue), position);
        }
    }

    /// Nothing becomes durable for now: tells the senders of messages that are not accepted yet.
    pub(super) fn not_durable(&self) {
        for queue in self.partitions.iter() {
            let mut queue = locked(queue);
            for (position, acknowledgement) in std::mem::take(&mut *queue) {
                match acknowledgement {
                    // Its sender sees it from the dropped channel.
                    Acknowledgement::Admission(ReplyTo::Sender(_), _) => {}
                    Acknowledgement::Admission(ReplyTo::Caller(id), _) => {
                        self.callers
                            .tell(id, CallOutcome::NoAnswer(NoAnswer::NotWritable));
                    }
                    answer @ Acknowledgement::Answer(..) => queue.push_back((position, answer)),
                }
            }
        }
    }

    fn tell_up_to(&self, mut queue: MutexGuard<'_, Queue>, position: Position) {
        let count = queue.partition_point(|(at, _)| *at <= position);
        let due: Vec<_> = queue.drain(..count).collect();
        // Nothing is sent while the lock is held.
        drop(queue);
        for (_, acknowledgement) in due {
            self.tell(acknowledgement);
        }
    }
}

fn locked(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    // It is consistent after every statement.
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}
