//! What waits at one address, and what is being done about it.

use std::collections::VecDeque;

use bytes::Bytes;

use super::counts::Counts;
use super::function_types::TypeId;
use super::keys::{AddressKey, MessageId};
use super::watch::Given;
use super::{AdminChange, CallId, Ticket, Windows};
use crate::storage::Position;
use crate::time::Timestamp;

/// A message on its way to an address. Its row is staged already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Whom it goes to.
    pub target: AddressKey,
    /// Its id; the end of its row's key.
    pub id: MessageId,
    /// The encoded `ToFunction.Invocation`.
    pub invocation: Bytes,
    /// The commit that holds it.
    pub position: Position,
}

impl Message {
    /// The message without its content, for whoever reads that from its row.
    #[must_use]
    pub fn without_content(self) -> Self {
        Self {
            invocation: Bytes::new(),
            ..self
        }
    }
}

/// A message at its address.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    /// Its id.
    pub id: MessageId,
    /// The encoded `ToFunction.Invocation`.
    pub invocation: Bytes,
    /// The commit that holds it.
    pub position: Position,
}

impl Waiting {
    /// Bytes of memory that it takes.
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
    /// It is set aside until it is resumed.
    Parked,
}

/// What a call took with it of its type's states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attached {
    /// Nothing, because the batch is sent again: the function declares its states anew.
    Nothing,
    /// All that were known.
    States,
}

/// One address with something to do.
///
/// What it counts changes only while [`Mailboxes`](super::mailboxes::Mailboxes) looks on: its fields are written here alone.
#[derive(Debug)]
pub(super) struct Mailbox {
    type_id: TypeId,
    activity: Activity,
    /// The batch that is in flight, or failed and will be sent again.
    batch: Vec<Waiting>,
    batch_bytes: usize,
    /// What arrived since, oldest first.
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// Messages behind `waiting` that are in the store only; a lower bound, zero when there are none.
    stored: u64,
    attached: Attached,
    /// What the call was given of the watched value.
    given: Given,
    failures: u32,
    /// Incomplete answers to the present batch since its last failure.
    rounds: u32,
    /// Incomplete answers in a row that brought nothing new.
    stale_rounds: u32,
    last_failure: Option<String>,
    /// Changes by an operator that wait for the call to return.
    changes: Vec<(Ticket, AdminChange)>,
}

/// What an address has got rid of when its batch was applied or has failed.
pub(super) struct Closed {
    /// The batch, if it was applied.
    pub(super) batch: Vec<Waiting>,
    /// Changes by an operator that waited for it.
    pub(super) changes: Vec<(Ticket, AdminChange)>,
}

