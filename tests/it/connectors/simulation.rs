//! Cores, a source that stores positions and a target that stores them, stepped by a seed and killed between any two steps, including
//! those between a position and its effect. No task, no clock: ten thousand schedules take seconds.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use stateful_functions::Timestamp;
use stateful_functions::protocol::reqreply::to_function::Request;
use stateful_functions::protocol::reqreply::{FromFunction, ToFunction, TypedValue};
use stateful_functions::random::Random;
use stateful_functions::runtime::core::keys::{OUTBOX, egress_prefix};
use stateful_functions::runtime::core::{
    AddressKey, Bindings, Brought, CallId, Core, CoreSettings, EgressBinding, Failure,
    FunctionBinding, Input, Message, MessageId, Output, SourceCore, SplitPosition,
};
use stateful_functions::storage::{Memory, Rows as _, Store, Syncer, Write};

use crate::support::reply::{Reply, typed};
use crate::support::seeds::for_each_seed;

/// Every function, and the egress `out/far`.
#[derive(Debug)]
struct Bound;

impl Bindings for Bound {
    fn function(&self, _namespace: &str, name: &str) -> Option<FunctionBinding> {
        Some(FunctionBinding {
            after_durable: name == "outside",
            max_backlog: 0,
        })
    }

    fn egress(&self, namespace: &str, name: &str) -> Option<EgressBinding> {
        ((namespace, name) == ("out", "far")).then_some(EgressBinding::Outbox)
    }
}

/// What outlives every kill: the log that is read, the far side with its position, and what was synced.
struct World {
    random: Random,
    cores: u8,
    log: Vec<(AddressKey, String)>,
    far_side: Vec<String>,
    reached: BTreeMap<u8, MessageId>,
    memory: Memory,
}

/// What dies.
struct Life {
    store: Store,
    syncer: Syncer,
    cores: Vec<Core>,
    source: SourceCore,
    /// Records of the log that were brought.
    done: usize,
    channels: BTreeMap<(u8, u8), VecDeque<Message>>,
    calls: Vec<(u8, CallId, Bytes)>,
    outbox: VecDeque<(MessageId, Bytes)>,
    now: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::seeded(seed);
        let cores = 1 + u8::try_from(random.below(3)).unwrap();
        let count = 5 + random.below(40);
        let record = |number| {
            let name = ["f", "outside"][usize::from(random.chance(30))];
            let id = random.below(4).to_string();
            (AddressKey::new("a", name, &id), format!("{id}-{number}"))
        };
        let log = (0..count).map(record).collect();
        Self {
            random,
            cores,
            log,
            far_side: Vec::new(),
            reached: BTreeMap::new(),
            memory: Memory::default(),
        }
    }

    fn begin(&mut self) -> Life {
        let (store, syncer) = self.memory.open();
        let core = |index| {
            let settings = CoreSettings {
                index,
                cores: self.cores,
                ..CoreSettings::default()
            };
            Core::new(settings, Arc::new(Bound), store.clone())
        };
        let source = SourceCore::new(self.cores, self.cores, "test/log", store.clone());
        let position = source.positions().unwrap().pop();
        let prefix = egress_prefix("out", "far");
        let outbox = store.scan(OUTBOX, &prefix, None, usize::MAX).unwrap();
        let outbox = outbox.into_iter().map(|(key, value)| {
            let id = MessageId::decode(&key[prefix.len()..]).unwrap();
            (id, value)
        });
        let mut life = Life {
            cores: (0..self.cores).map(core).collect(),
            done: position.map_or(0, |(_, at)| usize::from(at[0])),
            source,
            channels: BTreeMap::new(),
            calls: Vec::new(),
            outbox: outbox.collect(),
            now: 1_000,
            store,
            syncer,
        };
        for index in 0..self.cores {
            life.step(index, Input::Tick);
        }
        life
    }

    /// One step, whichever.
    fn go(&mut self, life: &mut Life) {
        match self.random.below(6) {
            0 => self.bring(life),
            1 => {
                let waiting: Vec<_> = life.channels.keys().copied().collect();
                if let Some(channel) = pick(&mut self.random, &waiting) {
                    life.hand_on(channel);
                }
            }
            2 if !life.calls.is_empty() => {
                let at = self.random.below(life.calls.len() as u64);
                let (core, call, request) = life.calls.swap_remove(usize::try_from(at).unwrap());
                let result = if self.random.chance(20) {
                    Err(Failure::new("no answer"))
                } else {
                    Ok(effects(&request))
                };
                life.step(core, Input::Answered { call, result });
            }
            3 => life.sync(self.random.chance(80)),
            4 => self.deliver(life),
            _ => {
                life.now += 500;
                for core in 0..self.cores {
                    life.step(core, Input::Tick);
                }
            }
        }
    }

    /// The source polls: a few records and their position are one list.
    fn bring(&mut self, life: &mut Life) {
        let count = 1 + usize::try_from(self.random.below(4)).unwrap();
        let records = self.log.iter().skip(life.done).take(count);
        let mut brought: Vec<Brought> = Vec::new();
        for (target, text) in records {
            life.done += 1;
            match brought.iter_mut().find(|known| known.target() == target) {
                Some(known) => known.add(&typed(text)),
                None => {
                    let mut new = Brought::new(target.clone());
                    new.add(&typed(text));
                    brought.push(new);
                }
            }
        }
        let position = SplitPosition {
            split: "log".to_owned(),
            position: Some(vec![u8::try_from(life.done).unwrap()].into()),
        };
        let (_, messages) = life.source.take(brought, vec![position], Vec::new());
        for (to, messages) in (0..).zip(messages) {
            let channel = life.channels.entry((self.cores, to)).or_default();
            channel.extend(messages);
        }
    }

    /// The far side takes the oldest records and how far they reach, in one step; they are settled in another.
    fn deliver(&mut self, life: &mut Life) {
        let count = usize::try_from(1 + self.random.below(4)).unwrap();
        let batch: Vec<_> = life.outbox.iter().take(count).cloned().collect();
        let covered = |id: &MessageId| self.reached.get(&id.core()).is_some_and(|to| id <= to);
        let left: Vec<_> = batch
            .iter()
            .filter(|(id, _)| !covered(id))
            .cloned()
            .collect();
        for (id, value) in left {
            self.far_side.push(text(&value));
            self.reached.insert(id.core(), id);
        }
        if self.random.chance(30) {
            return; // its answer is lost
        }
        life.outbox.drain(..batch.len());
        let prefix = egress_prefix("out", "far");
        let rows = batch.iter();
        let rows = rows.map(|(id, _)| Write::delete(OUTBOX, [&prefix[..], &id.encode()].concat()));
        life.store.stage(rows.collect());
    }

    fn is_done(&self, life: &Life) -> bool {
        let rest = life.cores.iter().all(|core| core.backlog() == 0);
        let empty = life.channels.values().all(VecDeque::is_empty);
        let prefix = egress_prefix("out", "far");
        let left = life.store.scan(OUTBOX, &prefix, None, 1).unwrap();
        life.done == self.log.len() && rest && empty && left.is_empty()
    }
}

