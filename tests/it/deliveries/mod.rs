//! Deliveries: the engine's rules, and random scripts against its invariants.

mod actors;
mod attempts;
mod histories;
mod host;
mod invariants;
mod late_inputs;
mod order;
mod policies;
mod scripts;

use std::time::Duration;

use stateful_functions::Timestamp;
use stateful_functions::delivery::engine::{
    Actor, Delivery, DeliveryState, Effect, Failure, Head, History, Input, Outcome, Policy,
    Refused, Retry, Token, Transition, step,
};

const START: u64 = 1_700_000_000_000;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn actor() -> Actor {
    Actor::new("alice", "crm fixed")
}

/// One delivery, driven by hand.
struct Rig {
    delivery: Delivery,
    history: History,
    policy: Policy,
    now: Timestamp,
}

impl Rig {
    fn new(policy: Policy) -> Self {
        Self::with(Delivery::job("job-1", "crm", None), policy)
    }

    fn with(delivery: Delivery, policy: Policy) -> Self {
        Self {
            delivery,
            history: History::default(),
            policy,
            now: Timestamp::from_millis(START),
        }
    }

    fn put(&mut self, input: Input) -> Vec<Effect> {
        self.try_put(input).unwrap()
    }

    fn try_put(&mut self, input: Input) -> Result<Vec<Effect>, Refused> {
        let before = self.delivery.clone();
        let mut out = Vec::new();
        let done = step(&mut self.delivery, input, self.now, &self.policy, &mut out);
        if let Err(refused) = done {
            assert_eq!(self.delivery, before, "a refused input changes nothing");
            assert!(out.is_empty());
            return Err(refused);
        }
        self.history.record(&out).unwrap();
        assert_eq!(self.history.head(), Head::from(&self.delivery));
        Ok(out)
    }

    fn submit(&mut self) -> Vec<Effect> {
        self.put(Input::Submit { due: None })
    }

    /// The current attempt ends so.
    fn ends(&mut self, outcome: Outcome) -> Vec<Effect> {
        self.put(self.outcome(outcome))
    }

    fn outcome(&self, outcome: Outcome) -> Input {
        let (epoch, n) = (self.delivery.epoch, self.delivery.attempt);
        Input::Outcome { epoch, n, outcome }
    }

    /// The pending timer fires at the time it was armed for.
    fn fires(&mut self) -> Vec<Effect> {
        self.now = self.now.max(self.delivery.due.unwrap_or(self.now));
        self.put(self.due())
    }

    fn due(&self) -> Input {
        let (n, arm) = (self.delivery.attempt + 1, self.delivery.arm);
        Input::Due {
            epoch: self.delivery.epoch,
            n,
            arm,
        }
    }

    fn wait(&self) -> Duration {
        self.delivery.due.unwrap().since(self.now)
    }
}

fn transitions(effects: &[Effect]) -> Vec<&Transition> {
    let appended = effects.iter().filter_map(|effect| match effect {
        Effect::Append(transition) => Some(transition),
        _ => None,
    });
    appended.collect()
}

fn states(effects: &[Effect]) -> Vec<DeliveryState> {
    transitions(effects).iter().map(|t| t.state_after).collect()
}

fn armed(effects: &[Effect]) -> Option<(Token, Timestamp)> {
    effects.iter().find_map(|effect| match effect {
        Effect::Arm { token, at, .. } => Some((*token, *at)),
        _ => None,
    })
}

fn is_stale(effects: &[Effect]) -> bool {
    matches!(
        effects,
        [Effect::Count {
            metric: "stale_inputs",
            ..
        }]
    )
}

fn down() -> Outcome {
    Outcome::Err(Failure::retry("connect", "connection refused"))
}

fn every(gap: u64) -> Policy {
    let mut policy = Policy::default();
    policy.retry = Retry::Every(secs(gap));
    policy
}

fn firefly_batch() -> Rig {
    Rig::with(
        Delivery::batch("s/1-50", "webhook", "50", 7),
        Policy::firefly(),
    )
}
