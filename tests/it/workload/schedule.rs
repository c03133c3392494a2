//! Any schedule a runtime may choose, at random: channels keep their order, timers fire when they are due, and nothing else is sure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use stateful_functions::random::Random;

use super::model::{Effect, NEVER, World};
use super::program::{At, Input, Program};

/// Sender, receiver.
type Channel = (Option<At>, At);

#[derive(Default)]
struct Timers {
    now: u64,
    armed: u64,
    /// By time and number.
    due: BTreeMap<(u64, u64), (Channel, Program)>,
    /// Sender's id and token.
    tokens: BTreeMap<(String, String), (u64, u64)>,
}

/// Plays all inputs to the end.
pub(crate) fn play(inputs: &[Input], random: &mut Random) -> World {
    let mut world = World::default();
    let mut channels: BTreeMap<Channel, VecDeque<Program>> = BTreeMap::new();
    for input in inputs {
        let channel = channels.entry((None, input.to.clone())).or_default();
        channel.push_back(input.program.clone());
    }
    let mut timers = Timers::default();
    loop {
        if channels.is_empty() || random.chance(10) {
            for (channel, program) in timers.advance(random, channels.is_empty()) {
                channels.entry(channel).or_default().push_back(program);
            }
        }
        let waiting = channels.len() as u64;
        let at = usize::try_from(random.below(waiting)).unwrap();
        let Some(channel) = channels.keys().nth(at).cloned() else {
            let pending = timers.tokens.keys().collect::<BTreeSet<_>>();
            assert!(pending.is_empty(), "never cancelled: {pending:?}");
            return world;
        };
        let queue = channels.get_mut(&channel).unwrap();
        let program = queue.pop_front().unwrap();
        if queue.is_empty() {
            channels.remove(&channel);
        }
        let (caller, here) = channel;
        for effect in world.run(&here, caller.as_ref(), &program) {
            match effect {
                Effect::Send(to, program) => {
                    let channel = channels.entry((Some(here.clone()), to)).or_default();
                    channel.push_back(program);
                }
                Effect::After(ms, to, program, token) => {
                    timers.arm(ms, (Some(here.clone()), to), program, token);
                }
                Effect::Cancel(token) => timers.cancel(&here, token),
            }
        }
    }
}

impl Timers {
    fn arm(&mut self, ms: u64, channel: Channel, program: Program, token: Option<String>) {
        self.armed += 1;
        let key = (self.now + ms, self.armed);
        if let Some(token) = token {
            let id = channel.0.as_ref().unwrap().0.id().to_owned();
            let pending = self.tokens.insert((id, token.clone()), key);
            assert_eq!(pending, None, "{token} is armed while it is pending");
        }
        self.due.insert(key, (channel, program));
    }

    fn cancel(&mut self, at: &At, token: String) {
        let key = (at.0.id().to_owned(), token);
        if let Some(due) = self.tokens.remove(&key) {
            self.due.remove(&due);
        }
    }

    /// Lets some time pass; what is due by then.
    fn advance(&mut self, random: &mut Random, idle: bool) -> Vec<(Channel, Program)> {
        self.now += random.below(100);
        if let (true, Some((next, _))) = (idle, self.due.keys().next()) {
            self.now = self.now.max(*next);
        }
        assert!(
            self.now < NEVER,
            "a message that should be cancelled is due"
        );
        let later = self.due.split_off(&(self.now + 1, 0));
        let due = std::mem::replace(&mut self.due, later);
        self.tokens.retain(|_, key| !due.contains_key(key));
        due.into_values().collect()
    }
}
