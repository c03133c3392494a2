//! What follows when something happens to an item. Pure: equal arguments give equal actions.

use super::super::engine::{
    Class, DeliveryState, Effect, Input, Order, Outcome, Policy, Readiness, Refused, Start,
    step_when,
};
use super::item::Item;
use crate::time::Timestamp;

/// One thing for the owner to do. All actions of one input are one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "a transition is large, and is taken out of the effects before"
)]
pub enum Action {
    /// An effect of the engine, except [`Effect::Append`], which is already in the item's history.
    Engine(Effect),
    /// Tell the destination that the item waits for it.
    List {
        /// When it expires, if ever.
        expires: Option<Timestamp>,
        /// It has no timer: it waits until it is woken.
        is_held: bool,
    },
    /// Answer the destination that woke it.
    Answer(Woken),
    /// Tell the deliveries that wait for the destination that it works.
    Works,
    /// The item does not need this turn: the lane passes it on.
    PassTurn {
        /// The turn.
        seq: u64,
    },
}

/// The result of waking an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Woken {
    /// It was delivered, or refused because of its content: the destination works.
    Arrived,
    /// The attempt failed, and the item now waits for its own due time.
    Failed,
    /// It could not be attempted, or the destination does not work yet: it waits as before.
    Waits,
    /// It no longer waits for the destination.
    Gone,
}

/// Whether an attempt follows from `input`, so that [`decide`] needs to know whether one can be made.
pub fn attempts(item: &Item, input: &Input, now: Timestamp, policy: &Policy) -> bool {
    let delivery = &item.delivery;
    let waits = delivery.state == Some(DeliveryState::Awaiting);
    let is_over = item.expires(policy).is_some_and(|expires| now >= expires);
    match input {
        Input::SubmitInTurn => true,
        Input::Submit { due } => {
            let queues = policy.order == Order::Key && delivery.key.is_some();
            let is_due = due.map_or(policy.start != Start::Tick, |due| due <= now);
            !queues && is_due
        }
        Input::Due { n, arm, .. } => {
            let is_awaited = delivery.armed.is_some_and(|token| token.n == *n);
            is_awaited && delivery.arm == *arm && !is_over && !delivery.waits_for_turn()
        }
        Input::Turn { seq } => {
            let is_early = delivery.due.is_some_and(|due| due > now);
            item.awaits_turn(*seq) && !is_over && !delivery.paused && !is_early
        }
        Input::Wake => delivery.can_be_woken() && !is_over,
        Input::RetryNow { .. } => waits && !delivery.waits_for_turn(),
        _ => false,
    }
}

/// Applies `input` to `item`, and returns what the owner has to do.
///
/// `readiness` says whether an attempt could be made now; it is used only if [`attempts`] is true.
///
/// # Errors
/// If the input is not possible in the state of the item. The item is unchanged then.
pub fn decide(
    item: &mut Item,
    input: Input,
    readiness: Readiness,
    now: Timestamp,
    policy: &Policy,
) -> Result<Vec<Action>, Refused> {
    let mut decision = Decision {
        item,
        readiness,
        now,
        policy,
        actions: Vec::new(),
    };
    match input {
        Input::Turn { seq } if !decision.item.awaits_turn(seq) => decision.late_turn(seq),
        Input::Wake => decision.wake()?,
        Input::Outcome { .. } | Input::Deadline { .. } | Input::Interrupted { .. } => {
            decision.ended(input)?;
        }
        other => {
            let stands =
                |item: &Item| (item.delivery.seq, item.delivery.held, item.delivery.paused);
            let before = stands(decision.item);
            decision.step(other)?;
            if stands(decision.item) != before || decision.item.delivery.seq == 0 {
                decision.list();
            }
        }
    }
    Ok(decision.actions)
}

/// What the owner has to do at the address that takes over an item from elsewhere.
pub fn adopt(item: &mut Item, now: Timestamp, policy: &Policy) -> Vec<Action> {
    let mut actions = Vec::new();
    let delivery = &item.delivery;
    if let Some(token) = delivery.armed {
        let due = delivery.due.filter(|_| !delivery.waits_for_turn());
        let at = due.into_iter().chain(item.expires(policy)).min();
        let (at, arm) = (at.unwrap_or(now).max(now), delivery.arm);
        actions.push(Action::Engine(Effect::Arm { token, at, arm }));
    }
    (item.is_listed, item.is_listed_held) = (false, false);
    let mut decision = Decision {
        item,
        readiness: Readiness::Ready,
        now,
        policy,
        actions,
    };
    decision.list();
    decision.actions
}

