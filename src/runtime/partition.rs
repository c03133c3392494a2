//! The task that drives one core: real calls, real time, real acknowledgements.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::{debug, error, warn};

use super::core::{
    AddressKey, AdminChange, Arrival, CallId, Core, Failure, Input, Message, Output, QueueView,
    Refusal, Ticket, TypeCounters, TypeLoad, Verdict,
};
use super::egress::Egresses;
use super::endpoint::{Directory, Failing};
use super::fatal_failure::{ApplicationFailure, FatalFailure};
use super::gateways::Gateways;
use crate::clock::Clock;
use crate::protocol::reqreply::FromFunction;
use crate::storage::Position;

/// Inputs that are taken at once, before outputs are acted upon.
const BURST: usize = 256;
/// How often a page of rows is searched for expired ones.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Function types whose messages are told of at most.
const LOADS: usize = 1_000;

/// What became of a message that an ingress brought.
#[derive(Debug)]
pub(super) enum Admission {
    /// It is on disk.
    Accepted,
    /// Its key was answered before; `None`: nobody waited for an answer.
    Replayed(Option<bytes::Bytes>),
    /// Its key's first message still runs; the answer goes to this gateway.
    Attached(String),
    /// It was not taken in.
    Refused(Refusal),
}

/// What a partition task is told.
pub(super) enum Command {
    /// An ingress brings a message; the ticket in it is given by the task.
    Arrive(Arrival, oneshot::Sender<Admission>),
    /// Another partition hands on a message.
    Deliver(Message),
    /// A call came back.
    Answered(CallId, Result<FromFunction, Failure>),
    /// A call was given up because the runtime goes down: its batch is sent again at the next start.
    Abandoned,
    /// An operator changes something.
    Change(AdminChange, oneshot::Sender<Result<(), String>>),
    /// Somebody wants to see what waits; so many addresses at most.
    Inspect(usize, oneshot::Sender<Inspection>),
    /// Somebody wants to see what waits at one address.
    Look(AddressKey, oneshot::Sender<Option<Queue>>),
    /// A source waits until it may bring more.
    AwaitRoom(oneshot::Sender<()>),
    /// Start no more calls; answered when none is out.
    Drain(oneshot::Sender<()>),
}

/// What waits at an address, and what is known of the call that is out for it.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    pub(crate) view: QueueView,
    /// Its failed attempts, when they have been failing.
    pub(crate) failing: Option<Failing>,
}

/// What waits in a partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inspection {
    /// Addresses with something to do, those with failures first.
    pub(crate) queues: Vec<Queue>,
    /// Messages that wait or are in flight.
    pub(crate) backlog: u64,
    /// Calls that are out.
    pub(crate) in_flight: usize,
    /// Counters by namespace and name.
    pub(crate) counters: Vec<(String, String, TypeCounters)>,
    /// What each function type with messages holds, most messages first.
    pub(crate) loads: Vec<TypeLoad>,
}

/// Which partition takes what; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Router {
    partitions: Arc<[mpsc::UnboundedSender<Command>]>,
}

impl Router {
    pub(super) fn new(partitions: Vec<mpsc::UnboundedSender<Command>>) -> Self {
        Self {
            partitions: partitions.into(),
        }
    }

    /// Hands a command to the partition that `id` belongs to. `false`: it has stopped.
    pub(super) fn send(&self, id: &str, command: Command) -> bool {
        let cores = u8::try_from(self.partitions.len()).unwrap_or(u8::MAX);
        let owner = super::core::owner(super::core::keys::id_hash(id), cores);
        self.to(owner, command)
    }

    /// Hands a command to a partition by its number.
    pub(super) fn to(&self, partition: u8, command: Command) -> bool {
        self.partitions
            .get(usize::from(partition))
            .is_some_and(|sender| sender.send(command).is_ok())
    }

    /// Has every partition start no more calls, without waiting for those that are out.
    fn drain_all(&self) {
        for partition in self.partitions.iter() {
            let (sender, _) = oneshot::channel();
            // One that has stopped starts none.
            let _ = partition.send(Command::Drain(sender));
        }
    }

