//! The partition core: which message goes where and when, what a reply changes, what is due. A pure state machine.
//!
//! Inputs go in with the time; commits are staged in the store that is passed in; outputs come out. No I/O, no async runtime,
//! no clock, no randomness: production drives it with real calls, the simulator with invented ones. May import `sdk`,
//! `protocol`, `retry`, and of `storage` the rows and the store it stages into.
//!
//! Order of things: a commit is staged before its messages are handed on, so any prefix of the log is a consistent cut. What is
//! visible outside (acknowledgement, answer, egress record, the call of a function that acts outside) waits until its commit
//! is durable.

mod admin;
mod apply;
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
pub use self::counts::Counts;
pub use self::failure::{Failure, FailurePolicy, OnError, Parked, Verdict};
pub use self::function_types::TypeCounters;
pub use self::idempotency::IdempotencyKey;
pub use self::keys::{AddressKey, MessageId};
pub use self::limits::AnswerLimits;
pub use self::mailbox::{Activity, Message};
pub use self::quotas::TypeLoad;
pub use self::source::{Brought, SourceCore, SplitPosition};
pub use self::watch::ValueWatch;

use self::function_types::FunctionTypes;
use self::held::{Held, Release};
use self::mailboxes::{Mailboxes, Slot};
use self::timers::TimerWindow;
use crate::protocol::reqreply::FromFunction;
use crate::sdk::TypeName;
use crate::storage::{Position, Store};
use crate::time::Timestamp;

/// Function type of the callers that an ingress stands for: what is sent to `statefun.http/gateway/<id>` answers a call.
pub const GATEWAY: (&str, &str) = ("statefun.http", "gateway");

/// Tells calls apart; never used twice by one core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId {
    number: u64,
    /// Whose call it is, as long as it is out.
    slot: Slot,
}

/// The caller's own mark on something it will be told about.
pub type Ticket = u64;

/// What is bound to a function type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionBinding {
    /// The function acts on the outside: it is called only when its messages are on disk.
    pub after_durable: bool,
    /// Messages of one address that an ingress may add to; zero for no bound.
    pub max_backlog: u64,
}

/// What a core has to know of the module: which functions and egresses exist.
pub trait Bindings: fmt::Debug + Send + Sync {
    /// The function bound to a type, by its own name or by its namespace.
    fn function(&self, namespace: &str, name: &str) -> Option<FunctionBinding>;
    /// The egress of this name.
    fn egress(&self, namespace: &str, name: &str) -> Option<EgressBinding>;
    /// Whether some egress has so many undelivered records that no more should be made.
    fn has_full_egresses(&self) -> bool {
        false
    }
    /// Whether the egress whose rows begin with `egress` has, of all functions or of those of the type `sender`: what is full, in words.
    fn full_egress(&self, _egress: &[u8], _sender: &[u8]) -> Option<String> {
        None
    }
    /// Who wants to hear of changes of some values.
    fn watch(&self) -> Option<&dyn ValueWatch> {
        None
    }
}

/// Where the records of an egress go.
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
    /// How many cores share the ids.
    pub cores: u8,
    /// Nothing is called and nothing fires, from the start. Default false.
    pub at_rest: bool,
    /// What happens to addresses that fail.
    pub failure: FailurePolicy,
    /// How much one answer may ask for.
    pub answers: AnswerLimits,
    /// Messages waiting or in flight beyond which an ingress is refused. Messages between functions never are. Default 100,000.
    pub max_backlog: u64,
    /// How much of `max_backlog` and of `max_memory_bytes` the messages of one function type may take, in percent. What it has beyond
    /// that does not count against others. Default 50; 100 and more: no such bound.
    pub type_share_percent: u8,
    /// Bytes of messages held in memory beyond which further ones, and due timers, stay in the store. Default 64 MiB.
    pub max_memory_bytes: usize,
    /// Messages in flight and on their way there beyond which due timers wait. Default 8,192.
    pub max_active: usize,
    /// Maximum calls in progress at the same time; further addresses wait for a slot. Default 8,192.
    pub max_calls: usize,
    /// How much of what waits is in memory.
    pub windows: Windows,
}

/// How much of what waits is held in memory, and how much is read and written at a time. The simulator makes them tiny.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    /// Messages of one address in memory; the rest is read from the store when its turn comes. Default 16,384.
    pub messages: usize,
    /// Bytes of messages of one address in memory. Default 8 MiB.
    pub bytes: usize,
    /// Timers that are read at a time; twice as many are in memory at most. Default 8,192.
    pub timers: usize,
    /// Timers that fire in one commit. Default 256.
    pub fired_at_once: usize,
    /// Rows that are read at a time. Default 512.
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
    /// The share of one function type in `whole`, 1 at least.
    pub fn share_of(&self, whole: u64) -> u64 {
        match self.type_share_percent {
            100.. => u64::MAX,
            percent => {
                (whole / 100 * u64::from(percent) + whole % 100 * u64::from(percent) / 100).max(1)
            }
        }
    }
}

/// A message that an ingress brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// How the ingress will recognise the answer.
    pub ticket: Ticket,
    /// Whom the message goes to.
    pub target: AddressKey,
    /// The encoded `TypedValue`.
    pub argument: Bytes,
    /// The gateway id that an answer is sent to; `None` when nobody waits for one.
    pub gateway: Option<String>,
    /// The caller's idempotency key.
    pub key: Option<IdempotencyKey>,
}

