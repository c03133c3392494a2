//! The world around the cores: their store, the messages between them, calls, time, and what happens next. Each kind of event has a file.

use std::collections::{BTreeMap, VecDeque};

use super::image::Image;
use super::model::{AddressIndex, Model};
use super::plan::{Action, Plan, pick};
use super::{Report, audit};
use crate::random::Random;
use crate::runtime::core::keys::id_hash;
use crate::runtime::core::{CallId, Core, Input, Message, Output, owner};
use crate::storage::{Memory, Position, Store, Syncer};
use crate::time::Timestamp;

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
    pub(super) boot: u64,
    pub(super) memory: Memory,
    pub(super) store: Store,
    pub(super) syncer: Syncer,
    pub(super) cores: Vec<Core>,
    /// Messages on their way, by sending and receiving core.
    pub(super) channels: BTreeMap<(u8, u8), VecDeque<Message>>,
    /// Positions synced since the start, and how many of them each core has been told.
    pub(super) syncs: Vec<Position>,
    pub(super) told: Vec<usize>,
    /// Calls that were answered or given up: another answer to them may come.
    pub(super) late: Vec<(u8, CallId)>,
    pub(super) next_ticket: u64,
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

    pub(super) fn cores(&self) -> u8 {
        u8::try_from(self.cores.len()).unwrap_or(1)
    }

    /// The core that an address belongs to.
    pub(super) fn owner(&self, index: AddressIndex) -> u8 {
        let id = self.plan.addresses.get(index).map_or("", |key| key.id());
        owner(id_hash(id), self.cores())
    }

    pub(super) fn some_core(&mut self) -> u8 {
        u8::try_from(self.random.below(u64::from(self.cores()))).unwrap_or_default()
    }

    /// Gives an input to a core. Its step has the number [`World::step`].
    pub(super) fn feed(&mut self, core: u8, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.step += 1;
        if let Some(core) = self.cores.get_mut(usize::from(core)) {
            core.handle(input, self.now, &mut out);
        }
        out
    }

    pub(super) fn act(&mut self, action: Action) -> Result<(), String> {
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

    pub(super) fn tick(&mut self, core: u8) -> Result<(), String> {
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

    pub(super) fn audit(&mut self) -> Result<(), String> {
        let image = Image::read(&self.store, &self.plan)?;
        audit::equal(&image, &self.model, self.now)
    }
}
