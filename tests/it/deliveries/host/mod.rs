//! A host with the guarantees of a runtime: commits, messages, timers and tokens survive, everything else ends with the process.

mod commits;
mod faults;
mod timers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use stateful_functions::Timestamp;
use stateful_functions::delivery::engine::{
    Class, Delivery, DeliveryState, Effect, Failure, Head, Input, Journal, Outcome, Policy,
    Readiness, Reason,
};
use stateful_functions::delivery::owner::{
    Action, Item, LaneEntry, LaneHead, Woken, adopt, attempts, decide,
};
use stateful_functions::random::Random;

use timers::Timer;

use super::START;

/// Where the process can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum KillPoint {
    BeforeCommit,
    TargetCalled,
    AnswerReceived,
    Committed,
    Idle,
}

/// A message that is on its way; it is gone once its effect is committed.
#[derive(Debug, Clone)]
pub(super) enum Message {
    /// An input for a delivery.
    Input {
        id: String,
        input: Input,
    },
    /// To itself: make the attempt that is written down already.
    Attempt {
        id: String,
        n: u32,
        boot: u32,
    },
    /// To another address: make the attempt there.
    Call {
        id: String,
        epoch: u64,
        n: u32,
    },
    Join {
        key: String,
        entry: LaneEntry,
    },
    Leave {
        key: String,
        id: String,
        seq: u64,
    },
    /// From the destination: it works again, or is asked whether it does.
    Wake {
        id: String,
        probe: bool,
    },
}

impl Message {
    fn id(&self) -> &str {
        match self {
            Self::Input { id, .. }
            | Self::Attempt { id, .. }
            | Self::Call { id, .. }
            | Self::Leave { id, .. }
            | Self::Wake { id, .. } => id,
            Self::Join { entry, .. } => &entry.id,
        }
    }
}

/// What is kept of a delivery, and what is known of its target.
pub(super) struct Kept {
    pub(super) item: Item,
    /// The fold of all transitions, none of them folded before.
    pub(super) head: Head,
    pub(super) follows: [u32; 3],
    /// How often the target took it.
    pub(super) accepted: u32,
    /// How often it may have taken it for nothing: the commit after it was lost, or the answer.
    pub(super) excused: u32,
}

/// Whose turn it is, and who is behind.
pub(super) type StoredLane = (LaneHead, VecDeque<LaneEntry>);

pub(super) struct Host {
    pub(super) policy: Policy,
    pub(super) random: Random,
    pub(super) now: Timestamp,
    pub(super) kept: BTreeMap<String, Kept>,
    pub(super) inbox: VecDeque<Message>,
    pub(super) healthy: bool,
    /// How many batches of the stream come after its position.
    pub(super) position: u64,
    pub(super) timers: BTreeMap<String, Timer>,
    pub(super) lanes: BTreeMap<String, StoredLane>,
    /// The items that wait for the destination, in the order in which they started to wait, and whether they have no timer of their own.
    pub(super) listed: VecDeque<(String, bool)>,
    boot: u32,
    /// Firings and answers that had their effect, or were cancelled.
    past: Vec<(String, Input)>,
    pub(super) seen: Seen,
}

/// What the scripts came across, so that none of it is missing.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) moves: BTreeSet<(Option<DeliveryState>, DeliveryState, Option<Reason>)>,
    pub(super) kills: BTreeSet<KillPoint>,
    pub(super) stale: BTreeSet<&'static str>,
    pub(super) answers: BTreeSet<Woken>,
    /// Attempts that only asked, and failed.
    pub(super) probes: u32,
    pub(super) handed: u32,
    pub(super) refused: u32,
}

impl Host {
    pub(super) fn new(policy: Policy, random: Random) -> Self {
        Self {
            policy,
            random,
            now: Timestamp::from_millis(START),
            kept: BTreeMap::new(),
            inbox: VecDeque::new(),
            healthy: false,
            position: 0,
            timers: BTreeMap::new(),
            lanes: BTreeMap::new(),
            listed: VecDeque::new(),
            boot: 0,
            past: Vec::new(),
            seen: Seen::default(),
        }
    }

