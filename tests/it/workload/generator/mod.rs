//! Random workloads: trees of programs that are predictable whatever the schedule.

mod cells;
mod tokens;

use std::collections::HashMap;

use stateful_functions::Address;
use stateful_functions::random::Random;

use super::program::{At, Cell, Input, Op, Program, TYPES};
use tokens::Tokens;

/// Ids beside [`STRANGE_IDS`].
const IDS: u64 = 190;
/// Ids that want to be escaped somewhere.
const STRANGE_IDS: [&str; 5] = ["a/b", "x y?z#1%41", "Zoë 🦀", "\"quoted\\\"", "-"];
/// Addresses that get much of the traffic.
const HOT: u64 = 8;
/// A program sends to few others, so that channels get more than one message.
const NEIGHBOURS: u64 = 2;
const DEPTH: usize = 5;
/// Few different ones, so that ways are gone more than once.
const DELAYS: [u64; 6] = [0, 1, 5, 20, 100, 300];
/// One crash per this many commands.
const COMMANDS_PER_CRASH: u64 = 1_500;
const COMMANDS_PER_FAILURE: u64 = 200;

/// What the ingress is fed with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Workload {
    pub(crate) inputs: Vec<Input>,
    pub(crate) commands: u64,
    /// Marks of `crash_once`.
    pub(crate) crashes: u64,
}

impl Workload {
    /// The workload that belongs to `seed`, of `commands` commands or a few more.
    pub(crate) fn random(seed: u64, commands: u64) -> Self {
        let mut generator = Generator::new(seed);
        let mut inputs = Vec::new();
        while generator.commands < commands {
            inputs.push(generator.input());
        }
        inputs.extend(generator.closing_inputs());
        Self {
            inputs,
            commands: generator.commands,
            crashes: generator.crashes,
        }
    }

    /// All addresses that may be touched, and some that never are.
    pub(crate) fn addresses() -> Vec<At> {
        let ids = (0..IDS).map(|id| id.to_string());
        let ids = ids.chain(STRANGE_IDS.map(str::to_owned));
        ids.flat_map(|id| TYPES.map(|of| At(Address::new(of, &*id))))
            .collect()
    }
}

/// How a message came: the addresses from the first receiver on, with the delay of each step. What comes along one way comes in the
/// order in which the ingress was fed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Way(Vec<(At, Option<u64>)>);

impl Way {
    fn here(&self) -> &At {
        &self.0.last().unwrap().0
    }

    fn caller(&self) -> Option<&At> {
        let before = self.0.len().checked_sub(2)?;
        Some(&self.0[before].0)
    }

    fn on_to(&self, to: &At, delay: Option<u64>) -> Self {
        let mut way = self.clone();
        way.0.push((to.clone(), delay));
        way
    }
}

/// What does not commute.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Ordered {
    Cell(At, Cell),
    /// Receiver and caller.
    Marks(At, Option<At>),
}

#[derive(Debug)]
struct Generator {
    random: Random,
    seed: u64,
    addresses: Vec<At>,
    neighbours: HashMap<At, Vec<At>>,
    /// Who may touch it, and how often it was.
    owners: HashMap<Ordered, (Way, u64)>,
    /// By address, in the order of their first use.
    tokens: Vec<(At, Tokens)>,
    commands: u64,
    crashes: u64,
    failures: u64,
    numbers: u64,
}

impl Generator {
    fn new(seed: u64) -> Self {
        Self {
            random: Random::seeded(seed),
            seed,
            addresses: Workload::addresses(),
            neighbours: HashMap::new(),
            owners: HashMap::new(),
            tokens: Vec::new(),
            commands: 0,
            crashes: 0,
            failures: 0,
            numbers: 0,
        }
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        let at = self.random.below(from.len() as u64);
        from[usize::try_from(at).unwrap()].clone()
    }

    /// A text that stands nowhere else.
    fn unique(&mut self, what: &str) -> String {
        self.numbers += 1;
        format!("{what} {}.{}", self.seed, self.numbers)
    }

