//! The partition core, a pure state machine: it decides which message is sent when, what a reply changes, and what is due.
//!
//! It takes inputs with the time, stages commits in the given store, and returns outputs. No I/O, no async runtime,
//! no clock, no randomness: production drives it with real calls, the simulator with simulated ones. May import `sdk`,
//! `protocol`, `retry`, and the rows and the store of `storage`.
//!
//! A commit is staged before its messages are passed on, so any prefix of the log is a consistent cut. Everything visible
//! outside (acknowledgements, answers, egress records, calls of functions that act on the outside) waits until its commit
//! is durable.

mod admin;
mod apply;
mod brought;
mod counts;
mod declared;
mod deliver;
mod effects;
pub mod failure;
mod function_types;
mod handshake;
mod held;
pub mod idempotency;
pub mod keys;
mod limits;
mod mailbox;
mod mailboxes;
mod quotas;
#[cfg(any(test, feature = "simulation"))]
mod recount;
mod recovery;
pub(crate) mod rows;
mod source;
mod start;
pub mod state;
mod sweep;
pub mod timers;
mod watch;
pub mod wire;

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

pub use self::admin::{AdminChange, QueueView};
pub use self::brought::Brought;
pub use self::counts::Counts;
pub use self::failure::{Failure, FailurePolicy, OnError, Parked, Verdict};
pub use self::function_types::TypeCounters;
pub use self::idempotency::IdempotencyKey;
pub use self::keys::{AddressKey, MessageId};
pub use self::limits::AnswerLimits;
pub use self::mailbox::{Activity, Message};
pub use self::quotas::TypeLoad;
pub use self::source::{SourceCore, SplitPosition};
pub use self::watch::ValueWatch;

use self::function_types::FunctionTypes;
use self::held::{Held, Release};
use self::mailboxes::{Mailboxes, Slot};
use self::timers::TimerWindow;
use crate::protocol::reqreply::FromFunction;
use crate::sdk::TypeName;
use crate::storage::{Position, Store};
use crate::time::Timestamp;

/// Function type of the callers at an ingress: a message to `statefun.http/gateway/<id>` answers a call.
pub const GATEWAY: (&str, &str) = ("statefun.http", "gateway");

/// Identifies a call; never used twice by one core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId {
    number: u64,
    /// The address of a call in progress.
    slot: Slot,
}

/// A number chosen by the caller, with which it recognises the result.
pub type Ticket = u64;

/// The binding of a function type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionBinding {
    /// The function acts on the outside: it is called only once its messages are on disk.
    pub after_durable: bool,
    /// Maximum messages waiting at one address before ingresses are refused; zero for no limit.
    pub max_backlog: u64,
}

/// The functions and egresses of the module, as a core needs them.
pub trait Bindings: fmt::Debug + Send + Sync {
    /// The function bound to a type, by its own name or by its namespace.
    fn function(&self, namespace: &str, name: &str) -> Option<FunctionBinding>;
    /// The egress of this name.
    fn egress(&self, namespace: &str, name: &str) -> Option<EgressBinding>;
    /// Whether some egress has reached a limit of undelivered records.
    fn has_full_egresses(&self) -> bool {
        false
    }
    /// Whether the egress whose rows begin with `egress` has reached its limit, for all functions or for those of type `sender`. Returns a message.
    fn full_egress(&self, _egress: &[u8], _sender: &[u8]) -> Option<String> {
        None
    }
    /// The watch of some values, which is notified of changes.
    fn watch(&self) -> Option<&dyn ValueWatch> {
        None
    }
}

/// The destination of an egress's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EgressBinding {
    /// To the outbox, from which a driver delivers them.
    Outbox,
    /// To a function of this type, as messages to the sender's id: an egress that is a delivery with a policy.
    Function(TypeName),
}

/// Settings of a core.
#[derive(Debug, Clone, Copy)]
pub struct CoreSettings {
    /// Number of this core, from 0.
    pub index: u8,
    /// The number of cores among which the ids are divided.
    pub cores: u8,
    /// Never call functions or fire timers. Default false.
    pub at_rest: bool,
    /// What to do with failing addresses.
    pub failure: FailurePolicy,
    /// Limits on one answer.
    pub answers: AnswerLimits,
    /// Messages waiting or in flight beyond which an ingress is refused. Messages between functions never are. Default 100,000.
    pub max_backlog: u64,
    /// The share of `max_backlog` and of `max_memory_bytes` that messages of one function type may use, in percent. Messages beyond
    /// it do not count against others. Default 50; 100 and more: no limit.
    pub type_share_percent: u8,
    /// Maximum bytes of messages in memory; beyond it further messages, and due timers, stay in the store. Default 64 MiB.
    pub max_memory_bytes: usize,
    /// Maximum messages in flight or about to be; beyond it due timers wait. Default 8,192.
    pub max_active: usize,
    /// Maximum calls in progress at the same time; further addresses wait for a slot. Default 8,192.
    pub max_calls: usize,
    /// How many waiting messages are in memory.
    pub windows: Windows,
}

