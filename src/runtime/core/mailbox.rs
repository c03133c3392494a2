//! What waits at one address, and what is being done about it.

use std::collections::VecDeque;

use bytes::Bytes;

use super::function_types::TypeId;
use super::keys::{AddressKey, MessageId};
use super::{AdminChange, CallId, Ticket, Windows};
use crate::storage::Position;
use crate::timestamp::Timestamp;

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
    /// As many calls are out as may.
    AwaitsTurn,
    /// The first call of its type is out, and the type's states are not known yet.
    AwaitsType,
    /// A call is out.
    InFlight(CallId),
    /// Its batch failed and is sent again then.
    BacksOff(Timestamp),
    /// It is set aside until it is resumed.
    Parked,
}

/// One address with something to do.
#[derive(Debug)]
pub(super) struct Mailbox {
    /// The function type of the address.
    pub type_id: TypeId,
    /// What the address is doing.
    pub activity: Activity,
    /// The batch that is in flight, or failed and will be sent again.
    pub batch: Vec<Waiting>,
    /// What arrived since, oldest first.
    pub waiting: VecDeque<Waiting>,
    /// Bytes of `waiting`.
    pub waiting_bytes: usize,
    /// Messages behind `waiting` that are in the store only; a lower bound, zero when there are none.
    pub stored: u64,
    /// Failures in a row of the present batch.
    pub failures: u32,
    /// Incomplete answers in a row that brought nothing new.
    pub stale_handshakes: u32,
    /// The text of the last failure.
    pub last_failure: Option<String>,
    /// Changes by an operator that wait for the call to return.
    pub changes: Vec<(Ticket, AdminChange)>,
}

impl Mailbox {
    /// An address with nothing to do yet.
    pub(super) const fn new(type_id: TypeId) -> Self {
        Self {
            type_id,
            activity: Activity::Idle,
            batch: Vec::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            stored: 0,
            failures: 0,
            stale_handshakes: 0,
            last_failure: None,
            changes: Vec::new(),
        }
    }

    /// Takes a message in. `false`: it stays in the store only, behind what is held here.
    pub(super) fn push(
        &mut self,
        message: Waiting,
        memory_is_full: bool,
        windows: Windows,
    ) -> bool {
        let full = memory_is_full && !self.waiting.is_empty();
        let has_room = self.waiting.len() < windows.messages && self.waiting_bytes < windows.bytes;
        if full || self.stored > 0 || !has_room || self.activity == Activity::Parked {
            self.stored += 1;
            return false;
        }
        self.waiting_bytes += message.size();
        self.waiting.push_back(message);
        true
    }

    /// Messages that wait or are in flight.
    pub(super) fn backlog(&self) -> u64 {
        self.stored + u64::try_from(self.waiting.len() + self.batch.len()).unwrap_or(u64::MAX)
    }

    /// Messages that wait behind those in flight.
    pub(super) fn waiting(&self) -> u64 {
        self.stored + u64::try_from(self.waiting.len()).unwrap_or(u64::MAX)
    }

    /// Messages that wait as StateFun counts them: it calls the first one at once, so one of those that are here is on its way.
    pub(super) fn queued(&self) -> u64 {
        let batch = u64::try_from(self.batch.len()).unwrap_or(u64::MAX);
        self.backlog().saturating_sub(batch.max(1))
    }

    /// Messages that are held in memory.
    pub(super) fn held(&self) -> usize {
        self.waiting.len() + self.batch.len()
    }

    /// Bytes of those.
    pub(super) fn held_bytes(&self) -> usize {
        let batch = self.batch.iter().map(Waiting::size);
        self.waiting_bytes + batch.sum::<usize>()
    }

    /// Messages that are held in memory and move on without a wait.
    pub(super) fn active(&self) -> usize {
        match self.activity {
            Activity::BacksOff(_) => 0,
            _ => self.held(),
        }
    }

    /// Whether nothing is left to do.
    pub(super) fn is_done(&self) -> bool {
        self.activity == Activity::Idle
            && self.batch.is_empty()
            && self.waiting.is_empty()
            && self.stored == 0
    }
}
