//! The world around the cores: their store, the messages between them, calls, time, and what happens next.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::audit;
use super::image::Image;
use super::model::{AddressIndex, Call, Id, Model, NOT_YET, Sender, Stage, Status, Turn};
use super::plan::{Action, Bound, OUTBOX as EGRESS, Plan, TYPES, pick};
use super::reply::{Meaning, Reply, Server};
use super::request::{gateway, message, numbered};
use super::{Report, ensure};
use crate::protocol::reqreply::Address;
use crate::protocol::reqreply::FromFunction;
use crate::protocol::reqreply::from_function::{Invocation, InvocationResponse, Response};
use crate::random::Random;
use crate::runtime::core::idempotency::{IdempotencyKey, Outcome, StoredAnswer};
use crate::runtime::core::keys::{OUTBOX, id_hash};
use crate::runtime::core::{
    AdminChange, Arrival, CallId, Core, CoreSettings, Failure, Input, Message, Output, Refusal,
    owner,
};
use crate::storage::{Memory, Position, Store, Syncer, Write};
use crate::time::Timestamp;

/// A world that has not come to rest after this many rounds is stuck.
const ROUNDS: u64 = 1_000;
/// How long idempotency keys count.
const KEPT: u64 = 60;

/// Whether there is room for a message from an ingress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    Enough,
    Perhaps,
    None,
}

pub(super) struct World {
    pub(super) random: Random,
    pub(super) plan: Plan,
    pub(super) model: Model,
    pub(super) report: Report,
    pub(super) now: Timestamp,
    /// Number of the present input.
    pub(super) step: u64,
    /// Everything up to this step is on disk.
    pub(super) synced: u64,
    boot: u64,
    memory: Memory,
    pub(super) store: Store,
    syncer: Syncer,
    pub(super) cores: Vec<Core>,
    /// Messages on their way, by sending and receiving core.
    pub(super) channels: BTreeMap<(u8, u8), VecDeque<Message>>,
    /// Positions synced since the start, and how many of them each core has been told.
    syncs: Vec<Position>,
    told: Vec<usize>,
    /// Calls that were answered or given up: another answer to them may come.
    late: Vec<(u8, CallId)>,
    next_ticket: u64,
    /// The batch that must fail in this step.
    pub(super) must_fail: Option<AddressIndex>,
    pub(super) is_calm: bool,
    pub(super) is_draining: bool,
    trace: Option<Vec<String>>,
}

impl World {
    pub(super) fn new(seed: u64, traces: bool) -> Self {
        let mut random = Random::seeded(seed);
        let plan = Plan::of(&mut random);
        let memory = Memory::default();
        let (store, syncer) = memory.open();
        let mut world = Self {
            random,
            plan,
            model: Model::default(),
            report: Report::default(),
            now: Timestamp::from_millis(1_000),
            step: 0,
            synced: 0,
            boot: 0,
            memory,
            store,
            syncer,
            cores: Vec::new(),
            channels: BTreeMap::new(),
            syncs: Vec::new(),
            told: Vec::new(),
            late: Vec::new(),
            // Tickets of messages are their numbers.
            next_ticket: 1_000_000,
            must_fail: None,
            is_calm: false,
            is_draining: false,
            trace: traces.then(Vec::new),
        };
        world.tell(|world| format!("{:?}", world.plan));
        world.start();
        world
    }

    /// The whole schedule: some steps at random, then everything is brought to rest.
    pub(super) fn play(&mut self) -> Result<Report, String> {
        for _ in 0..self.plan.steps {
            let action = self.plan.action(&mut self.random);
            self.act(action)?;
            if self.random.chance(6) {
                self.audit()?;
            }
        }
        self.come_to_rest()?;
        self.report.steps = self.step;
        self.report.messages = u64::try_from(self.model.entries.len()).unwrap_or_default();
        Ok(self.report)
    }

    pub(super) fn take_trace(&mut self) -> Vec<String> {
        self.trace.take().unwrap_or_default()
    }