/// How many waiting messages and timers are in memory, and how many are read and written at a time. The simulator makes these tiny.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    /// Messages of one address in memory; the others are read from the store when they are needed. Default 16,384.
    pub messages: usize,
    /// Bytes of messages of one address in memory. Default 8 MiB.
    pub bytes: usize,
    /// Timers read at a time; at most twice as many are in memory. Default 8,192.
    pub timers: usize,
    /// Timers fired in one commit. Default 256.
    pub fired_at_once: usize,
    /// Rows read at a time. Default 512.
    pub page: usize,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            messages: 16_384,
            bytes: 8 << 20,
            timers: 8_192,
            fired_at_once: 256,
            page: 512,
        }
    }
}

impl Default for CoreSettings {
    fn default() -> Self {
        Self {
            index: 0,
            cores: 1,
            at_rest: false,
            failure: FailurePolicy::default(),
            answers: AnswerLimits::default(),
            max_backlog: 100_000,
            type_share_percent: 50,
            max_memory_bytes: 64 << 20,
            max_active: 8_192,
            max_calls: 8_192,
            windows: Windows::default(),
        }
    }
}

impl CoreSettings {
    /// The share of one function type in `whole`, at least 1.
    pub fn share_of(&self, whole: u64) -> u64 {
        match self.type_share_percent {
            100.. => u64::MAX,
            percent => {
                (whole / 100 * u64::from(percent) + whole % 100 * u64::from(percent) / 100).max(1)
            }
        }
    }
}

/// A message from an ingress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The number by which the ingress recognises the result.
    pub ticket: Ticket,
    /// The target of the message.
    pub target: AddressKey,
    /// The encoded `TypedValue`.
    pub argument: Bytes,
    /// The gateway id for the answer; `None` if no answer is needed.
    pub gateway: Option<String>,
    /// The caller's idempotency key.
    pub key: Option<IdempotencyKey>,
}

/// An input of a core.
#[derive(Debug)]
pub enum Input {
    /// A message from an ingress.
    Arrive(Arrival),
    /// A message from a function of another core, whose row is staged.
    Deliver(Message),
    /// Messages of one batch of a source, whose rows are staged.
    DeliverAll(Vec<Message>),
    /// Like `Deliver`, without the message's content, which is read from the store when needed.
    Stored(Message),
    /// The result of a call.
    Answered {
        /// The call.
        call: CallId,
        /// The reply, or why there is none after all attempts.
        result: Result<FromFunction, Failure>,
    },
    /// Everything staged up to this position is on disk.
    Durable(Position),
    /// Time has passed.
    Tick,
    /// Search a page of rows for expired ones.
    Sweep,
    /// A change by an operator; the ticket is answered with [`Output::Changed`].
    Change(Ticket, AdminChange),
    /// The runtime is stopping: start no more calls.
    Drain,
}

/// Why a message of an ingress was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No function is bound to the type.
    UnknownFunction,
    /// A queue limit was reached.
    Full {
        /// The limit, as a message.
        what: String,
    },
    /// The idempotency key was used with another body.
    KeyReused,
    /// The store could not be read.
    Storage(String),
}

/// An output of a core: something to be done.
#[derive(Debug)]
pub enum Output {
    /// Call the function of `target`.
    Call {
        /// To be returned in [`Input::Answered`].
        call: CallId,
        /// The address.
        target: AddressKey,
        /// The encoded `ToFunction`.
        request: Bytes,
        /// Invocations in it.
        invocations: usize,
    },
    /// Pass a message to another core, in this order.
    Forward(u8, Message),
    /// The message is on disk.
    Accepted(Ticket),
    /// The message was refused, and nothing of it is stored.
    Refused(Ticket, Refusal),
    /// The key was answered before, with this answer; `None` for a message without one.
    Replayed(Ticket, Option<Bytes>),
    /// The first message with this key is still being processed; its answer will go to this gateway.
    Attached(Ticket, String),
    /// The answer to a call: gateway id and encoded `TypedValue`.
    Answer(String, Bytes),
    /// A record for an egress, on disk in [`keys::OUTBOX`].
    Egress {
        /// The prefix of its row key: the egress.
        egress: Bytes,
        /// The end of its row key.
        id: MessageId,
        /// The encoded `TypedValue`.
        record: Bytes,
        /// The type of the function that sent it, as in keys.
        sender: Bytes,
        /// The position of its commit.
        position: Position,
    },
    /// An operator's change was made, or the reason why not.
    Changed(Ticket, Result<(), String>),
    /// A batch failed.
    Failed {
        /// The address.
        address: AddressKey,
        /// Why.
        failure: Failure,
        /// Attempts so far.
        attempt: u32,
        /// Messages in the batch.
        invocations: usize,
        /// The consequence.
        verdict: Verdict,
    },
    /// A warning for operators.
    Warning(String),
}