impl Mailbox {
    /// An address with nothing to do yet.
    pub(super) const fn new(type_id: TypeId) -> Self {
        Self {
            type_id,
            activity: Activity::Idle,
            batch: Vec::new(),
            batch_bytes: 0,
            waiting: VecDeque::new(),
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

    /// What the address is doing.
    pub(super) const fn activity(&self) -> Activity {
        self.activity
    }

    /// Messages of the batch that is in flight or failed.
    pub(super) const fn batch(&self) -> &Vec<Waiting> {
        &self.batch
    }

    /// Messages that wait in memory, oldest first.
    pub(super) const fn waiting(&self) -> &VecDeque<Waiting> {
        &self.waiting
    }

    /// Whether messages wait in the store only.
    pub(super) const fn has_stored(&self) -> bool {
        self.stored > 0
    }

    /// What the call that is out took with it.
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

    /// Messages that wait, besides those of the batch.
    pub(super) fn waits(&self) -> u64 {
        self.stored + u64::try_from(self.waiting.len()).unwrap_or(u64::MAX)
    }

    /// Messages that wait as StateFun counts them: it calls the first one at once, so one of those that are here is on its way.
    pub(super) fn queued(&self) -> u64 {
        let batch = u64::try_from(self.batch.len()).unwrap_or(u64::MAX);
        self.backlog().saturating_sub(batch.max(1))
    }

    /// Messages that are held in memory.
    fn held(&self) -> usize {
        self.waiting.len() + self.batch.len()
    }

    /// What it adds to the counts of its core. Takes the same time however much it holds.
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

    /// Whether nothing is left to do.
    pub(super) fn is_done(&self) -> bool {
        self.activity == Activity::Idle && self.backlog() == 0
    }

    /// Takes a message in, or counts it as one in the store only when there is no room for it here.
    pub(super) fn push(&mut self, message: Waiting, memory_is_full: bool, windows: Windows) {
        let full = memory_is_full && !self.waiting.is_empty();
        let has_room = self.waiting.len() < windows.messages && self.waiting_bytes < windows.bytes;
        if full || self.stored > 0 || !has_room || self.activity == Activity::Parked {
            self.stored += 1;
            return;
        }
        self.waiting_bytes += message.size();
        self.waiting.push_back(message);
    }

    /// Messages are in the store, nobody knows how many.
    pub(super) fn note_stored(&mut self) {
        self.stored = self.stored.max(1);
    }

    /// Takes in what was read from the store; `more` is left there.
    pub(super) fn load(&mut self, loaded: Vec<Waiting>, more: bool) {
        debug_assert!(
            self.waiting.is_empty() && self.batch.is_empty(),
            "what is read from the store comes first"
        );
        let count = u64::try_from(loaded.len()).unwrap_or(u64::MAX);
        self.stored = if more {
            self.stored.saturating_sub(count).max(1)
        } else {
            0
        };
        self.waiting_bytes = loaded.iter().map(Waiting::size).sum();
        self.waiting = loaded.into();
    }

    /// Waits for something, or goes on.
    pub(super) fn set_activity(&mut self, activity: Activity) {
        debug_assert!(
            !matches!(activity, Activity::InFlight(_) | Activity::Parked),
            "{activity:?} has a method of its own"
        );
        self.activity = activity;
    }

    /// Makes what waits the batch: all of it, or what is on disk up to `durable`.
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
        self.batch_bytes = self.batch.iter().map(Waiting::size).sum();
        self.waiting_bytes -= self.batch_bytes;
    }

    /// The batch is out.
    pub(super) fn called(&mut self, call: CallId, attached: Attached, given: Given) {
        self.activity = Activity::InFlight(call);
        self.attached = attached;
        self.given = given;
    }

    pub(super) const fn given(&self) -> &Given {
        &self.given
    }

    /// The function asked for values. Gives how often it has, and how often in a row without naming a new one.
    pub(super) fn note_round(&mut self, found_new: bool) -> (u32, u32) {
        self.rounds += 1;
        self.stale_rounds = if found_new { 0 } else { self.stale_rounds + 1 };
        (self.rounds, self.stale_rounds)
    }

    /// Keeps an operator's change until the call returns.
    pub(super) fn defer(&mut self, ticket: Ticket, change: AdminChange) {
        self.changes.push((ticket, change));
    }

    /// The batch was applied.
    pub(super) fn applied(&mut self) -> Closed {
        self.activity = Activity::Idle;
        self.forgive();
        self.last_failure = None;
        self.batch_bytes = 0;
        Closed {
            batch: std::mem::take(&mut self.batch),
            changes: std::mem::take(&mut self.changes),
        }
    }

    /// The batch failed; what follows is up to the caller.
    pub(super) fn failed(&mut self, text: String) -> Closed {
        self.failures += 1;
        (self.rounds, self.stale_rounds) = (0, 0);
        self.last_failure = Some(text);
        Closed {
            batch: Vec::new(),
            changes: std::mem::take(&mut self.changes),
        }
    }

    /// Failures count no longer.
    pub(super) const fn forgive(&mut self) {
        (self.failures, self.rounds, self.stale_rounds) = (0, 0, 0);
    }

    /// The address is set aside: memory forgets its messages, the store has them.
    pub(super) fn park(&mut self) {
        self.stored = self.backlog();
        self.batch = Vec::new();
        self.waiting = VecDeque::new();
        (self.batch_bytes, self.waiting_bytes) = (0, 0);
        self.activity = Activity::Parked;
    }
}