    fn address(&mut self) -> At {
        // Each twentieth one is never touched.
        let touched = self.addresses.len() as u64 * 19 / 20;
        let bound = if self.random.chance(45) { HOT } else { touched };
        let at = self.random.below(bound);
        self.addresses[usize::try_from(at).unwrap()].clone()
    }

    fn neighbour(&mut self, at: &At) -> At {
        let known = match self.neighbours.get(at) {
            Some(known) => known.clone(),
            None => {
                let some: Vec<At> = (0..NEIGHBOURS).map(|_| self.address()).collect();
                self.neighbours.insert(at.clone(), some.clone());
                some
            }
        };
        self.pick(&known)
    }

    fn input(&mut self) -> Input {
        let to = self.address();
        let way = Way(vec![(to.clone(), None)]);
        let program = self.program(&way);
        Input { to, program }
    }

    fn program(&mut self, way: &Way) -> Program {
        let depth = way.0.len();
        let most = if depth == 1 {
            6
        } else {
            6 - depth.min(5) as u64
        };
        let count = 1 + self.random.below(most);
        let mut ops = Vec::new();
        if self.random.chance(90) {
            ops.extend(self.mark(way));
        }
        for _ in 0..count {
            // Else a tree would grow with each level.
            let may_send = depth == 1 || depth < DEPTH && self.random.chance(30);
            self.command(way, may_send, &mut ops);
        }
        self.finish(way, ops)
    }

    /// The program of these operations for the end of `way`.
    fn finish(&mut self, way: &Way, ops: Vec<Op>) -> Program {
        self.numbers += 1;
        self.commands += ops.len() as u64;
        Program {
            id: format!("{}.{}", self.seed, self.numbers),
            from: way.caller().cloned(),
            ops,
        }
    }

    fn command(&mut self, way: &Way, may_send: bool, ops: &mut Vec<Op>) {
        let most = if may_send { 100 } else { 62 };
        match self.random.below(most) {
            0..16 => ops.push(self.add()),
            16..38 => {
                let op = self.state(way, ops);
                ops.push(op);
            }
            38..46 => ops.push(Op::Egress {
                text: self.unique("egress"),
            }),
            46..49 => ops.push(Op::Kafka {
                topic: self.pick(&["t1", "t2"]).to_owned(),
                key: self.pick(&["", "k", "Schlüssel"]).to_owned(),
                text: self.unique("kafka"),
            }),
            49..52 => ops.push(Op::Kinesis {
                stream: self.pick(&["s1", "s2"]).to_owned(),
                key: self.pick(&["k", "Schlüssel"]).to_owned(),
                text: self.unique("kinesis"),
            }),
            52..54 => ops.push(self.mishap()),
            54..62 => self.cancel_at_once(way, ops),
            62..84 => {
                let to = self.target(way.here());
                for _ in 0..1 + self.random.below(2) {
                    ops.push(self.send(way, to.clone()));
                }
            }
            84..93 => {
                let to = self.target(way.here());
                let ms = self.pick(&DELAYS);
                for _ in 0..1 + self.random.below(2) {
                    ops.push(self.send_after(way, ms, to.clone()));
                }
            }
            93..96 => self.cancel_later(way, ops),
            _ => self.cancel_elsewhere(way, ops),
        }
    }

    fn target(&mut self, here: &At) -> At {
        match self.random.below(10) {
            0 | 1 => here.clone(),
            2..8 => self.neighbour(here),
            _ => self.address(),
        }
    }

    fn add(&mut self) -> Op {
        let amount = i64::try_from(self.random.below(2_000)).unwrap() - 1_000;
        Op::Add { amount }
    }

    fn send(&mut self, way: &Way, to: At) -> Op {
        let program = self.program(&way.on_to(&to, None));
        Op::Send { to, program }
    }

    fn send_after(&mut self, way: &Way, ms: u64, to: At) -> Op {
        let program = self.program(&way.on_to(&to, Some(ms)));
        Op::SendAfter {
            ms,
            to,
            program,
            token: None,
        }
    }

    /// Fails or crashes, if it is time for that.
    fn mishap(&mut self) -> Op {
        if self.commands >= (self.crashes + 1) * COMMANDS_PER_CRASH {
            self.crashes += 1;
            let mark = format!("crash-{}-{}", self.seed, self.crashes);
            return Op::CrashOnce { mark };
        }
        if self.commands >= (self.failures + 1) * COMMANDS_PER_FAILURE {
            self.failures += 1;
            let mark = format!("failure-{}-{}", self.seed, self.failures);
            return Op::FailOnce { mark };
        }
        self.add()
    }

