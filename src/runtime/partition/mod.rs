//! A thread that drives one core: real calls, real time, real acknowledgements.
//!
//! A core needs its own thread because it reads from the disk and may wait some milliseconds for it; tasks that serve connections
//! must not wait with it. The thread waits in a small async runtime, where calls that wait for sockets make progress (remote functions and exports),
//! and works outside of it: there other in-process functions are polled, within the runtime of their application.

mod call;
mod command;
mod inbox;
mod inspect;
mod share;
mod slow_functions;
mod threads;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{error, warn};

use super::acknowledgements::{Acknowledgement, Acknowledgements, ReplyTo};
use super::callers::NoAnswer;
use super::commit::Status;
use super::core::{CallId, Core, Input, Output, Ticket, Verdict};
use super::egress::Egresses;
use super::endpoint::Directory;
use super::fatal_failure::{ApplicationFailure, FatalFailure};
use super::numbers::ByNumber;
use super::router::Router;
use crate::clock::Clock;
use crate::storage::Store;
use crate::time::Timestamp;

use self::call::Exchange;
pub(super) use self::command::{Admission, Command};
pub(crate) use self::command::{Inspection, Queue};
pub(super) use self::inbox::Inbox;
use self::inbox::{Phase, Wait};
use self::share::Share;
use self::slow_functions::SlowFunctions;
pub(super) use self::threads::Partitions;

/// Commands handled at a time, before their outputs and before the committer is woken.
const BURST: usize = 32;
/// How many rounds of follow-up outputs, such as calls that return at once, are handled before further commands.
const ROUNDS: usize = 16;
/// How often a page of rows is searched for expired ones.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The dependencies of a partition besides its core. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Dependencies {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) store: Store,
    pub(super) store_status: Status,
    pub(super) directory: Arc<Directory>,
    pub(super) router: Router,
    pub(super) acknowledgements: Acknowledgements,
    pub(super) egresses: Egresses,
    pub(super) fatal_failure: FatalFailure,
    /// The runtime of the application: in-process functions run within it, and continue there when they wait.
    pub(super) application: Handle,
    /// Whether failures have StateFun's wording.
    pub(super) statefun_words: bool,
}

struct Partition {
    core: Core,
    dependencies: Dependencies,
    inbox: Inbox,
    /// Calls to be made in the runtime of this thread, the next time that it waits there: to spawn them from outside would cost each a system call.
    exchanges: Vec<Exchange>,
    share: Share,
    slow_functions: SlowFunctions,
    next_ticket: Ticket,
    reply_to: ByNumber<Ticket, ReplyTo>,
    changes: ByNumber<Ticket, oneshot::Sender<Result<(), String>>>,
    drained: Vec<oneshot::Sender<()>>,
    /// Sources that wait for room.
    rooms: Vec<oneshot::Sender<()>>,
    /// Those who wait until nothing is in progress, each with the time in which nothing may begin.
    quiet: Vec<(Duration, oneshot::Sender<u64>)>,
    /// Messages and results that were handled.
    handled: u64,
    /// When each call began that did not return at once.
    called_at: HashMap<CallId, Timestamp>,
    /// Calls in progress for the core that never return.
    abandoned: usize,
    out: Vec<Output>,
    /// Swapped with `out`.
    spare: Vec<Output>,
}

