//! What a schedule knows: every message with what its processing did, and what each address must be doing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;

use super::ensure;
use crate::runtime::core::CallId;
use crate::runtime::core::idempotency::{self, StoredAnswer};
use crate::time::Timestamp;

/// Number of a message; it is what the message carries.
pub(super) type Id = usize;
/// Number of an address in the plan.
pub(super) type AddressIndex = usize;

/// Step of a message that is on its way to its core.
pub(super) const NOT_YET: u64 = u64::MAX;

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// Nowhere: never sent, cancelled, or lost in a crash. It must not reappear.
    Gone,
    /// It is a delayed message, and not due.
    Armed,
    /// At its address, or on its way there.
    Waiting,
    /// Its effects were applied.
    Done,
}

/// Who sent a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sender {
    Ingress,
    /// An ingress that waits for the answer; the gateway has the number of the message.
    Gateway,
    Function(AddressIndex),
}

/// The origins of messages, in the order in which they are staged within a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// An ingress, or a function.
    Send,
    /// A function by way of an egress that is a function.
    Egress,
    /// A timer.
    Fire,
}

/// Step and stage in which a message was staged, when it was due, and the number of one that was not delayed.
pub(super) type Moment = (u64, Stage, Timestamp, Option<Id>);

/// When a message was staged, and by which core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) boot: u64,
    pub(super) core: u8,
    pub(super) order: Moment,
}

/// A message.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) target: AddressIndex,
    pub(super) sender: Sender,
    pub(super) status: Status,
    /// Of a delayed message: when it is due.
    pub(super) due: Option<Timestamp>,
    /// Of a delayed message: the start and the core that armed it.
    pub(super) armed: (u64, u8),
    pub(super) token: Option<&'static str>,
    /// The message whose processing made it; `None` when an ingress brought it.
    pub(super) parent: Option<Id>,
    pub(super) turn: Turn,
    /// The step in which it, or its timer, was staged.
    pub(super) made: u64,
    /// The step in which its effects were staged.
    pub(super) done: u64,
    /// Of a message with an idempotency key: the row, and until when it counts.
    pub(super) key: Option<(Bytes, Timestamp)>,
    /// The step in which it reached its core.
    pub(super) since: u64,
    pub(super) acknowledged: bool,
    /// What its last processing did.
    pub(super) outcome: Outcome,
    /// An effect of its processing was seen outside, so it stays processed.
    pub(super) is_shown: bool,
    /// A function that acts on the outside was called with it, so it must survive.
    pub(super) is_relied_on: bool,
}

/// What the processing of one message did.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    pub(super) children: Vec<Id>,
    /// Those of them that went by way of an egress.
    pub(super) by_egress: Vec<Id>,
    pub(super) cancelled: Vec<Id>,
    pub(super) records: Vec<usize>,
    pub(super) answers: Vec<usize>,
}

/// An egress record.
#[derive(Debug, Clone)]
pub(super) struct EgressRecord {
    pub(super) maker: Id,
    /// Whether it is in the outbox.
    pub(super) is_kept: bool,
    /// Whether the egress has taken it, so that it may be gone from the outbox.
    pub(super) is_taken: bool,
    /// Whether this start has seen it.
    pub(super) is_out: bool,
}

/// A message to a gateway.
#[derive(Debug, Clone)]
pub(super) struct Answered {
    pub(super) maker: Id,
    pub(super) gateway: String,
    /// Its batch was applied since the start, and it was not seen yet.
    pub(super) is_owed: bool,
}

/// A value that expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) value: u64,
    pub(super) stamp: Timestamp,
}

/// An operator's change of the state `note`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Note {
    pub(super) ticket: u64,
    pub(super) made: u64,
    pub(super) acknowledged: bool,
}

/// A call in progress.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) index: AddressIndex,
    pub(super) batch: Vec<Id>,
    /// The names of the states that went with it.
    pub(super) names: Vec<String>,
}

/// What is known about the current start only.
#[derive(Debug, Default)]
pub(super) struct Boot {
    pub(super) calls: BTreeMap<(u8, CallId), Call>,
    /// States by core and type, in the order in which they were asked for.
    pub(super) known: BTreeMap<(u8, usize), Vec<String>>,
    /// Batches that must be called again as they are: the same messages, and whether with states.
    pub(super) again: BTreeMap<AddressIndex, (Vec<Id>, bool)>,
    pub(super) backoffs: BTreeMap<AddressIndex, Timestamp>,
    /// Changes that wait for the call to return.
    pub(super) deferred: Vec<(AddressIndex, u64)>,
    /// Attempts to resume an address, and whether each must succeed.
    pub(super) resumes: BTreeMap<u64, bool>,
    /// Messages with a repeated key, and the required answer.
    pub(super) repeats: BTreeMap<u64, (idempotency::Outcome, u64)>,
    /// Row keys of the records that were seen.
    pub(super) rows: BTreeMap<usize, Bytes>,
    pub(super) failures: BTreeMap<AddressIndex, u32>,
}

/// The whole model.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) entries: Vec<Entry>,
    pub(super) records: Vec<EgressRecord>,
    pub(super) answers: Vec<Answered>,
    /// Messages in the order in which each address processed them.
    pub(super) logs: BTreeMap<AddressIndex, Vec<Id>>,
    pub(super) cells: BTreeMap<(AddressIndex, &'static str), Cell>,
    pub(super) notes: BTreeMap<AddressIndex, Vec<Note>>,
    pub(super) keys: BTreeMap<Bytes, StoredAnswer>,
    /// Calls whose answer is kept under a key.
    pub(super) gateways: BTreeMap<String, Bytes>,
    pub(super) parked: BTreeSet<AddressIndex>,
    pub(super) boot: Boot,
    order: Order,
}