/// What the owner has to do when an item is woken at an address that no longer delivers to a destination: the item stays unchanged.
pub fn stay(item: &mut Item, policy: &Policy) -> Vec<Action> {
    let delivery = &item.delivery;
    let waits = delivery.held && !delivery.paused;
    let mut decision = Decision {
        item,
        readiness: Readiness::Ready,
        now: Timestamp::default(),
        policy,
        actions: Vec::new(),
    };
    decision.answer(if waits { Woken::Waits } else { Woken::Gone });
    decision.actions
}

struct Decision<'a> {
    item: &'a mut Item,
    readiness: Readiness,
    now: Timestamp,
    policy: &'a Policy,
    actions: Vec<Action>,
}

impl Decision<'_> {
    fn step(&mut self, input: Input) -> Result<(), Refused> {
        let mut effects = Vec::new();
        step_when(
            &mut self.item.delivery,
            input,
            self.readiness,
            self.now,
            self.policy,
            &mut effects,
        )?;
        for effect in effects {
            match effect {
                Effect::Append(transition) => self.item.history.append(transition)?,
                other => self.actions.push(Action::Engine(other)),
            }
        }
        Ok(())
    }

    /// A lane must not wait for an item that is gone, or that has joined again meanwhile.
    fn late_turn(&mut self, seq: u64) {
        let delivery = &self.item.delivery;
        if !delivery.in_lane || delivery.waits_for_turn() {
            self.actions.push(Action::PassTurn { seq });
        }
    }

    fn wake(&mut self) -> Result<(), Refused> {
        let before = self.item.delivery.seq;
        self.step(Input::Wake)?;
        (self.item.is_listed, self.item.is_listed_held) = (false, false);
        let delivery = &self.item.delivery;
        if delivery.state == Some(DeliveryState::Executing) && delivery.seq != before {
            self.item.is_woken = true; // answered when the attempt has ended
        } else if delivery.held && !delivery.paused {
            self.answer(Woken::Waits);
        } else {
            self.answer(Woken::Gone);
        }
        Ok(())
    }

    fn ended(&mut self, input: Input) -> Result<(), Refused> {
        let (is_ok, blames_item) = match &input {
            Input::Outcome { outcome, .. } => match outcome {
                Outcome::Ok => (true, false),
                Outcome::Err(failure) => (false, failure.class == Class::Permanent),
                _ => (false, false),
            },
            _ => (false, false),
        };
        let before = self.item.delivery.seq;
        self.step(input)?;
        if self.item.delivery.seq == before {
            return Ok(()); // too late, or one that is still awaited
        }
        if is_ok {
            // Also of a woken one: the lists of other owners have heard nothing of it.
            self.actions.push(Action::Works);
        }
        if std::mem::take(&mut self.item.is_woken) {
            self.answer(if is_ok || blames_item {
                Woken::Arrived
            } else if self.item.delivery.held {
                Woken::Waits
            } else {
                // Not woken again before its own due time: one that is never accepted must not use up its attempts because
                // others succeed.
                Woken::Failed
            });
        } else {
            self.list();
        }
        Ok(())
    }

    fn answer(&mut self, woken: Woken) {
        let waits = woken == Woken::Waits;
        (self.item.is_listed, self.item.is_listed_held) = (waits, waits);
        self.actions.push(Action::Answer(woken));
    }

    /// Tells the destination that the item waits for it: once, and once more when it no longer has a timer.
    fn list(&mut self) {
        let item = &mut *self.item;
        let is_held = item.delivery.held;
        let is_known = item.is_listed && (!is_held || item.is_listed_held);
        let may = self.policy.wake && item.has_destination && !is_known;
        if may && item.delivery.can_be_woken() {
            (item.is_listed, item.is_listed_held) = (true, is_held);
            let expires = item.expires(self.policy);
            self.actions.push(Action::List { expires, is_held });
        }
    }
}