/// What happens to a core.
#[derive(Debug)]
pub enum Input {
    /// An ingress brings a message.
    Arrive(Arrival),
    /// Another core's function sent a message here; its row is staged.
    Deliver(Message),
    /// As `Deliver`, without the message's content: it is read from the store when its turn comes.
    Stored(Message),
    /// A call came back.
    Answered {
        /// Which call.
        call: CallId,
        /// The reply, or why there is none after all attempts.
        result: Result<FromFunction, Failure>,
    },
    /// Everything staged up to here is on disk.
    Durable(Position),
    /// Time has passed.
    Tick,
    /// Look for expired rows, a page at a time.
    Sweep,
    /// An operator changes something; the ticket is answered with [`Output::Changed`].
    Change(Ticket, AdminChange),
    /// Start no more calls: the runtime is stopping.
    Drain,
}

/// Why an ingress's message was not taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No function is bound to the type.
    UnknownFunction,
    /// The address, or the whole core, has as many messages waiting as it may.
    Full {
        /// What is full, in words.
        what: String,
    },
    /// The idempotency key was used with another body.
    KeyReused,
    /// The store could not be read.
    Storage(String),
}

/// What a core wants done.
#[derive(Debug)]
pub enum Output {
    /// Call the function of `target`.
    Call {
        /// Comes back in [`Input::Answered`].
        call: CallId,
        /// The address.
        target: AddressKey,
        /// The encoded `ToFunction`.
        request: Bytes,
        /// Invocations in it.
        invocations: usize,
    },
    /// Hand a message to another core, in this order.
    Forward(u8, Message),
    /// The message is on disk.
    Accepted(Ticket),
    /// The message was not taken in; nothing is left of it.
    Refused(Ticket, Refusal),
    /// The key was answered before: this is that answer, or `None` for a message nobody waits for.
    Replayed(Ticket, Option<Bytes>),
    /// The key's first message still runs: its answer will go to this gateway.
    Attached(Ticket, String),
    /// The answer to a call: gateway id and encoded `TypedValue`.
    Answer(String, Bytes),
    /// A record for an egress, on disk in [`keys::OUTBOX`].
    Egress {
        /// Front of its row key: the egress.
        egress: Bytes,
        /// End of its row key.
        id: MessageId,
        /// The encoded `TypedValue`.
        record: Bytes,
        /// The type of the function that sent it, as it stands in keys.
        sender: Bytes,
        /// The commit that holds it.
        position: Position,
    },
    /// An operator's change was made, or why not.
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
        /// What follows.
        verdict: Verdict,
    },
    /// Something an operator should know of, which stops nothing.
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
    /// Calls that are out.
    calls: usize,
    /// Addresses that wait because as many calls are out as may, oldest first.
    call_queue: VecDeque<Slot>,
    /// Messages that this core sent to itself, to be taken in when the present step is done.
    local: VecDeque<Message>,
    held: Held,
    durable: Position,
    timers: TimerWindow,
    backoffs: BTreeSet<(Timestamp, Slot)>,
    /// The last number that arrived from each core and each source: what is in the store beyond it is still on its way here.
    arrived: Vec<u64>,
    recovery: recovery::Recovery,
    sweep: sweep::SweepPosition,
    draining: bool,
    /// Bytes of messages that are on their way here: they count as those in memory do.
    on_its_way: usize,
}

impl Core {
    /// A core over what `store` holds. Waiting messages are found and called with the first [`Input::Tick`].
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

    /// Takes one input at the time `now` and appends what is to be done to `out`.
    pub fn handle(&mut self, input: Input, now: Timestamp, out: &mut Vec<Output>) {
        self.now = now;
        if !self.knows_parked(out) {
            return self.not_yet(input, out);
        }
        match input {
            Input::Arrive(arrival) => self.arrive(arrival, out),
            Input::Deliver(message) => self.deliver(message, out),
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

    /// An input that comes while it cannot be read which addresses are set aside: nothing is taken in.
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
            Input::Durable(position) => self.durable = self.durable.max(position),
            Input::Drain => self.draining = true,
            Input::Answered { .. } | Input::Tick | Input::Sweep => {}
        }
    }

    /// What follows from a step: messages to itself, retries and timers that are due, addresses still to be recovered.
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

    /// When [`Input::Tick`] is wanted next. `None`: nothing waits for time.
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

    /// Calls that are out.
    pub const fn in_flight(&self) -> usize {
        self.calls
    }

    /// The number of this core.
    pub const fn index(&self) -> u8 {
        self.settings.index
    }

    /// Up to which position the core knows that all is on disk.
    pub const fn durable(&self) -> Position {
        self.durable
    }

    /// Whether something waits for the disk.
    pub fn awaits_disk(&self) -> bool {
        !self.held.is_empty()
    }

    /// Gives up the acknowledgements and answers that wait for the disk, in the order of their positions: whoever takes them tells them when
    /// they are durable.
    pub fn take_acknowledgements(&mut self) -> impl Iterator<Item = (Position, Output)> {
        self.held.take_acknowledgements()
    }

    /// Counts so many bytes of messages, which are on their way here, as those in memory.
    pub const fn note_on_its_way(&mut self, bytes: usize) {
        self.on_its_way = bytes;
    }

    /// Messages that wait or are in flight, as far as they are known.
    pub const fn backlog(&self) -> u64 {
        self.mailboxes.counts().backlog
    }

    /// All that the core keeps count of.
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

    /// Whether memory holds as many messages as timers and recovery may add to. Messages that wait for a retry count with their
    /// bytes only: a function that fails must not hold up the timers of others.
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

    /// A position behind everything that is staged, by any core.
    fn behind_all(&self) -> Position {
        self.store.stage(Vec::new())
    }

    /// Holds `output` back until `position` is durable.
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

/// Which of `cores` an id with this hash belongs to.
pub fn owner(hash: u32, cores: u8) -> u8 {
    u8::try_from(hash % u32::from(cores.max(1))).unwrap_or_default()
}
