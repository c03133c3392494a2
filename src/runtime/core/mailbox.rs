//! The mailbox of an address: its waiting messages and its activity.

use std::collections::VecDeque;

use bytes::Bytes;

use super::counts::Counts;
use super::indices::TypeId;
use super::keys::MessageId;
use super::watch::Given;
use super::{AdminChange, CallId, Ticket, Windows};
use crate::storage::Position;
use crate::time::Timestamp;

/// A message at its address, or several that share a row.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    /// Its id.
    pub id: MessageId,
    /// The encoded `ToFunction.Invocation`, or several as they stand in a request.
    pub invocation: Bytes,
    /// How many.
    pub count: u32,
    /// The commit that holds it.
    pub position: Position,
}

/// The number of messages in rows.
fn messages<'w>(rows: impl IntoIterator<Item = &'w Waiting>) -> usize {
    let counts = rows.into_iter();
    counts
        .map(|row| usize::try_from(row.count).unwrap_or(usize::MAX))
        .sum()
}

impl Waiting {
    /// Its size in memory.
    pub(super) const fn size(&self) -> usize {
        size_of::<Self>() + self.invocation.len()
    }
}

/// What an address is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Nothing: the next message starts a call.
    Idle,
    /// Its function acts on the outside, and its messages are not on disk yet.
    AwaitsDisk,
    /// Waits for a call slot: the maximum number of calls is in progress.
    AwaitsCallSlot,
    /// The first call of its type is in progress, and the type's states are not known yet.
    AwaitsType,
    /// A call is in progress.
    InFlight(CallId),
    /// Its batch failed and is sent again at this time.
    BacksOff(Timestamp),
    /// It is parked until it is resumed.
    Parked,
}

/// Which states of its type were sent with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attached {
    /// None, because the batch is sent again: the function declares its states again.
    Nothing,
    /// All known states.
    States,
}

/// One address with work.
///
/// Its fields are private, so that its counts change only through [`Mailboxes`](super::mailboxes::Mailboxes).
#[derive(Debug)]
pub(super) struct Mailbox {
    type_id: TypeId,
    activity: Activity,
    /// The batch that is in flight, or failed and will be sent again.
    batch: Vec<Waiting>,
    batch_messages: usize,
    batch_bytes: usize,
    /// What arrived since, oldest first.
    waiting: VecDeque<Waiting>,
    waiting_messages: usize,
    waiting_bytes: usize,
    /// Messages after `waiting` that are in the store only; a lower bound, zero if there are none.
    stored: u64,
    attached: Attached,
    /// What the call was given of the watched value.
    given: Given,
    failures: u32,
    /// Incomplete answers to the present batch since its last failure.
    rounds: u32,
    /// Consecutive incomplete answers without anything new.
    stale_rounds: u32,
    last_failure: Option<String>,
    /// Changes by an operator that wait for the call to return.
    changes: Vec<(Ticket, AdminChange)>,
}

/// What an address gives up when its batch was applied or has failed.
pub(super) struct Closed {
    /// The batch, if it was applied.
    pub(super) batch: Vec<Waiting>,
    /// Changes by an operator that waited for it.
    pub(super) changes: Vec<(Ticket, AdminChange)>,
}

impl Mailbox {
    /// An address without work.
    pub(super) const fn new(type_id: TypeId) -> Self {
        Self {
            type_id,
            activity: Activity::Idle,
            batch: Vec::new(),
            batch_messages: 0,
            batch_bytes: 0,
            waiting: VecDeque::new(),
            waiting_messages: 0,
            waiting_bytes: 0,
            stored: 0,
            attached: Attached::Nothing,
            given: Given::Unread,
            failures: 0,
            rounds: 0,
            stale_rounds: 0,
            last_failure: None,
            changes: Vec::new(),
        }
    }

    /// The function type of the address.
    pub(super) const fn type_id(&self) -> TypeId {
        self.type_id
    }

    /// The activity of the address.
    pub(super) const fn activity(&self) -> Activity {
        self.activity
    }

    /// The rows of the batch that is in flight or failed.
    pub(super) const fn batch(&self) -> &Vec<Waiting> {
        &self.batch
    }

    /// The number of its messages.
    pub(super) const fn batch_messages(&self) -> usize {
        self.batch_messages
    }

    /// The rows of messages that wait in memory, oldest first.
    pub(super) const fn waiting(&self) -> &VecDeque<Waiting> {
        &self.waiting
    }

    /// Whether messages wait in the store only.
    pub(super) const fn has_stored(&self) -> bool {
        self.stored > 0
    }

    /// Which states were sent with the call in progress.
    pub(super) const fn attached(&self) -> Attached {
        self.attached
    }