    /// Notes a line of the schedule, if it is to be shown.
    pub(super) fn tell(&mut self, line: impl FnOnce(&Self) -> String) {
        if let Some(mut trace) = self.trace.take() {
            trace.push(format!("{:4} t={} {}", self.step, self.now, line(self)));
            self.trace = Some(trace);
        }
    }

    fn start(&mut self) {
        self.boot += 1;
        let fewer = self.random.below(2) * self.random.below(self.plan.max_cores);
        let cores = u8::try_from(self.plan.max_cores - fewer).unwrap_or(1);
        let settings = self.plan.settings;
        let core = |index| {
            let settings = CoreSettings {
                index,
                cores,
                ..settings
            };
            Core::new(settings, Arc::new(Bound), self.store.clone())
        };
        self.cores = (0..cores).map(core).collect();
        self.channels.clear();
        self.late.clear();
        self.syncs = vec![self.store.durable()];
        self.told = vec![1; self.cores.len()];
        self.synced = self.step;
        self.tell(|world| format!("start {} with {cores} cores", world.boot));
    }

    pub(super) fn cores(&self) -> u8 {
        u8::try_from(self.cores.len()).unwrap_or(1)
    }

    /// The core that an address belongs to.
    pub(super) fn owner(&self, index: AddressIndex) -> u8 {
        let id = self.plan.addresses.get(index).map_or("", |key| key.id());
        owner(id_hash(id), self.cores())
    }

    fn some_core(&mut self) -> u8 {
        u8::try_from(self.random.below(u64::from(self.cores()))).unwrap_or_default()
    }

    /// Gives an input to a core. Its step has the number [`World::step`].
    fn feed(&mut self, core: u8, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.step += 1;
        if let Some(core) = self.cores.get_mut(usize::from(core)) {
            core.handle(input, self.now, &mut out);
        }
        out
    }