impl Partition {
    fn new(core: Core, dependencies: Dependencies, inbox: Inbox) -> Self {
        Self {
            core,
            dependencies,
            inbox,
            exchanges: Vec::new(),
            share: Share::default(),
            slow_functions: SlowFunctions::default(),
            next_ticket: 0,
            reply_to: ByNumber::default(),
            changes: ByNumber::default(),
            drained: Vec::new(),
            rooms: Vec::new(),
            quiet: Vec::new(),
            handled: 0,
            called_at: HashMap::new(),
            abandoned: 0,
            out: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Runs until its inbox is closed.
    fn run(mut self, waiting: Runtime) {
        let mut sweep_at = Instant::now();
        let mut taken = Vec::new();
        self.step(Input::Tick);
        loop {
            self.act();
            let (phase, bytes) = waiting.block_on(self.next(&mut taken, sweep_at));
            match phase {
                Phase::Running => {}
                Phase::StoreClosed => {
                    self.inbox.done(bytes);
                    break;
                }
                Phase::Closed => return waiting.shutdown_background(),
            }
            self.core.note_on_its_way(self.inbox.bytes());
            self.durable();
            let mut commands = taken.drain(..).peekable();
            while commands.peek().is_some() {
                for command in commands.by_ref().take(BURST) {
                    self.command(command);
                }
                self.act();
                if self.core.awaits_disk() {
                    self.durable();
                }
            }
            drop(commands);
            self.inbox.done(bytes);
            // Otherwise due timers and recovery would wait for what has arrived, until the next command or sweep.
            self.core.note_on_its_way(self.inbox.bytes());
            let now = Instant::now();
            if sweep_at <= now {
                sweep_at = now + SWEEP_EVERY;
                self.step(Input::Sweep);
            } else if self.is_due() {
                self.step(Input::Tick);
            }
        }
        self.store_closed(&waiting, taken);
        waiting.shutdown_background();
    }

    /// Waits for work, while calls make progress.
    async fn next(&mut self, taken: &mut Vec<Command>, sweep_at: Instant) -> (Phase, usize) {
        for exchange in self.exchanges.drain(..) {
            tokio::spawn(exchange);
        }
        if self.core.in_flight() > self.abandoned {
            // Calls make progress however many commands come.
            tokio::task::yield_now().await;
        }
        let until = match self.out.is_empty() {
            true => self.deadline().map_or(sweep_at, |due| due.min(sweep_at)),
            false => Instant::now(),
        };
        let known = self.core.durable();
        let durable_advanced = || self.dependencies.store.durable() > known;
        let wait = Wait {
            until: Some(until),
            phase: Phase::Running,
            durable_advanced: self.core.awaits_disk().then_some(durable_advanced),
        };
        self.inbox.take(taken, &wait).await
    }

    fn step(&mut self, input: Input) {
        self.core
            .handle(input, self.dependencies.clock.now(), &mut self.out);
    }

    /// Releases work that waited for the disk.
    fn durable(&mut self) {
        let position = self.dependencies.store.durable();
        if position > self.core.durable() {
            self.step(Input::Durable(position));
        }
    }

    fn command(&mut self, command: Command) {
        self.handled += 1;
        match command {
            Command::Arrive(mut arrival, reply_to) => {
                self.share.arrived();
                arrival.ticket = self.ticket();
                self.reply_to.insert(arrival.ticket, reply_to);
                self.step(Input::Arrive(arrival));
            }
            Command::Deliver(message) => self.step(Input::Deliver(message)),
            Command::DeliverAll(messages) => self.step(Input::DeliverAll(messages)),
            Command::Stored(message) => self.step(Input::Stored(message)),
            Command::Returned(call, returned) => self.returned(call, returned),
            Command::Change(change, sender) => {
                let ticket = self.ticket();
                self.changes.insert(ticket, sender);
                self.step(Input::Change(ticket, change));
            }
            Command::Inspect(limit, sender) => {
                // The sender may have gone.
                let _ = sender.send(self.inspect(limit));
            }
            Command::Look(address, sender) => {
                let _ = sender.send(self.look(&address));
            }
            Command::AwaitRoom(sender) => self.rooms.push(sender),
            Command::AwaitQuiet(within, sender) => {
                // Asking is nothing to do.
                self.handled -= 1;
                self.quiet.push((within, sender));
            }
            Command::Bind(directory, sender) => {
                self.core.bind(directory.clone());
                self.dependencies.directory = directory;
                let _ = sender.send(());
            }
            Command::Drain(sender) => {
                self.step(Input::Drain);
                self.drained.push(sender);
            }
        }
    }

    const fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        self.next_ticket
    }

    /// When the core needs the next tick.
    fn deadline(&self) -> Option<Instant> {
        let due = self.core.next_deadline()?;
        // So far away that it means never, but in the range of every clock.
        let wait = due.since(self.dependencies.clock.now());
        Some(Instant::now() + wait.min(Duration::from_secs(3600)))
    }

    fn is_due(&self) -> bool {
        let due = self.core.next_deadline();
        due.is_some_and(|due| due <= self.dependencies.clock.now())
    }

    /// Carries out the outputs of the core, and some of their follow-up outputs.
    fn act(&mut self) {
        for _ in 0..ROUNDS {
            if self.out.is_empty() {
                break;
            }
            let mut out = std::mem::replace(&mut self.out, std::mem::take(&mut self.spare));
            for output in out.drain(..) {
                self.do_one(output);
            }
            // Its memory is reused.
            self.spare = out;
        }
        let is_awaited = self.acknowledge() || self.core.awaits_disk();
        // An arrival and the reply to it are one round this way, and one sync.
        match is_awaited {
            true => self.dependencies.store.hurry(),
            false => self.dependencies.store.wake(),
        }
        let room = self.core.room();
        self.inbox.note_room(room);
        if room > 0 {
            for sender in self.rooms.drain(..) {
                let _ = sender.send(());
            }
        }
        self.tell_if_quiet();
        if self.core.in_flight() == self.abandoned {
            for sender in self.drained.drain(..) {
                let _ = sender.send(());
            }
        }
    }

    fn tell_if_quiet(&mut self) {
        let is_idle = self.out.is_empty()
            && self.core.in_flight() == self.abandoned
            && !self.core.awaits_disk();
        if self.quiet.is_empty() || !is_idle {
            return;
        }
        let (due, now) = (self.core.next_deadline(), self.dependencies.clock.now());
        let begins_within = |within: Duration| due.is_some_and(|due| due <= now + within);
        let quiet = self
            .quiet
            .extract_if(.., |(within, _)| !begins_within(*within));
        for (_, sender) in quiet {
            let _ = sender.send(self.handled);
        }
    }

    fn do_one(&mut self, output: Output) {
        match output {
            Output::Call {
                call,
                target,
                request,
                ..
            } => self.call(call, target, request),
            Output::Forward(partition, message) => {
                self.dependencies.router.hand_on(partition, message)
            }
            Output::Accepted(_)
            | Output::Refused(..)
            | Output::Replayed(..)
            | Output::Attached(..)
            | Output::Answer(..) => {
                if let Some(told) = acknowledgement(&mut self.reply_to, output) {
                    self.dependencies.acknowledgements.tell(told);
                }
            }
            Output::Egress {
                egress,
                id,
                record,
                sender,
                position,
            } => {
                let egresses = &self.dependencies.egresses;
                egresses.push(&egress, id, record, &sender, position);
            }
            Output::Changed(ticket, result) => {
                if let Some(sender) = self.changes.remove(&ticket) {
                    let _ = sender.send(result);
                }
            }
            Output::Failed {
                address,
                failure,
                attempt,
                invocations,
                verdict,
            } => {
                let address = address.to_address();
                match verdict {
                    Verdict::Retried(at) => {
                        let retry_in_ms = at.since(self.dependencies.clock.now()).as_millis();
                        warn!(%address, attempt, invocations, retry_in_ms, %failure, "batch failed; will retry");
                    }
                    Verdict::Parked => {
                        warn!(%address, attempt, invocations, %failure, "batch failed; the address is parked");
                    }
                    Verdict::Stopped => {
                        error!(%address, attempt, invocations, %failure, "batch failed; the application stops");
                        self.dependencies.fatal_failure.fail(ApplicationFailure {
                            address,
                            messages: invocations,
                            attempt,
                            cause: failure,
                            statefun_words: self.dependencies.statefun_words,
                        });
                        self.dependencies
                            .acknowledgements
                            .callers()
                            .end(NoAnswer::Stopping);
                        self.dependencies.router.drain_all();
                    }
                }
            }
            Output::Warning(text) => warn!("{text}"),
        }
    }

    /// Passes acknowledgements and answers on to wait for the disk. True if there are some.
    fn acknowledge(&mut self) -> bool {
        let Self {
            core,
            dependencies,
            reply_to,
            ..
        } = self;
        let index = core.index();
        let mut held = core.take_acknowledgements().peekable();
        if held.peek().is_none() {
            return false;
        }
        let told = held.filter_map(|(position, output)| {
            acknowledgement(reply_to, output).map(|told| (position, told))
        });
        dependencies
            .acknowledgements
            .add(index, told, || dependencies.store.durable());
        true
    }

    /// Handles commands after the store has closed: senders see from the dropped channel that nothing is acknowledged.
    fn store_closed(&mut self, waiting: &Runtime, mut taken: Vec<Command>) {
        self.reply_to.clear();
        self.changes.clear();
        self.rooms.clear();
        self.quiet.clear();
        let wait: Wait<fn() -> bool> = Wait {
            until: None,
            phase: Phase::StoreClosed,
            durable_advanced: None,
        };
        loop {
            for command in taken.drain(..) {
                match command {
                    Command::Inspect(limit, sender) => {
                        let _ = sender.send(self.inspect(limit));
                    }
                    Command::Drain(sender) => {
                        let _ = sender.send(());
                    }
                    _ => {}
                }
            }
            let (phase, bytes) = waiting.block_on(self.inbox.take(&mut taken, &wait));
            self.inbox.done(bytes);
            if phase == Phase::Closed {
                return;
            }
        }
    }
}

/// The receiver and the content of an output.
fn acknowledgement(
    reply_to: &mut ByNumber<Ticket, ReplyTo>,
    output: Output,
) -> Option<Acknowledgement> {
    let (ticket, admission) = match output {
        Output::Accepted(ticket) => (ticket, Admission::Accepted),
        Output::Refused(ticket, refusal) => (ticket, Admission::Refused(refusal)),
        Output::Replayed(ticket, answer) => (ticket, Admission::Replayed(answer)),
        Output::Attached(ticket, gateway) => (ticket, Admission::Attached(gateway)),
        Output::Answer(gateway, value) => return Some(Acknowledgement::Answer(gateway, value)),
        _ => return None,
    };
    let reply_to = reply_to.remove(&ticket)?;
    Some(Acknowledgement::Admission(reply_to, admission))
}
