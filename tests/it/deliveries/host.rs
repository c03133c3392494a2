//! A host as a runtime is one: commits, messages, timers and tokens last, the rest goes with the process.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use stateful_functions::Timestamp;
use stateful_functions::delivery::engine::{
    Class, Delivery, Effect, Failure, Follow, Head, History, Input, Lane, Lead, Outcome, Place,
    Policy, Purpose, Reason, Record, State, Token, Transition, step,
};
use stateful_functions::random::Random;

use super::{START, is_stale};

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
        place: Place,
    },
    Leave {
        key: String,
        id: String,
    },
}

impl Message {
    fn id(&self) -> &str {
        match self {
            Self::Input { id, .. }
            | Self::Attempt { id, .. }
            | Self::Call { id, .. }
            | Self::Leave { id, .. } => id,
            Self::Join { place, .. } => &place.id,
        }
    }
}

/// What is kept of a delivery, and what is known of its target.
pub(super) struct Kept {
    pub(super) delivery: Delivery,
    pub(super) history: History,
    /// The fold of all transitions, none of them folded before.
    pub(super) head: Head,
    pub(super) follows: [u32; 3],
    /// How often the target took it.
    pub(super) accepted: u32,
    /// How often it may have taken it for nothing: the commit after it was lost, or the answer.
    pub(super) excused: u32,
}

pub(super) struct Timer {
    pub(super) id: String,
    pub(super) token: Token,
    at: Timestamp,
    arm: u64,
}

pub(super) type StoredLane = (Lead, [Bytes; Lane::SEGMENTS]);

pub(super) struct Host {
    pub(super) policy: Policy,
    pub(super) random: Random,
    pub(super) now: Timestamp,
    pub(super) kept: BTreeMap<String, Kept>,
    pub(super) inbox: VecDeque<Message>,
    pub(super) healthy: bool,
    /// How many batches of the stream are behind its position.
    pub(super) position: u64,
    pub(super) timers: BTreeMap<String, Timer>,
    pub(super) lanes: BTreeMap<String, StoredLane>,
    boot: u32,
    /// Firings and answers that had their effect, or were cancelled.
    past: Vec<(String, Input)>,
    pub(super) seen: Seen,
}

/// What the scripts came across, so that none of it is missing.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) moves: BTreeSet<(Option<State>, State, Option<Reason>)>,
    pub(super) kills: BTreeSet<KillPoint>,
    pub(super) stale: BTreeSet<&'static str>,
    pub(super) refused: u32,
}

