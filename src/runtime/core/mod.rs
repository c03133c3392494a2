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
mod bindings;
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
mod indices;
mod input;
pub mod keys;
mod limits;
mod mailbox;
mod mailboxes;
mod message;
mod output;
mod quotas;
#[cfg(any(test, feature = "simulation"))]
mod recount;
mod recovery;
pub(crate) mod rows;
mod settings;
mod source;
mod start;
pub mod state;
mod sweep;
pub mod timers;
mod watch;
pub mod wire;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

pub use self::admin::QueueView;
pub use self::bindings::{Bindings, EgressBinding, FunctionBinding};
pub use self::brought::Brought;
pub use self::counts::Counts;
pub use self::failure::{Failure, FailurePolicy, OnError, Parked, Verdict};
pub use self::function_types::TypeCounters;
pub use self::idempotency::IdempotencyKey;
pub use self::input::{AdminChange, Arrival, Input, Ticket};
pub use self::keys::{AddressKey, MessageId};
pub use self::limits::AnswerLimits;
pub use self::mailbox::Activity;
pub use self::message::Message;
pub use self::output::{Output, Refusal};
pub use self::quotas::TypeLoad;
pub use self::settings::{CoreSettings, Windows};
pub use self::source::{SourceCore, SplitPosition};
pub use self::watch::ValueWatch;

use self::function_types::FunctionTypes;
use self::held::{Held, Release};
use self::indices::Slot;
use self::mailboxes::Mailboxes;
use self::timers::TimerWindow;
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
    /// Looks up functions and egresses in `bindings` from now on. What waits for a function stays where it is.
    pub fn bind(&mut self, bindings: Arc<dyn Bindings>) {
        self.types.bind(&*bindings);
        self.bindings = bindings;
    }

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