    fn act(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::Arrive => self.arrive(),
            Action::Hand => {
                let ways: Vec<_> = self.channels.keys().copied().collect();
                match ways.get(pick(&mut self.random, ways.len())) {
                    Some(way) => self.hand(*way),
                    None => Ok(()),
                }
            }
            Action::Answer => self.answer(None),
            Action::GiveUp => self.answer(Some(100)),
            Action::LateAnswer => self.answer_late(),
            Action::Sync => self.sync(),
            Action::Tell => {
                let core = self.some_core();
                let told = self
                    .told
                    .get(usize::from(core))
                    .copied()
                    .unwrap_or_default();
                let more = pick(&mut self.random, self.syncs.len() - told + 1);
                self.tell_durable(core, told + more)
            }
            Action::Clock => self.move_clock(),
            Action::Tick => {
                let core = self.some_core();
                self.tick(core)
            }
            Action::Sweep => {
                let core = self.some_core();
                self.tell(|_| format!("core {core}: sweep"));
                let out = self.feed(core, Input::Sweep);
                self.follow(core, out)
            }
            Action::SetState => self.set_state(),
            Action::Resume => {
                let failed = self
                    .model
                    .parked
                    .iter()
                    .chain(self.model.boot.backoffs.keys());
                let failed: Vec<AddressIndex> = failed.copied().collect();
                let index = failed.get(pick(&mut self.random, failed.len()));
                let index = index
                    .copied()
                    .unwrap_or(pick(&mut self.random, self.plan.addresses.len()));
                self.resume(index)
            }
            Action::Take => self.take(),
            Action::Stop => self.stop(),
            Action::Crash => self.crash(),
        }
    }

    fn arrive(&mut self) -> Result<(), String> {
        if self.model.entries.len() >= self.plan.messages {
            return Ok(());
        }
        let target = pick(&mut self.random, self.plan.addresses.len());
        let core = self.owner(target);
        let sender = if self.random.chance(40) {
            Sender::Gateway
        } else {
            Sender::Ingress
        };
        let id = self.model.add(target, sender, None);
        let ticket = u64::try_from(id).unwrap_or_default();
        let key = self.random.chance(self.plan.keyed).then(|| {
            let row = format!("key {} of {target}", self.random.below(2));
            IdempotencyKey {
                row: row.into(),
                digest: u128::from(self.random.below(8) / 7),
                until: Timestamp::from_millis(self.now.as_millis() + KEPT),
            }
        });
        self.tell(|_| {
            format!("core {core}: message {id} from {sender:?} arrives at {target}, {key:?}")
        });
        let before = key.as_ref().and_then(|key| {
            let before = self.model.keys.get(&key.row)?;
            (before.until > self.now).then(|| before.clone())
        });
        let room = self.room(core, target);
        let out = self.feed(
            core,
            Input::Arrive(Arrival {
                ticket,
                target: self
                    .plan
                    .addresses
                    .get(target)
                    .cloned()
                    .ok_or("no such address")?,
                argument: message(id),
                gateway: (sender == Sender::Gateway).then(|| gateway(id)),
                key: key.clone(),
            }),
        );
        let refusal = out.iter().find_map(|output| match output {
            Output::Refused(refused, refusal) if *refused == ticket => Some(refusal.clone()),
            _ => None,
        });
        match (key, before, refusal) {
            (Some(key), Some(before), refusal) if before.digest != key.digest => {
                ensure(refusal == Some(Refusal::KeyReused), || {
                    format!("a key came with another body, and {refusal:?}")
                })?;
            }
            (Some(_), Some(before), None) => {
                self.model
                    .boot
                    .repeats
                    .insert(ticket, (before.outcome, self.step));
            }
            (key, None, None) => {
                ensure(room != Room::None, || {
                    format!("message {id} was accepted without room for it")
                })?;
                self.accept(core, id);
                if let Some(key) = key {
                    self.keep_key(id, key);
                }
            }
            (_, None, Some(Refusal::Full { .. })) => {
                ensure(room != Room::Enough, || {
                    format!("message {id} was refused with room for it")
                })?;
            }
            (_, _, refusal) => return Err(format!("message {id} was refused: {refusal:?}")),
        }
        self.follow(core, out)
    }

    /// Whether a core must have room for a message to `target`.
    fn room(&self, core: u8, target: AddressIndex) -> Room {
        let loads = self
            .cores
            .get(usize::from(core))
            .map_or(Vec::new(), |core| core.loads(usize::MAX));
        let used: u64 = loads.iter().map(|load| load.backlog.min(load.share)).sum();
        let is_full = |kind: usize| {
            let full = loads.iter().filter(|load| load.is_full());
            let names = TYPES.get(kind).map(|kind| (kind.0, kind.1));
            full.into_iter()
                .any(|load| names == Some((&*load.namespace, &*load.name)))
        };
        let kind = self.plan.kind(target);
        if used >= self.plan.settings.max_backlog || is_full(kind) {
            return Room::None;
        }
        // Types that send to a full type are refused; senders are known only since the start.
        let mut reached = BTreeSet::from([kind]);
        loop {
            let sent = self.model.entries.iter().filter_map(|entry| {
                let Sender::Function(sender) = entry.sender else {
                    return None;
                };
                let is_sent = reached.contains(&self.plan.kind(sender));
                is_sent.then(|| self.plan.kind(entry.target))
            });
            let more: Vec<usize> = sent.filter(|kind| !reached.contains(kind)).collect();
            if more.is_empty() {
                break;
            }
            reached.extend(more);
        }
        if reached.into_iter().any(is_full) {
            Room::Perhaps
        } else {
            Room::Enough
        }
    }

    fn accept(&mut self, core: u8, id: Id) {
        let (step, boot) = (self.step, self.boot);
        let entry = self.model.entry_mut(id);
        entry.status = Status::Waiting;
        entry.made = step;
        entry.since = step;
        entry.turn = Turn {
            boot,
            core,
            order: (step, Stage::Send, Timestamp::default(), Some(id)),
        };
    }

    fn keep_key(&mut self, id: Id, key: IdempotencyKey) {
        let outcome = match self.model.entry(id).sender {
            Sender::Gateway => {
                self.model.gateways.insert(gateway(id), key.row.clone());
                Outcome::Pending(gateway(id))
            }
            _ => Outcome::Accepted,
        };
        self.model.entry_mut(id).key = Some((key.row.clone(), key.until));
        let target = self.model.entry(id).target;
        let target = self.plan.addresses.get(target).map_or("", |key| key.id());
        let answer = StoredAnswer {
            hash: id_hash(target),
            digest: key.digest,
            until: key.until,
            outcome,
        };
        self.model.keys.insert(key.row, answer);
    }

    fn hand(&mut self, way: (u8, u8)) -> Result<(), String> {
        let Some(messages) = self.channels.get_mut(&way) else {
            return Ok(());
        };
        let message = messages.pop_front();
        if messages.is_empty() {
            self.channels.remove(&way);
        }
        let Some(message) = message else {
            return Ok(());
        };
        let id = super::image::message_number(&message.invocation)?;
        self.tell(|_| format!("core {}: message {id} comes from core {}", way.1, way.0));
        self.report.forwarded += 1;
        // As when much is on its way: then a batch need not be all that waits.
        let input = match self.plan.is_tight && self.random.chance(20) {
            true => Input::Stored(message.without_content()),
            false => Input::Deliver(message),
        };
        let out = self.feed(way.1, input);
        let step = self.step;
        self.model.entry_mut(id).since = step;
        self.follow(way.1, out)
    }

    /// A call returns, and fails in the planned percentage of cases.
    fn answer(&mut self, failing: Option<u64>) -> Result<(), String> {
        let calls: Vec<_> = self.model.boot.calls.keys().copied().collect();
        let Some((core, id)) = calls.get(pick(&mut self.random, calls.len())).copied() else {
            return Ok(());
        };
        let Some(call) = self.model.boot.calls.remove(&(core, id)) else {
            return Ok(());
        };
        if self.late.len() < 8 {
            self.late.push((core, id));
        }
        let failing = failing.unwrap_or(self.plan.failing_calls);
        if !self.is_calm && self.random.chance(failing) {
            self.tell(|_| format!("core {core}: call {id:?} of {call:?} fails"));
            self.must_fail = Some(call.index);
            let result = Err(Failure::new("no answer"));
            let out = self.feed(core, Input::Answered { call: id, result });
            return self.failed(core, &call, out);
        }
        let logged = self
            .model
            .logs
            .get(&call.index)
            .cloned()
            .unwrap_or_default();
        let mut server = Server {
            plan: &self.plan,
            model: &mut self.model,
            random: &mut self.random,
            now: self.now,
            is_calm: self.is_calm,
        };
        let Reply { wire, meaning } = server.reply(&call, &logged);
        self.tell(|_| format!("core {core}: call {id:?} of {call:?} gives {meaning:?}"));
        if matches!(meaning, Meaning::Refused) {
            self.must_fail = Some(call.index);
        }
        let out = self.feed(
            core,
            Input::Answered {
                call: id,
                result: Ok(wire),
            },
        );
        match meaning {
            Meaning::Refused => self.failed(core, &call, out),
            Meaning::Missing(names) => {
                let kind = self.plan.kind(call.index);
                let known = self.model.boot.known.entry((core, kind)).or_default();
                for name in names {
                    if !known.contains(&name) {
                        known.push(name);
                    }
                }
                self.model.boot.again.insert(call.index, (call.batch, true));
                self.follow(core, out)
            }
            Meaning::Effects(outcomes, cells) => {
                self.apply(core, &call, outcomes, &cells)?;
                self.follow(core, out)
            }
        }
    }

    /// The batch of `call` must have failed.
    fn failed(&mut self, core: u8, call: &Call, out: Vec<Output>) -> Result<(), String> {
        self.report.failed += 1;
        let step = self.step;
        self.model.make_deferred(call.index, step);
        self.model
            .boot
            .again
            .insert(call.index, (call.batch.clone(), false));
        self.follow(core, out)?;
        ensure(self.must_fail.is_none(), || {
            format!("the batch of {call:?} had to fail, and did not")
        })
    }

    fn apply(
        &mut self,
        core: u8,
        call: &Call,
        outcomes: Vec<(Id, super::model::Outcome)>,
        cells: &[(&'static str, Option<Id>)],
    ) -> Result<(), String> {
        self.report.applied += 1;
        let step = self.step;
        for (id, outcome) in &outcomes {
            self.model.process(call.index, *id)?;
            let entry = self.model.entry_mut(*id);
            entry.done = step;
            entry.outcome = outcome.clone();
            for child in &outcome.children {
                self.begin(core, *child, outcome.by_egress.contains(child));
            }
            for record in &outcome.records {
                if let Some(record) = self.model.records.get_mut(*record) {
                    record.is_kept = true;
                }
            }
            for answer in &outcome.answers {
                self.give(*answer);
            }
        }
        for (_, outcome) in outcomes {
            for id in outcome.cancelled {
                self.report.cancelled += 1;
                self.model.entry_mut(id).status = Status::Gone;
            }
        }
        for (name, value) in cells {
            let value = value.map(|value| super::model::Cell {
                value: u64::try_from(value).unwrap_or_default(),
                stamp: self.now,
            });
            match value {
                Some(cell) => self.model.cells.insert((call.index, name), cell),
                None => self.model.cells.remove(&(call.index, *name)),
            };
        }
        self.model.boot.failures.remove(&call.index);
        self.model.make_deferred(call.index, step);
        Ok(())
    }

    /// A message that a function sent exists from here on.
    fn begin(&mut self, core: u8, id: Id, is_by_egress: bool) {
        let (step, boot) = (self.step, self.boot);
        let since = self.arrival(core, self.model.entry(id).target);
        let entry = self.model.entry_mut(id);
        entry.made = step;
        if entry.due.is_some() {
            entry.status = Status::Armed;
            entry.armed = (boot, core);
            return;
        }
        entry.status = Status::Waiting;
        entry.since = since;
        let stage = if is_by_egress {
            Stage::Egress
        } else {
            Stage::Send
        };
        entry.turn = Turn {
            boot,
            core,
            order: (step, stage, Timestamp::default(), Some(id)),
        };
    }

    /// When a message that `core` sends now arrives.
    fn arrival(&self, core: u8, target: AddressIndex) -> u64 {
        if self.owner(target) == core {
            self.step
        } else {
            NOT_YET
        }
    }

    /// An answer is on its way; the first to a call with a key is kept.
    fn give(&mut self, number: usize) {
        let Some(answer) = self.model.answers.get_mut(number) else {
            return;
        };
        answer.is_owed = true;
        let Some(row) = self.model.gateways.remove(&answer.gateway) else {
            return;
        };
        if let Some(kept) = self.model.keys.get_mut(&row)
            && kept.outcome == Outcome::Pending(answer.gateway.clone())
        {
            kept.outcome = Outcome::Answered(numbered("answer", number));
        }
    }

    /// A timer of `core` has fired.
    pub(super) fn fire(&mut self, core: u8, id: Id) -> Result<(), String> {
        self.report.fired += 1;
        let entry = self.model.entry(id);
        let (target, due) = (entry.target, entry.due.unwrap_or_default());
        let Sender::Function(sender) = entry.sender else {
            return Err(format!("timer {id} has no sender"));
        };
        ensure(self.owner(sender) == core, || {
            format!("core {core} fired timer {id} of another core")
        })?;
        let (step, boot, since) = (self.step, self.boot, self.arrival(core, target));
        let entry = self.model.entry_mut(id);
        entry.status = Status::Waiting;
        entry.since = since;
        entry.turn = Turn {
            boot,
            core,
            order: (step, Stage::Fire, due, None),
        };
        Ok(())
    }

    /// A call returns a second time, with effects that must stay without consequence.
    fn answer_late(&mut self) -> Result<(), String> {
        let at = pick(&mut self.random, self.late.len());
        let Some((core, id)) = self.late.get(at).copied() else {
            return Ok(());
        };
        let target = pick(&mut self.random, self.plan.addresses.len());
        let ghost = self.model.add(target, Sender::Ingress, None);
        let address = self.plan.addresses.get(target).map(|key| {
            let (namespace, name, id) = key.parts();
            Address {
                namespace: namespace.to_owned(),
                r#type: name.to_owned(),
                id: id.to_owned(),
            }
        });
        let response = InvocationResponse {
            outgoing_messages: vec![Invocation {
                target: address,
                argument: Some(message(ghost)),
            }],
            ..InvocationResponse::default()
        };
        self.tell(|_| format!("core {core}: late answer to {id:?} with message {ghost}"));
        let result = Ok(FromFunction {
            response: Some(Response::InvocationResult(response)),
        });
        let out = self.feed(core, Input::Answered { call: id, result });
        self.follow(core, out)
    }

    fn sync(&mut self) -> Result<(), String> {
        let position = self.syncer.sync().map_err(|error| error.to_string())?;
        if self.syncs.last() < Some(&position) {
            self.syncs.push(position);
        }
        self.synced = self.step;
        self.tell(|_| format!("synced up to {position}"));
        Ok(())
    }

    /// Tells a core of the first `count` syncs.
    fn tell_durable(&mut self, core: u8, count: usize) -> Result<(), String> {
        let Some(position) = self.syncs.get(count.saturating_sub(1)).copied() else {
            return Ok(());
        };
        if let Some(told) = self.told.get_mut(usize::from(core)) {
            *told = count;
        }
        self.tell(|_| format!("core {core}: durable up to {position}"));
        let out = self.feed(core, Input::Durable(position));
        self.follow(core, out)
    }

    fn tick(&mut self, core: u8) -> Result<(), String> {
        self.tell(|_| format!("core {core}: tick"));
        let out = self.feed(core, Input::Tick);
        self.follow(core, out)
    }

    fn move_clock(&mut self) -> Result<(), String> {
        let deadlines = self.cores.iter().filter_map(Core::next_deadline);
        let next = deadlines.min().filter(|_| self.random.chance(50));
        let now = self.now.as_millis();
        self.now = match next {
            _ if self.plan.steps_back && self.random.chance(30) => {
                Timestamp::from_millis(now.saturating_sub(self.random.below(20)))
            }
            Some(next) => next.max(self.now),
            None => Timestamp::from_millis(now + self.random.below(20)),
        };
        for core in 0..self.cores() {
            if self.random.chance(70) {
                self.tick(core)?;
            }
        }
        Ok(())
    }

    fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    fn set_state(&mut self) -> Result<(), String> {
        let index = pick(&mut self.random, self.plan.addresses.len());
        let (core, ticket) = (self.owner(index), self.ticket());
        let change = AdminChange::SetState {
            address: self
                .plan
                .addresses
                .get(index)
                .cloned()
                .ok_or("no such address")?,
            name: "note".into(),
            value: Some(numbered(
                "note",
                usize::try_from(ticket).unwrap_or_default(),
            )),
        };
        self.tell(|_| format!("core {core}: note {ticket} for {index}"));
        let is_busy = self.model.call_of(index).is_some();
        let out = self.feed(core, Input::Change(ticket, change));
        let step = self.step;
        if is_busy {
            self.model.boot.deferred.push((index, ticket));
        } else {
            self.model.change_note(index, ticket, step);
        }
        self.follow(core, out)
    }

    fn resume(&mut self, index: AddressIndex) -> Result<(), String> {
        let (core, ticket) = (self.owner(index), self.ticket());
        let address = self
            .plan
            .addresses
            .get(index)
            .cloned()
            .ok_or("no such address")?;
        let (mut was_parked, mut waited) = (false, false);
        if !self.is_draining {
            was_parked = self.model.parked.remove(&index);
            waited = self.model.boot.backoffs.remove(&index).is_some();
        }
        self.model.boot.resumes.insert(ticket, was_parked || waited);
        if was_parked {
            self.model.boot.failures.remove(&index);
        }
        self.tell(|_| format!("core {core}: resume {index}"));
        let out = self.feed(core, Input::Change(ticket, AdminChange::Resume(address)));
        self.follow(core, out)
    }

    /// The egress has taken a record, and deletes its row.
    fn take(&mut self) -> Result<(), String> {
        let out: Vec<_> = self
            .model
            .records
            .iter()
            .enumerate()
            .filter(|(_, record)| record.is_kept && record.is_out)
            .map(|(number, _)| number)
            .collect();
        let Some(number) = out.get(pick(&mut self.random, out.len())).copied() else {
            return Ok(());
        };
        let row = self
            .model
            .boot
            .rows
            .get(&number)
            .cloned()
            .unwrap_or_default();
        self.tell(|_| format!("egress {EGRESS:?} takes record {number}"));
        if let Some(record) = self.model.records.get_mut(number) {
            (record.is_kept, record.is_taken) = (false, true);
        }
        self.store.stage(vec![Write::delete(OUTBOX, row)]);
        Ok(())
    }

    /// The cores begin nothing new, finish some calls in progress, and stop.
    fn stop(&mut self) -> Result<(), String> {
        self.is_draining = true;
        for core in 0..self.cores() {
            self.tell(|_| format!("core {core}: drain"));
            let out = self.feed(core, Input::Drain);
            self.follow(core, out)?;
        }
        for _ in 0..self.random.below(20) {
            let action = self.plan.action(&mut self.random);
            if !matches!(action, Action::Stop | Action::Crash) {
                self.act(action)?;
            }
        }
        self.is_draining = false;
        self.crash()
    }

    /// All cores are gone, and with them any part of the end that was not synced.
    fn crash(&mut self) -> Result<(), String> {
        self.report.crashes += 1;
        let mut end = self.store.durable();
        let staged = self.store.stage(Vec::new());
        let unsynced = staged.as_u64() - end.as_u64();
        for _ in 0..self.random.below(unsynced + 1) {
            end = end.next();
        }
        self.tell(|_| format!("crash: of {staged} lists {end} are left"));
        (self.store, self.syncer) = self.memory.open_up_to(end);
        let image = Image::read(&self.store, &self.plan)?;
        audit::cut(&image, &self.model, self.synced, self.now)?;
        audit::adopt(image, &mut self.model)?;
        self.start();
        Ok(())
    }

    fn audit(&mut self) -> Result<(), String> {
        let image = Image::read(&self.store, &self.plan)?;
        audit::equal(&image, &self.model, self.now)
    }

    /// Nothing new begins; everything pending must be completed.
    fn come_to_rest(&mut self) -> Result<(), String> {
        self.is_calm = true;
        self.tell(|_| "calm".into());
        for core in 0..self.cores() {
            self.tick(core)?;
        }
        for _ in 0..ROUNDS {
            let step = self.step;
            self.calm_round()?;
            if self.step != step {
                continue;
            }
            let deadlines = self.cores.iter().filter_map(Core::next_deadline);
            let Some(next) = deadlines.min() else {
                self.audit()?;
                return self.check_rest();
            };
            self.now = next.max(self.now);
            for core in 0..self.cores() {
                self.tick(core)?;
            }
        }
        Err("it does not come to rest".into())
    }

    /// Everything that can happen without time passing, in some order.
    fn calm_round(&mut self) -> Result<(), String> {
        while let Some(way) = self.channels.keys().next().copied() {
            self.hand(way)?;
        }
        while !self.model.boot.calls.is_empty() {
            self.answer(None)?;
        }
        self.sync()?;
        for core in 0..self.cores() {
            let told = self.told.get(usize::from(core)).copied();
            if told < Some(self.syncs.len()) {
                self.tell_durable(core, self.syncs.len())?;
            }
        }
        while let Some(index) = self.model.parked.first().copied() {
            self.resume(index)?;
        }
        Ok(())
    }

    fn check_rest(&self) -> Result<(), String> {
        audit::at_rest(&self.model)?;
        for (index, core) in self.cores.iter().enumerate() {
            let counts = core.counts();
            ensure(counts == crate::runtime::core::Counts::default(), || {
                format!("at rest core {index} counts {counts:?}")
            })?;
            ensure(core.addresses() == 0 && core.in_flight() == 0, || {
                format!(
                    "at rest core {index} remembers {} addresses",
                    core.addresses()
                )
            })?;
        }
        Ok(())
    }
}