    /// Takes a delivery that is to be submitted; what its target took of an earlier activation stays known.
    pub(super) fn add(&mut self, delivery: Delivery, submit: Input) {
        let id = delivery.id.clone();
        let earlier = self.kept.remove(&id);
        let mut item = Item::new(delivery);
        item.has_destination = true;
        self.listed.retain(|(listed, _)| *listed != id);
        let kept = Kept {
            item,
            head: Head::default(),
            follows: [0; 3],
            accepted: earlier.as_ref().map_or(0, |kept| kept.accepted),
            excused: earlier.as_ref().map_or(0, |kept| kept.excused),
        };
        self.kept.insert(id.clone(), kept);
        self.send(&id, submit);
    }

    pub(super) fn send(&mut self, id: &str, input: Input) {
        let id = id.to_owned();
        self.inbox.push_back(Message::Input { id, input });
    }

    /// Handles a message; those of one delivery keep their order.
    pub(super) fn handle_one(&mut self) -> bool {
        let Some(picked) = self.random_index(self.inbox.len()) else {
            return false;
        };
        let id = self.inbox[picked].id();
        let first = self
            .inbox
            .iter()
            .position(|message| message.id() == id)
            .unwrap();
        let message = self.inbox.remove(first).unwrap();
        if !self.handle(message.clone()) {
            self.inbox.insert(first, message);
        }
        self.kill(KillPoint::Committed);
        true
    }

    /// True when the effect of the message was committed.
    fn handle(&mut self, message: Message) -> bool {
        match message {
            Message::Input { id, input } => self.run(&id, input),
            Message::Attempt { id, boot, n } if boot != self.boot => {
                let epoch = self.kept[&id].item.delivery.epoch;
                self.run(&id, Input::Interrupted { epoch, n })
            }
            Message::Attempt { id, n, .. } => {
                let epoch = self.kept[&id].item.delivery.epoch;
                match self.call(&id) {
                    Some(outcome) => self.run(&id, Input::Outcome { epoch, n, outcome }),
                    None => false,
                }
            }
            Message::Call { id, epoch, n } => {
                let Some(outcome) = self.call(&id) else {
                    return false;
                };
                if self.healthy || self.random.chance(90) {
                    self.send(&id, Input::Outcome { epoch, n, outcome });
                } else if outcome == Outcome::Ok {
                    self.kept.get_mut(&id).unwrap().excused += 1;
                }
                true
            }
            Message::Join { key, entry } => self.lane(&key, |(lane_head, behind)| {
                if lane_head.turn().is_some() {
                    behind.push_back(entry);
                    return None;
                }
                lane_head.give(Some(entry));
                lane_head.turn().cloned()
            }),
            Message::Leave { key, id, seq } => self.lane(&key, |(lane_head, behind)| {
                if !lane_head.leave(&id, seq) {
                    return None;
                }
                lane_head.give(behind.pop_front());
                lane_head.turn().cloned()
            }),
            Message::Wake { id, probe } => self.run_as(&id, Input::Wake, probe),
        }
    }

    fn lane(
        &mut self,
        key: &str,
        change: impl FnOnce(&mut StoredLane) -> Option<LaneEntry>,
    ) -> bool {
        if self.kill(KillPoint::BeforeCommit) {
            return false;
        }
        let turn = change(self.lanes.entry(key.to_owned()).or_default());
        if let Some(LaneEntry { id, seq }) = turn {
            self.send(&id, Input::Turn { seq });
        }
        true
    }

    /// Whether an attempt could be made now, as a gate would say.
    fn readiness(&mut self, probe: bool) -> Readiness {
        match self.random.below(100) {
            _ if self.healthy => Readiness::Ready,
            0..15 if self.policy.wake => Readiness::Held,
            0..15 => Readiness::Later(self.now + super::secs(self.random.below(20))),
            15..30 => Readiness::Probe,
            _ if probe => Readiness::Probe,
            _ => Readiness::Ready,
        }
    }

    fn run(&mut self, id: &str, input: Input) -> bool {
        self.run_as(id, input, false)
    }