    /// Asks every partition, and waits for all answers.
    pub(super) async fn ask_all<T>(
        &self,
        command: impl Fn(oneshot::Sender<T>) -> Command,
    ) -> Vec<T> {
        let mut answers = Vec::with_capacity(self.partitions.len());
        for partition in self.partitions.iter() {
            let (sender, receiver) = oneshot::channel();
            if partition.send(command(sender)).is_ok() {
                answers.push(receiver);
            }
        }
        let mut all = Vec::with_capacity(answers.len());
        for answer in answers {
            all.extend(answer.await.ok());
        }
        all
    }
}

/// What a partition task needs besides its core.
pub(super) struct Dependencies {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) directory: Arc<Directory>,
    pub(super) router: Router,
    pub(super) gateways: Gateways,
    pub(super) egresses: Egresses,
    pub(super) durable: watch::Receiver<Position>,
    pub(super) fatal_failure: FatalFailure,
    /// Whether failures are told in StateFun's words.
    pub(super) statefun_words: bool,
}

/// Drives `core` until its commands end.
pub(super) async fn run(
    core: Core,
    dependencies: Dependencies,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    let mut durable = dependencies.durable.clone();
    let mut partition = Partition {
        core,
        dependencies,
        next_ticket: 0,
        admissions: HashMap::new(),
        changes: HashMap::new(),
        drained: Vec::new(),
        rooms: Vec::new(),
        abandoned: 0,
        out: Vec::new(),
    };
    let mut sweep = interval(SWEEP_EVERY);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut burst = Vec::with_capacity(BURST);
    partition.step(Input::Tick);
    loop {
        let deadline = partition.deadline();
        tokio::select! {
            changed = durable.changed() => {
                if changed.is_err() {
                    // The committer has ended: nothing more becomes durable, so nothing more is released.
                    partition.without_committer(&mut commands).await;
                    return;
                }
                let position = *durable.borrow_and_update();
                partition.step(Input::Durable(position));
            }
            count = commands.recv_many(&mut burst, BURST) => {
                if count == 0 {
                    return;
                }
                for command in burst.drain(..) {
                    partition.command(command);
                }
            }
            () = sleep_until(deadline) => partition.step(Input::Tick),
            _ = sweep.tick() => partition.step(Input::Sweep),
        }
        partition.act();
    }
}

struct Partition {
    core: Core,
    dependencies: Dependencies,
    next_ticket: Ticket,
    admissions: HashMap<Ticket, oneshot::Sender<Admission>>,
    changes: HashMap<Ticket, oneshot::Sender<Result<(), String>>>,
    drained: Vec<oneshot::Sender<()>>,
    /// Sources that wait for room.
    rooms: Vec<oneshot::Sender<()>>,
    /// Calls that are out for the core, but never come back.
    abandoned: usize,
    out: Vec<Output>,
}