    /// How often what does not commute was touched along this way, this time included; `None` if it belongs to another way.
    fn claim(&mut self, what: Ordered, way: &Way) -> Option<u64> {
        let (owner, count) = self.owners.entry(what).or_insert_with(|| (way.clone(), 0));
        if owner != way {
            return None;
        }
        *count += 1;
        Some(*count)
    }

    fn mark(&mut self, way: &Way) -> Option<Op> {
        let marks = Ordered::Marks(way.here().clone(), way.caller().cloned());
        let number = self.claim(marks, way)?;
        Some(Op::Mark { number })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::model::Model;
    use super::super::schedule;
    use super::*;

    fn walk(program: &Program, depth: usize, visit: &mut impl FnMut(&Op, usize)) {
        for op in &program.ops {
            visit(op, depth);
            if let Op::Send { program, .. } | Op::SendAfter { program, .. } = op {
                walk(program, depth + 1, visit);
            }
        }
    }

    #[test]
    fn equal_seeds_give_equal_workloads() {
        assert_eq!(Workload::random(7, 500), Workload::random(7, 500));
        assert_ne!(Workload::random(7, 500), Workload::random(8, 500));
    }

    #[test]
    fn a_workload_has_every_operation_on_hundreds_of_addresses_in_trees_of_several_levels() {
        let workload = Workload::random(1, 20_000);
        let (mut commands, mut deepest) = (0, 0);
        let (mut kinds, mut numbers) = (BTreeMap::new(), Vec::new());
        let mut count = |op: &Op, depth: usize| {
            commands += 1;
            deepest = deepest.max(depth);
            let kind = serde_json::to_value(op).unwrap()["op"].clone();
            *kinds.entry(kind.to_string()).or_insert(0) += 1;
            if let Op::Mark { number } = op {
                numbers.push(*number);
            }
        };
        for input in &workload.inputs {
            walk(&input.program, 1, &mut count);
        }
        assert_eq!(commands, workload.commands, "{kinds:?}");
        assert!(
            commands < 20_500 && deepest >= DEPTH,
            "{commands} {deepest}"
        );
        assert_eq!(kinds.len(), 13, "all but `report`: {kinds:?}");
        assert!(workload.crashes >= 10 && kinds["\"fail_once\""] >= 50);
        let follow_ups = numbers.iter().filter(|number| **number > 1).count();
        assert!(
            follow_ups > 600,
            "channels are used again: {follow_ups} of {}",
            numbers.len()
        );
        let touched: BTreeSet<At> = Model::of(&workload.inputs)
            .world
            .contents
            .into_keys()
            .collect();
        assert!(
            touched.len() > 400,
            "{} of {}",
            touched.len(),
            workload.inputs.len()
        );
        let known: BTreeSet<At> = Workload::addresses().into_iter().collect();
        assert!(touched.is_subset(&known) && touched.len() < known.len());
    }

    #[test]
    fn any_schedule_that_keeps_the_channels_in_order_leaves_what_the_model_predicts() {
        for seed in 0..20 {
            let workload = Workload::random(seed, 3_000);
            let model = Model::of(&workload.inputs);
            let marks = |input: &Input| {
                let mut any = false;
                walk(&input.program, 1, &mut |op, _| {
                    any |= matches!(op, Op::Mark { .. })
                });
                any
            };
            assert!(workload.inputs.iter().any(marks));
            for order in 0..3 {
                let world = schedule::play(&workload.inputs, &mut Random::seeded(order));
                assert!(world == model.world, "seed {seed}, schedule {order}");
            }
        }
    }

    #[test]
    fn a_schedule_that_turns_a_channel_round_shows() {
        let workload = Workload::random(1, 3_000);
        let model = Model::of(&workload.inputs);
        let turned: Vec<Input> = workload.inputs.into_iter().rev().collect();
        assert!(Model::of(&turned).world != model.world);
    }
}