impl Life {
    fn step(&mut self, index: u8, input: Input) {
        let mut out = Vec::new();
        let now = Timestamp::from_millis(self.now);
        self.cores[usize::from(index)].handle(input, now, &mut out);
        for output in out {
            match output {
                Output::Call { call, request, .. } => self.calls.push((index, call, request)),
                Output::Forward(to, message) => {
                    let channel = self.channels.entry((index, to)).or_default();
                    channel.push_back(message);
                }
                Output::Egress { id, record, .. } => self.outbox.push_back((id, record)),
                _ => {}
            }
        }
    }

    fn hand_on(&mut self, channel: (u8, u8)) {
        let queue = self.channels.get_mut(&channel).unwrap();
        if let Some(message) = queue.pop_front() {
            self.step(channel.1, Input::Deliver(message));
        }
    }

    /// Makes everything durable; the cores may learn this now or later.
    fn sync(&mut self, tells: bool) {
        let position = self.syncer.sync().unwrap();
        for core in 0..u8::try_from(self.cores.len()).unwrap() {
            if tells {
                self.step(core, Input::Durable(position));
            }
        }
    }
}

fn pick<T: Copy>(random: &mut Random, among: &[T]) -> Option<T> {
    let count = u64::try_from(among.len()).unwrap();
    (count > 0).then(|| among[usize::try_from(random.below(count)).unwrap()])
}

/// A record for the far side for each message; every other one is made by another address.
fn effects(request: &Bytes) -> FromFunction {
    let Some(Request::Invocation(batch)) = ToFunction::decode(request.clone()).unwrap().request
    else {
        panic!("no batch");
    };
    let mut reply = Reply::new();
    for invocation in batch.invocations {
        let text = text(&invocation.argument.unwrap());
        reply = match text.strip_suffix("-relayed") {
            None if text.ends_with(['1', '3', '5', '7', '9']) => {
                reply.send("a/relay/any", &format!("{text}-relayed"))
            }
            original => reply.egress("out/far", original.unwrap_or(&text)),
        };
    }
    FromFunction {
        response: Some(reply.0),
    }
}

fn text(value: &Bytes) -> String {
    let value = TypedValue::decode(value.clone()).unwrap();
    String::from_utf8(value.value.to_vec()).unwrap()
}

fn play(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..world.random.below(6) {
        let mut life = world.begin();
        for _ in 0..world.random.below(80) {
            world.go(&mut life);
        }
    }
    let mut life = world.begin();
    let mut steps = 0;
    while !world.is_done(&life) {
        world.go(&mut life);
        steps += 1;
        assert!(steps < 100_000, "it does not come to rest");
    }
    let mut arrived = world.far_side.clone();
    let mut sent: Vec<_> = world.log.into_iter().map(|(_, text)| text).collect();
    arrived.sort();
    sent.sort();
    assert_eq!(arrived, sent);
}

#[test]
fn nothing_is_lost_or_duplicated_between_a_log_and_a_target_with_positions() {
    for_each_seed(3_000, play);
}