impl Partition {
    fn step(&mut self, input: Input) {
        self.core
            .handle(input, self.dependencies.clock.now(), &mut self.out);
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Arrive(mut arrival, sender) => {
                arrival.ticket = self.ticket();
                self.admissions.insert(arrival.ticket, sender);
                self.step(Input::Arrive(arrival));
            }
            Command::Deliver(message) => self.step(Input::Deliver(message)),
            Command::Answered(call, result) => self.step(Input::Answered { call, result }),
            Command::Abandoned => self.abandoned += 1,
            Command::Change(change, sender) => {
                let ticket = self.ticket();
                self.changes.insert(ticket, sender);
                self.step(Input::Change(ticket, change));
            }
            Command::Inspect(limit, sender) => {
                // Who asked may have gone.
                let _ = sender.send(self.inspect(limit));
            }
            Command::Look(address, sender) => {
                let _ = sender.send(self.look(&address));
            }
            Command::AwaitRoom(sender) => self.rooms.push(sender),
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

    fn inspect(&self, limit: usize) -> Inspection {
        let counters = self
            .core
            .counters()
            .map(|(namespace, name, counters)| (namespace.to_owned(), name.to_owned(), counters));
        Inspection {
            queues: self.queues(limit),
            backlog: self.core.backlog(),
            in_flight: self.core.in_flight(),
            counters: counters.collect(),
            loads: self.core.loads(LOADS),
        }
    }

    /// Those whose calls have failing attempts come first, and with them those that failed before.
    fn queues(&self, limit: usize) -> Vec<Queue> {
        let mut failing = self.dependencies.directory.invocations.failing.all();
        failing.sort_by_key(|(_, failing)| std::cmp::Reverse(failing.attempts));
        let failing = failing.into_iter().filter_map(|(address, failing)| {
            let view = self.core.queue(&address)?;
            let failing = Some(failing);
            Some(Queue { view, failing })
        });
        let mut queues: Vec<Queue> = failing.take(limit).collect();
        let listed: HashSet<_> = queues
            .iter()
            .map(|queue| queue.view.address.clone())
            .collect();
        let others = self.core.queues(limit).into_iter();
        let others = others.filter(|view| !listed.contains(&view.address));
        queues.extend(others.map(|view| Queue {
            view,
            failing: None,
        }));
        queues
    }

    fn look(&self, address: &AddressKey) -> Option<Queue> {
        let view = self.core.queue(address)?;
        let failing = self.dependencies.directory.invocations.failing.of(address);
        Some(Queue { view, failing })
    }

    /// When the core wants to be told that time has passed.
    fn deadline(&self) -> Instant {
        let now = self.dependencies.clock.now();
        // Far away instead of never: `select!` wants a time.
        let wait = self
            .core
            .next_deadline()
            .map_or(Duration::from_secs(3600), |due| due.since(now));
        Instant::now() + wait.min(Duration::from_secs(3600))
    }

    /// Does what the core asked for.
    fn act(&mut self) {
        let mut out = std::mem::take(&mut self.out);
        for output in out.drain(..) {
            self.do_one(output);
        }
        // Its room is used again.
        self.out = out;
        if self.core.has_room() {
            for sender in self.rooms.drain(..) {
                let _ = sender.send(());
            }
        }
        if self.core.in_flight() == self.abandoned {
            for sender in self.drained.drain(..) {
                let _ = sender.send(());
            }
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
                // A partition that has stopped finds the message in the store at the next start.
                self.dependencies
                    .router
                    .to(partition, Command::Deliver(message));
            }
            Output::Accepted(ticket) => self.answer_ticket(ticket, Admission::Accepted),
            Output::Refused(ticket, refusal) => {
                self.answer_ticket(ticket, Admission::Refused(refusal))
            }
            Output::Replayed(ticket, answer) => {
                self.answer_ticket(ticket, Admission::Replayed(answer))
            }
            Output::Attached(ticket, gateway) => {
                self.answer_ticket(ticket, Admission::Attached(gateway))
            }
            Output::Answer(gateway, value) => self.dependencies.gateways.answer(&gateway, &value),
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
                        let in_ms = at.since(self.dependencies.clock.now()).as_millis();
                        warn!(%address, attempt, invocations, in_ms, %failure, "batch failed; will retry");
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
                        self.dependencies.router.drain_all();
                    }
                }
            }
            Output::Warning(text) => warn!("{text}"),
        }
    }

    fn answer_ticket(&mut self, ticket: Ticket, admission: Admission) {
        if let Some(sender) = self.admissions.remove(&ticket) {
            let _ = sender.send(admission);
        }
    }

    fn call(&self, call: CallId, target: AddressKey, request: bytes::Bytes) {
        let (namespace, name, _) = target.parts();
        let endpoint = self
            .dependencies
            .directory
            .endpoint(namespace, name)
            .cloned();
        let router = self.dependencies.router.clone();
        tokio::spawn(async move {
            let result = match endpoint {
                Some(endpoint) => endpoint.call(&target, request).await,
                None => Some(Err(Failure::new("the function is not bound"))),
            };
            if let Some(Err(failure)) = &result {
                debug!(address = %target.to_address(), %failure, "call failed");
            }
            let answered = |result| Command::Answered(call, result);
            // A partition that has stopped sends the batch again at the next start.
            router.send(target.id(), result.map_or(Command::Abandoned, answered));
        });
    }

    /// The store has closed: whoever still brings something is told by the dropped channel that nothing is acknowledged.
    async fn without_committer(&mut self, commands: &mut mpsc::UnboundedReceiver<Command>) {
        self.admissions.clear();
        self.changes.clear();
        self.rooms.clear();
        while let Some(command) = commands.recv().await {
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
    }
}