impl Output {
    /// Whether it only tells somebody outside what became of a message.
    pub const fn is_acknowledgement(&self) -> bool {
        matches!(
            self,
            Self::Accepted(_) | Self::Replayed(..) | Self::Attached(..) | Self::Answer(..)
        )
    }
}

/// One partition: all addresses whose ids belong to it.
#[derive(Debug)]
pub struct Core {
    settings: CoreSettings,
    bindings: Arc<dyn Bindings>,
    store: Store,
    now: Timestamp,
    boot: u32,
    next_number: u64,
    next_call: u64,
    types: FunctionTypes,
    mailboxes: Mailboxes,
    /// Calls in progress.
    calls: usize,
    /// Addresses that wait for a call slot, oldest first.
    call_queue: VecDeque<Slot>,
    /// Messages that this core sent to itself, delivered when the current step is done.
    local: VecDeque<Message>,
    held: Held,
    durable: Position,
    timers: TimerWindow,
    backoffs: BTreeSet<(Timestamp, Slot)>,
    /// The last number that arrived from each core and each source: messages in the store beyond it are still on their way.
    arrived: Vec<u64>,
    recovery: recovery::Recovery,
    sweep: sweep::SweepPosition,
    draining: bool,
    /// Bytes of messages on their way here, which count like those in memory.
    on_its_way: usize,
}

impl Core {
    /// A core with the data of `store`. Waiting messages are found and called with the first [`Input::Tick`].
    pub fn new(settings: CoreSettings, bindings: Arc<dyn Bindings>, store: Store) -> Self {
        Self {
            boot: u32::try_from(store.boot()).unwrap_or(u32::MAX),
            next_number: 1,
            next_call: 1,
            now: Timestamp::default(),
            types: FunctionTypes::default(),
            mailboxes: Mailboxes::new(settings.share_of(settings.max_backlog)),
            calls: 0,
            call_queue: VecDeque::new(),
            local: VecDeque::new(),
            held: Held::default(),
            durable: store.durable(),
            timers: TimerWindow::unread(settings.windows.timers),
            backoffs: BTreeSet::new(),
            arrived: vec![0; usize::from(u8::MAX) + 1],
            recovery: recovery::Recovery::start(),
            sweep: sweep::SweepPosition::default(),
            draining: settings.at_rest,
            on_its_way: 0,
            settings,
            bindings,
            store,
        }
    }

    /// Handles one input at the time `now`, and appends outputs to `out`.
    pub fn handle(&mut self, input: Input, now: Timestamp, out: &mut Vec<Output>) {
        self.now = now;
        if !self.knows_parked(out) {
            return self.not_yet(input, out);
        }
        match input {
            Input::Arrive(arrival) => self.arrive(arrival, out),
            Input::Deliver(message) => self.deliver(message, out),
            Input::DeliverAll(messages) => self.deliver_all(messages, out),
            Input::Stored(message) => self.deliver_stored(message, out),
            Input::Answered { call, result } => self.answered(call, result, out),
            Input::Durable(position) => self.release(position, out),
            Input::Tick => {}
            Input::Sweep => self.sweep(out),
            Input::Change(ticket, change) => self.change(ticket, change, out),
            Input::Drain => self.draining = true,
        }
        self.settle(out);
    }

    /// Handles an input while the parked addresses cannot be read: nothing is accepted.
    fn not_yet(&mut self, input: Input, out: &mut Vec<Output>) {
        const WHY: &str = "the store cannot be read";
        match input {
            Input::Arrive(arrival) => {
                let refusal = Refusal::Storage(WHY.into());
                out.push(Output::Refused(arrival.ticket, refusal));
            }
            Input::Change(ticket, _) => out.push(Output::Changed(ticket, Err(WHY.into()))),
            // Recovery will find its row.
            Input::Deliver(message) | Input::Stored(message) => self.note_arrival(message.id),
            Input::DeliverAll(messages) => {
                for message in messages {
                    self.note_arrival(message.id);
                }
            }
            Input::Durable(position) => self.durable = self.durable.max(position),
            Input::Drain => self.draining = true,
            Input::Answered { .. } | Input::Tick | Input::Sweep => {}
        }
    }