impl Model {
    pub(super) fn entry(&self, id: Id) -> &Entry {
        self.entries.get(id).expect("numbers are given out here")
    }

    pub(super) fn entry_mut(&mut self, id: Id) -> &mut Entry {
        self.entries
            .get_mut(id)
            .expect("numbers are given out here")
    }

    /// A message that exists from the moment its status says so.
    pub(super) fn add(&mut self, target: AddressIndex, sender: Sender, parent: Option<Id>) -> Id {
        let id = self.entries.len();
        self.entries.push(Entry {
            target,
            sender,
            status: Status::Gone,
            due: None,
            armed: (0, 0),
            token: None,
            parent,
            turn: Turn {
                boot: 0,
                core: 0,
                order: (0, Stage::Send, Timestamp::default(), None),
            },
            made: NOT_YET,
            done: NOT_YET,
            key: None,
            since: NOT_YET,
            acknowledged: false,
            outcome: Outcome::default(),
            is_shown: false,
            is_relied_on: false,
        });
        id
    }

    /// Numbers of the messages with this status.
    pub(super) fn with(&self, status: Status) -> impl Iterator<Item = Id> + '_ {
        let entries = self.entries.iter().enumerate();
        entries
            .filter(move |(_, entry)| entry.status == status)
            .map(|(id, _)| id)
    }

    /// Messages that wait at `index`, those on their way included.
    pub(super) fn waiting_at(&self, index: AddressIndex) -> impl Iterator<Item = Id> + '_ {
        let waiting = self.with(Status::Waiting);
        waiting.filter(move |id| self.entry(*id).target == index)
    }

    /// The call in progress for `index`.
    pub(super) fn call_of(&self, index: AddressIndex) -> Option<&Call> {
        self.boot.calls.values().find(|call| call.index == index)
    }

    /// The last change of the note that was made.
    pub(super) fn note(&self, index: AddressIndex) -> Option<u64> {
        let made = self.notes.get(&index)?;
        made.last().map(|note| note.ticket)
    }

    /// Applies the operator's changes that waited for the call at `index`.
    pub(super) fn make_deferred(&mut self, index: AddressIndex, step: u64) {
        let deferred = std::mem::take(&mut self.boot.deferred);
        let (now, later) = deferred.into_iter().partition(|(at, _)| *at == index);
        self.boot.deferred = later;
        let now: Vec<(AddressIndex, u64)> = now;
        for (index, ticket) in now {
            self.change_note(index, ticket, step);
        }
    }

    pub(super) fn change_note(&mut self, index: AddressIndex, ticket: u64, step: u64) {
        self.notes.entry(index).or_default().push(Note {
            ticket,
            made: step,
            acknowledged: false,
        });
    }

    /// Records that `index` has processed `id`, and checks the order.
    pub(super) fn process(&mut self, index: AddressIndex, id: Id) -> Result<(), String> {
        self.entry_mut(id).status = Status::Done;
        self.logs.entry(index).or_default().push(id);
        let entry = self.entry(id).clone();
        self.order.check(index, id, &entry)
    }

    /// After a crash the order begins with what is left of the logs.
    pub(super) fn rebuild_order(&mut self) -> Result<(), String> {
        self.order = Order::default();
        let logs = self.logs.clone();
        for (index, log) in logs {
            for id in log {
                let entry = self.entry(id).clone();
                self.order.check(index, id, &entry)?;
            }
        }
        Ok(())
    }
}

/// When a message was sent: the start, and its place within it.
type SentAt = (u64, Stage, Id);
/// The start and the core in which a timer was armed, and those in which it fired.
type Cores = [(u64, u8); 2];

/// The last message at each address, among those with a guaranteed order: the next one must be later.
#[derive(Debug, Default)]
struct Order {
    by_core: BTreeMap<(AddressIndex, u64, u8), (Moment, Id)>,
    by_sender: BTreeMap<(AddressIndex, Sender), (SentAt, Id)>,
    /// Of one millisecond, by the start and the core that armed them, and those in which they fired.
    by_arming: BTreeMap<(AddressIndex, Timestamp, Cores), (Id, Id)>,
    by_arming_sender: BTreeMap<(AddressIndex, Timestamp, Sender), (Id, Id)>,
}

impl Order {
    fn check(&mut self, index: AddressIndex, id: Id, entry: &Entry) -> Result<(), String> {
        let Turn { boot, core, order } = entry.turn;
        later(&mut self.by_core, (index, boot, core), order, id)?;
        let Some(due) = entry.due else {
            let turn = (order.0, order.1, id);
            return later(&mut self.by_sender, (index, entry.sender), turn, id);
        };
        let cores = [entry.armed, (boot, core)];
        later(&mut self.by_arming, (index, due, cores), id, id)?;
        later(
            &mut self.by_arming_sender,
            (index, due, entry.sender),
            id,
            id,
        )
    }
}

/// `turn` is not before the one that was noted last under `key`.
fn later<K: Ord + fmt::Debug, T: Ord>(
    last: &mut BTreeMap<K, (T, Id)>,
    key: K,
    turn: T,
    id: Id,
) -> Result<(), String> {
    if let Some((before, other)) = last.get(&key) {
        ensure(*before <= turn, || {
            format!("message {id} should have come before message {other}, by {key:?}")
        })?;
    }
    last.insert(key, (turn, id));
    Ok(())
}