fn address(id: &str) -> String {
    format!("shop/job.crm/{id}")
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
            boot: 0,
            past: Vec::new(),
            seen: Seen::default(),
        }
    }

    /// Takes a delivery that is to be submitted; what its target took of an earlier activation stays known.
    pub(super) fn add(&mut self, delivery: Delivery, submit: Input) {
        let id = delivery.id.clone();
        let earlier = self.kept.remove(&id);
        let kept = Kept {
            delivery,
            history: History::default(),
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
                let epoch = self.kept[&id].delivery.epoch;
                self.run(&id, Input::Interrupted { epoch, n })
            }
            Message::Attempt { id, n, .. } => {
                let epoch = self.kept[&id].delivery.epoch;
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
            Message::Join { key, place } => {
                self.lane(&key, |lane| lane.join(place).unwrap().cloned())
            }
            Message::Leave { key, id } => self.lane(&key, |lane| lane.leave(&id).unwrap().cloned()),
        }
    }

    fn lane(&mut self, key: &str, change: impl FnOnce(&mut Lane) -> Option<Place>) -> bool {
        if self.kill(KillPoint::BeforeCommit) {
            return false;
        }
        let (lead, segments) = self.lanes.entry(key.to_owned()).or_default();
        let mut lane = Lane::stored(lead.clone(), segments.clone());
        let turn = change(&mut lane);
        for (n, lines) in lane.changed() {
            segments[n] = lines.clone();
        }
        *lead = lane.lead().clone();
        if let Some(Place { id, seq }) = turn {
            self.send(&id, Input::Turn { seq });
        }
        true
    }

    /// One invocation: the step, an attempt made within it, and the commit of both.
    fn run(&mut self, id: &str, input: Input) -> bool {
        let mut delivery = self.kept[id].delivery.clone();
        let mut effects = Vec::new();
        let answered = matches!(
            &input,
            Input::Outcome {
                outcome: Outcome::Ok,
                ..
            }
        );
        if let Err(refused) = step(
            &mut delivery,
            input.clone(),
            self.now,
            &self.policy,
            &mut effects,
        ) {
            let by_actor = matches!(
                input,
                Input::Cancel { .. }
                    | Input::Discard { .. }
                    | Input::RetryNow { .. }
                    | Input::Pause
                    | Input::Resume
            );
            assert!(by_actor, "{input:?}: {refused}");
            assert_eq!(delivery, self.kept[id].delivery);
            self.seen.refused += 1;
            return true;
        }
        if let (Some(n), Record::With) = (attempt(&effects), self.policy.record) {
            let Some(outcome) = self.call(id) else {
                return false;
            };
            let input = Input::Outcome {
                epoch: delivery.epoch,
                n,
                outcome,
            };
            step(&mut delivery, input, self.now, &self.policy, &mut effects).unwrap();
        } else if self.kill(KillPoint::BeforeCommit) {
            if answered && !is_stale(&effects) && self.policy.record == Record::Before {
                self.kept.get_mut(id).unwrap().excused += 1;
            }
            return false;
        }
        if is_stale(&effects) {
            self.kept.get_mut(id).unwrap().excused += u32::from(answered);
        } else if matches!(
            input,
            Input::Due { .. } | Input::Turn { .. } | Input::Outcome { .. } | Input::Deadline { .. }
        ) {
            self.past.push((id.to_owned(), input));
        }
        self.commit(id, delivery, effects);
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
        let cancel = self.kept[id].delivery.cancel.is_some();
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

    fn commit(&mut self, id: &str, delivery: Delivery, effects: Vec<Effect>) {
        let before = std::mem::replace(&mut self.kept.get_mut(id).unwrap().delivery, delivery);
        let mut requeued = false;
        for effect in effects {
            match effect {
                Effect::Append(transition) => {
                    requeued |= transition.reason == Some(Reason::Requeued);
                    self.append(id, transition);
                }
                Effect::Attempt {
                    epoch,
                    n,
                    deadline,
                    key,
                } => {
                    assert_eq!(key, id);
                    assert_eq!(deadline, self.now + self.policy.timeout);
                    self.attempt(id, epoch, n);
                }
                Effect::Disarm { token } => self.disarm(id, token),
                Effect::Arm { token, at, arm } => self.arm(id, token, at, arm),
                Effect::Follow(follow) => {
                    self.kept.get_mut(id).unwrap().follows[index(follow)] += 1
                }
                Effect::Advance { position } => self.advance(id, &position),
                Effect::Join { seq } => {
                    let (key, id) = (self.key(id), id.to_owned());
                    self.inbox.push_back(Message::Join {
                        key,
                        place: Place { id, seq },
                    });
                }
                Effect::Leave => {
                    let (key, id) = (self.key(id), id.to_owned());
                    self.inbox.push_back(Message::Leave { key, id });
                }
                Effect::Count { label, .. } => _ = self.seen.stale.insert(label),
                other => panic!("unknown effect {other:?}"),
            }
        }
        let after = &self.kept[id].delivery;
        assert!(
            after.spent >= before.spent || requeued,
            "only an actor restarts spent"
        );
        assert!(after.attempt >= before.attempt);
        self.check(id);
    }

    fn key(&self, id: &str) -> String {
        self.kept[id].delivery.key.clone().unwrap()
    }

    fn append(&mut self, id: &str, transition: Transition) {
        let kept = self.kept.get_mut(id).unwrap();
        let t = &transition;
        assert_eq!(
            t.seq,
            kept.head.state.map_or(0, |_| kept.head.seq + 1),
            "seq is dense"
        );
        assert_eq!(t.state_before, kept.head.state);
        assert!(Some(t.created_at) >= kept.head.last_at, "times go up");
        if t.state_before.is_some_and(State::is_terminal) {
            assert_eq!(t.reason, Some(Reason::Requeued));
            assert!(
                t.actor.is_some() && t.note.is_some(),
                "only an actor ends a terminal state"
            );
        }
        let may_fail = matches!(
            t.state_after,
            State::Failed | State::Unknown | State::Discarded
        );
        assert!(t.error.is_none() || may_fail);
        self.seen
            .moves
            .insert((t.state_before, t.state_after, t.reason));
        kept.head.apply(t);
        kept.history.append(transition).unwrap();
    }

    fn attempt(&mut self, id: &str, epoch: u64, n: u32) {
        let (id, boot) = (id.to_owned(), self.boot);
        match self.policy.record {
            Record::With => {}
            Record::Before => self.inbox.push_back(Message::Attempt { id, n, boot }),
            Record::Elsewhere => self.inbox.push_back(Message::Call { id, epoch, n }),
        }
    }

    fn advance(&mut self, id: &str, position: &str) {
        assert_eq!(
            position,
            (self.position + 1).to_string(),
            "batches pass in order, each once"
        );
        let kept = &self.kept[id];
        assert!(kept.accepted > 0 || kept.delivery.state == Some(State::Discarded));
        self.position += 1;
    }

    // Timers.

    fn arm(&mut self, id: &str, token: Token, at: Timestamp, arm: u64) {
        let id = id.to_owned();
        let earlier = self
            .timers
            .insert(token.text(address(&id)), Timer { id, token, at, arm });
        assert!(
            earlier.is_none(),
            "arming a pending token stops the job on the real runtime"
        );
    }

    fn disarm(&mut self, id: &str, token: Token) {
        match self.timers.remove(&token.text(address(id))) {
            Some(timer) => self.past.push((timer.id.clone(), timer.fires())),
            None => assert!(self.fires_in_inbox(id, token), "disarmed what is not armed"),
        }
    }

    pub(super) fn fires_in_inbox(&self, id: &str, token: Token) -> bool {
        self.inbox.iter().any(|message| match message {
            Message::Input { id: to, input } => to == id && announced(input) == Some(token),
            _ => false,
        })
    }

    /// The next timer fires. False when there is none.
    pub(super) fn fire_next(&mut self) -> bool {
        let next = self
            .timers
            .iter()
            .min_by_key(|(token, timer)| (timer.at, (*token).clone()));
        let Some(token) = next.map(|(token, _)| token.clone()) else {
            return false;
        };
        let timer = self.timers.remove(&token).unwrap();
        self.now = self.now.max(timer.at);
        self.send(&timer.id, timer.fires());
        true
    }

    // Faults.

    fn kill(&mut self, point: KillPoint) -> bool {
        let killed = !self.healthy && self.random.chance(3);
        if killed {
            self.restart(point);
        }
        killed
    }

    /// Another process takes over, with nothing but what was stored.
    pub(super) fn restart(&mut self, point: KillPoint) {
        self.seen.kills.insert(point);
        self.boot += 1;
        for kept in self.kept.values_mut() {
            kept.delivery = reloaded(&kept.delivery);
            kept.history = reloaded(&kept.history);
        }
        for (lead, _) in self.lanes.values_mut() {
            *lead = reloaded(lead);
        }
    }

    /// Something that is over comes once more: a timer that was cancelled as it fired, an answer sent twice.
    pub(super) fn repeat_one(&mut self) {
        let Some(at) = self.random_index(self.past.len()) else {
            return;
        };
        let (id, input) = self.past[at].clone();
        let mut delivery = self.kept[&id].delivery.clone();
        let mut effects = Vec::new();
        step(
            &mut delivery,
            input.clone(),
            self.now,
            &self.policy,
            &mut effects,
        )
        .unwrap();
        assert!(is_stale(&effects), "{input:?} had an effect: {effects:?}");
        assert_eq!(delivery, self.kept[&id].delivery);
    }

    pub(super) fn random_index(&mut self, length: usize) -> Option<usize> {
        (length > 0).then(|| usize::try_from(self.random.below(length as u64)).unwrap())
    }
}

impl Timer {
    fn fires(&self) -> Input {
        let Token { purpose, epoch, n } = self.token;
        match purpose {
            Purpose::Retry => Input::Due {
                epoch,
                n,
                arm: self.arm,
            },
            _ => Input::Deadline { epoch, n },
        }
    }
}

fn announced(input: &Input) -> Option<Token> {
    let (purpose, epoch, n) = match *input {
        Input::Due { epoch, n, .. } => (Purpose::Retry, epoch, n),
        Input::Deadline { epoch, n } => (Purpose::Deadline, epoch, n),
        _ => return None,
    };
    Some(Token { purpose, epoch, n })
}

fn attempt(effects: &[Effect]) -> Option<u32> {
    effects.iter().find_map(|effect| match effect {
        Effect::Attempt { n, .. } => Some(*n),
        _ => None,
    })
}

const fn index(follow: Follow) -> usize {
    match follow {
        Follow::Succeeded => 0,
        Follow::Failed => 1,
        Follow::Discarded => 2,
    }
}

fn reloaded<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(
    value: &T,
) -> T {
    let json = serde_json::to_string(value).unwrap();
    let loaded = serde_json::from_str(&json).unwrap();
    assert_eq!(&loaded, value, "{json}");
    loaded
}