    /// One invocation: the decision, an attempt made within it, and the commit of both.
    fn run_as(&mut self, id: &str, input: Input, probe: bool) -> bool {
        let mut item = self.kept[id].item.clone();
        let is_new = item.delivery.state.is_none();
        let answered = matches!(
            &input,
            Input::Outcome {
                outcome: Outcome::Ok,
                ..
            }
        );
        let may_attempt = attempts(&item, &input, self.now, &self.policy);
        let readiness = match may_attempt {
            true => self.readiness(probe),
            false => Readiness::Ready,
        };
        let decided = decide(&mut item, input.clone(), readiness, self.now, &self.policy);
        let mut actions = match decided {
            Ok(actions) => actions,
            Err(refused) => {
                let by_actor = matches!(
                    input,
                    Input::Cancel { .. }
                        | Input::Discard { .. }
                        | Input::RetryNow { .. }
                        | Input::Pause
                        | Input::Resume
                );
                assert!(by_actor, "{input:?}: {refused}");
                assert_eq!(item, self.kept[id].item, "a refused input changes nothing");
                self.seen.refused += 1;
                return true;
            }
        };
        assert!(
            attempt(&actions).is_none() || may_attempt,
            "an attempt that nothing announced: {input:?}"
        );
        if let (Some(n), Journal::With) = (attempt(&actions), self.policy.record) {
            let Some(outcome) = self.call(id) else {
                return false;
            };
            let ended = Input::Outcome {
                epoch: item.delivery.epoch,
                n,
                outcome,
            };
            let ready = Readiness::Ready;
            actions.extend(decide(&mut item, ended, ready, self.now, &self.policy).unwrap());
        } else if self.kill(KillPoint::BeforeCommit) {
            if answered && !is_stale(&actions) && self.policy.record == Journal::Before {
                self.kept.get_mut(id).unwrap().excused += 1;
            }
            return false;
        }
        if is_stale(&actions) {
            self.kept.get_mut(id).unwrap().excused += u32::from(answered);
        } else if matches!(
            input,
            Input::Due { .. } | Input::Turn { .. } | Input::Outcome { .. } | Input::Deadline { .. }
        ) {
            self.past.push((id.to_owned(), input));
        }
        let is_rest = item.delivery.state == Some(DeliveryState::Awaiting);
        if is_new && is_rest && self.random.chance(30) {
            // Started at another address, and handed over unchanged.
            self.seen.handed += 1;
            let join = actions
                .iter()
                .any(|action| matches!(action, Action::Engine(Effect::Join { .. })));
            if !join {
                let follows = |action: &Action| matches!(action, Action::Engine(Effect::Follow(_)));
                actions.retain(follows);
                actions.extend(adopt(&mut item, self.now, &self.policy));
            }
        }
        self.commit(id, item, actions);
        true
    }

    /// Calls the target. `None` when the process ended before its answer was committed.
    fn call(&mut self, id: &str) -> Option<Outcome> {
        let outcome = self.answer(id);
        let accepted = u32::from(outcome == Outcome::Ok);
        let killed = self.kill(KillPoint::TargetCalled) || self.kill(KillPoint::AnswerReceived);
        let kept = self.kept.get_mut(id).unwrap();
        kept.accepted += accepted;
        if killed {
            kept.excused += accepted;
            return None;
        }
        Some(outcome)
    }

    fn answer(&mut self, id: &str) -> Outcome {
        if self.healthy {
            return Outcome::Ok;
        }
        let cancel = self.kept[id].item.delivery.cancel.is_some();
        match self.random.below(100) {
            0..35 => Outcome::Ok,
            35..65 => self.failure(Class::Retry),
            65..70 => self.failure(Class::Slow),
            70..75 => self.failure(Class::Permanent),
            75..80 => Outcome::Err(Failure::permanent("too_large", "20 MiB")),
            80..85 => Outcome::Err(Failure::retry("gone", "user deleted").with_discard()),
            85..90 if cancel => Outcome::Cancelled,
            _ => Outcome::NoAnswer,
        }
    }

    fn failure(&mut self, class: Class) -> Outcome {
        let code = ["connect", "http_503", "http_429"][self.random_index(3).unwrap()];
        let mut failure = Failure::new(class, code, "no");
        failure.retry_after = self.random.chance(20).then(|| super::secs(7));
        Outcome::Err(failure)
    }

    pub(super) fn random_index(&mut self, length: usize) -> Option<usize> {
        (length > 0).then(|| usize::try_from(self.random.below(length as u64)).unwrap())
    }
}

fn attempt(actions: &[Action]) -> Option<u32> {
    actions.iter().find_map(|action| match action {
        Action::Engine(Effect::Attempt { n, .. }) => Some(*n),
        _ => None,
    })
}

fn is_stale(actions: &[Action]) -> bool {
    matches!(
        actions,
        [Action::Engine(Effect::Count {
            metric: "stale_inputs",
            ..
        })]
    )
}