    /// Failures in a row of the present batch.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// The text of the last failure.
    pub(super) fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }

    /// Messages that wait or are in flight.
    pub(super) fn backlog(&self) -> u64 {
        self.stored + u64::try_from(self.held()).unwrap_or(u64::MAX)
    }

    /// Waiting messages, without those of the batch.
    pub(super) fn waits(&self) -> u64 {
        self.stored + u64::try_from(self.waiting_messages).unwrap_or(u64::MAX)
    }

    /// Waiting messages as StateFun counts them: it calls the first one at once, so one of the messages here counts as in flight.
    pub(super) fn queued(&self) -> u64 {
        let batch = u64::try_from(self.batch_messages).unwrap_or(u64::MAX);
        self.backlog().saturating_sub(batch.max(1))
    }

    /// Messages in memory.
    const fn held(&self) -> usize {
        self.waiting_messages + self.batch_messages
    }

    /// Its part of the counts of its core, in constant time.
    pub(super) fn counts(&self) -> Counts {
        Counts {
            backlog: self.backlog(),
            memory_bytes: self.waiting_bytes + self.batch_bytes,
            active: match self.activity {
                Activity::BacksOff(_) => 0,
                _ => self.held(),
            },
        }
    }

    /// Whether there is no work left.
    pub(super) fn is_done(&self) -> bool {
        self.activity == Activity::Idle && self.backlog() == 0
    }

    /// Adds a message; if there is no room for it, it is only counted as one in the store.
    pub(super) fn push(&mut self, message: Waiting, memory_is_full: bool, windows: Windows) {
        let full = memory_is_full && !self.waiting.is_empty();
        let has_room =
            self.waiting_messages < windows.messages && self.waiting_bytes < windows.bytes;
        if full || self.stored > 0 || !has_room || self.activity == Activity::Parked {
            self.stored += u64::from(message.count);
            return;
        }
        self.waiting_messages += messages([&message]);
        self.waiting_bytes += message.size();
        self.waiting.push_back(message);
    }

    /// Records that an unknown number of messages is in the store.
    pub(super) fn note_stored(&mut self) {
        self.stored = self.stored.max(1);
    }

    /// Adds messages read from the store; `more` says whether further ones are left there.
    pub(super) fn load(&mut self, loaded: Vec<Waiting>, more: bool) {
        debug_assert!(
            self.waiting.is_empty() && self.batch.is_empty(),
            "what is read from the store comes first"
        );
        self.waiting_messages = messages(&loaded);
        let count = u64::try_from(self.waiting_messages).unwrap_or(u64::MAX);
        self.stored = if more {
            self.stored.saturating_sub(count).max(1)
        } else {
            0
        };
        self.waiting_bytes = loaded.iter().map(Waiting::size).sum();
        self.waiting = loaded.into();
    }

    /// Sets the activity.
    pub(super) fn set_activity(&mut self, activity: Activity) {
        debug_assert!(
            !matches!(activity, Activity::InFlight(_) | Activity::Parked),
            "{activity:?} has a method of its own"
        );
        self.activity = activity;
    }

    /// Makes the waiting messages the batch: all of them, or those on disk up to `durable`.
    pub(super) fn take_batch(&mut self, durable: Option<Position>) {
        debug_assert!(self.batch.is_empty(), "one batch at a time");
        let ready = match durable {
            None => self.waiting.len(),
            Some(durable) => {
                let is_durable = |message: &&Waiting| message.position <= durable;
                self.waiting.iter().take_while(is_durable).count()
            }
        };
        self.batch = self.waiting.drain(..ready).collect();
        self.batch_messages = messages(&self.batch);
        self.waiting_messages -= self.batch_messages;
        self.batch_bytes = self.batch.iter().map(Waiting::size).sum();
        self.waiting_bytes -= self.batch_bytes;
    }

    /// Records that the batch is in flight.
    pub(super) fn called(&mut self, call: CallId, attached: Attached, given: Given) {
        self.activity = Activity::InFlight(call);
        self.attached = attached;
        self.given = given;
    }

    pub(super) const fn given(&self) -> &Given {
        &self.given
    }

    /// Records that the function requested values. Returns how often it has, and how often in a row without a new one.
    pub(super) fn note_round(&mut self, found_new: bool) -> (u32, u32) {
        self.rounds += 1;
        self.stale_rounds = if found_new { 0 } else { self.stale_rounds + 1 };
        (self.rounds, self.stale_rounds)
    }

    /// Keeps an operator's change until the call returns.
    pub(super) fn defer(&mut self, ticket: Ticket, change: AdminChange) {
        self.changes.push((ticket, change));
    }

    /// Removes the batch, which was applied.
    pub(super) fn applied(&mut self) -> Closed {
        self.activity = Activity::Idle;
        self.forgive();
        self.last_failure = None;
        (self.batch_bytes, self.batch_messages) = (0, 0);
        Closed {
            batch: std::mem::take(&mut self.batch),
            changes: std::mem::take(&mut self.changes),
        }
    }

    /// Records that the batch failed; the caller decides what follows.
    pub(super) fn failed(&mut self, text: String) -> Closed {
        self.failures += 1;
        (self.rounds, self.stale_rounds) = (0, 0);
        self.last_failure = Some(text);
        Closed {
            batch: Vec::new(),
            changes: std::mem::take(&mut self.changes),
        }
    }

    /// Resets the failures.
    pub(super) const fn forgive(&mut self) {
        (self.failures, self.rounds, self.stale_rounds) = (0, 0, 0);
    }

    /// Parks the address: its messages are removed from memory, and stay in the store.
    pub(super) fn park(&mut self) {
        self.stored = self.backlog();
        self.batch = Vec::new();
        self.waiting = VecDeque::new();
        (self.batch_bytes, self.waiting_bytes) = (0, 0);
        (self.batch_messages, self.waiting_messages) = (0, 0);
        self.activity = Activity::Parked;
    }
}