    /// The follow-up work of a step: messages to itself, due retries and timers, addresses still to be recovered.
    fn settle(&mut self, out: &mut Vec<Output>) {
        loop {
            while let Some(message) = self.local.pop_front() {
                self.deliver(message, out);
            }
            self.start_queued(out);
            self.retry_due(out);
            self.recover(out);
            self.fire_due(out);
            let has_queued = !self.call_queue.is_empty() && self.may_call();
            if self.local.is_empty() && !has_queued {
                return;
            }
        }
    }

    /// When the next [`Input::Tick`] is needed; `None` if nothing waits for a time.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.draining {
            return None;
        }
        let retry = self.backoffs.first().map(|(at, _)| *at);
        let retry = retry.filter(|_| self.may_call());
        if self.is_busy() {
            return retry;
        }
        let recovery = (!self.recovery.is_done()).then_some(self.now);
        let stored = self.timers.next_due().into_iter().chain(recovery).min();
        let stored = stored.map(|at| self.rests().map_or(at, |until| at.max(until)));
        retry.into_iter().chain(stored).min()
    }

    /// Calls in progress.
    pub const fn in_flight(&self) -> usize {
        self.calls
    }

    /// The number of this core.
    pub const fn index(&self) -> u8 {
        self.settings.index
    }

    /// The position up to which everything is known to be on disk.
    pub const fn durable(&self) -> Position {
        self.durable
    }

    /// Whether anything waits for the disk.
    pub fn awaits_disk(&self) -> bool {
        !self.held.is_empty()
    }

    /// Gives up the acknowledgements and answers that wait for the disk, in the order of their positions: whoever takes them tells them when
    /// they are durable.
    pub fn take_acknowledgements(&mut self) -> impl Iterator<Item = (Position, Output)> {
        self.held.take_acknowledgements()
    }

    /// Counts this many bytes of messages on their way here like those in memory.
    pub const fn note_on_its_way(&mut self, bytes: usize) {
        self.on_its_way = bytes;
    }

    /// Known messages that wait or are in flight.
    pub const fn backlog(&self) -> u64 {
        self.mailboxes.counts().backlog
    }

    /// The counts of the core.
    pub const fn counts(&self) -> Counts {
        self.mailboxes.counts()
    }

    /// Counters of each type, with its namespace and name.
    pub fn counters(&self) -> impl Iterator<Item = (&str, &str, TypeCounters)> {
        self.types.iter().map(|(_, function_type)| {
            let (namespace, name) = function_type.names();
            (namespace, name, function_type.counters)
        })
    }

    /// Whether memory has too many messages for timers and recovery to add more. Messages that wait for a retry count only with their
    /// bytes, so that a failing function does not delay the timers of others.
    const fn is_busy(&self) -> bool {
        let counts = self.mailboxes.counts();
        counts.active >= self.settings.max_active
            || counts.memory_bytes + self.on_its_way >= self.settings.max_memory_bytes
    }

    fn owner_of(&self, id: &str) -> u8 {
        if self.settings.cores <= 1 {
            return self.settings.index;
        }
        self.owner_of_hash(keys::id_hash(id))
    }

    fn owner_of_hash(&self, hash: u32) -> u8 {
        owner(hash, self.settings.cores)
    }

    fn next_id(&mut self) -> MessageId {
        let number = self.next_number << 8 | u64::from(self.settings.index);
        self.next_number += 1;
        MessageId {
            boot: self.boot,
            number,
        }
    }

    /// A position after everything staged so far, by any core.
    fn behind_all(&self) -> Position {
        self.store.stage(Vec::new())
    }

    /// Holds `output` until `position` is durable.
    fn hold(&mut self, position: Position, output: Output, out: &mut Vec<Output>) {
        if position <= self.durable {
            out.push(output);
        } else {
            self.held.output(position, output);
        }
    }

    fn release(&mut self, position: Position, out: &mut Vec<Output>) {
        self.durable = self.durable.max(position);
        while let Some(release) = self.held.pop(self.durable) {
            match release {
                Release::Output(output) => out.push(output),
                Release::Start(slot) => self.start_waiting(slot, Activity::AwaitsDisk, out),
            }
        }
    }
}

/// The core, among `cores`, of an id with this hash.
pub fn owner(hash: u32, cores: u8) -> u8 {
    u8::try_from(hash % u32::from(cores.max(1))).unwrap_or_default()
}
