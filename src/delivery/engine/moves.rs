//! The moves of a step from state to state, each with its transition and effects.

use super::{
    Actor, AttemptError, Class, Delivery, DeliveryKind, DeliveryState, Effect, Effects, Failure,
    Follow, Journal, Order, Policy, Purpose, Readiness, Reason, Then, Transition,
};
use crate::time::Timestamp;

/// A step in progress.
pub(super) struct Step<'a> {
    pub(super) delivery: &'a mut Delivery,
    pub(super) policy: &'a Policy,
    pub(super) readiness: Readiness,
    pub(super) now: Timestamp,
    pub(super) out: &'a mut Effects,
}

/// The parts of a transition other than its states.
#[derive(Default)]
pub(super) struct Mark {
    pub(super) reason: Option<Reason>,
    pub(super) error: Option<AttemptError>,
    pub(super) by: Option<Actor>,
    pub(super) due: Option<Timestamp>,
    pub(super) probe: bool,
}

impl Mark {
    pub(super) fn reason(reason: Reason) -> Self {
        Self {
            reason: Some(reason),
            ..Self::default()
        }
    }

    pub(super) fn by(by: Actor) -> Self {
        Self {
            by: Some(by),
            ..Self::default()
        }
    }
}

impl Step<'_> {
    pub(super) fn acknowledge(&mut self) {
        self.delivery.submitted_at = Some(self.now);
        self.append(DeliveryState::Acknowledged, Mark::default());
    }

    /// Joins the end of the lane of its key.
    pub(super) fn join(&mut self, not_before: Option<Timestamp>) {
        let mark = Mark {
            due: not_before,
            ..Mark::reason(Reason::Turn)
        };
        self.append(DeliveryState::Awaiting, mark);
        self.delivery.in_lane = true;
        self.arm_wait();
        self.out.push(Effect::Join {
            seq: self.delivery.seq,
        });
    }

    pub(super) fn wait(&mut self, reason: Reason, due: Timestamp, by: Option<Actor>) {
        self.disarm();
        self.delivery.held = false;
        let due = self.expiry().map_or(due, |expiry| due.min(expiry));
        let mark = Mark {
            due: Some(due),
            by,
            ..Mark::reason(reason)
        };
        self.append(DeliveryState::Awaiting, mark);
        self.arm_wait();
    }

    /// Makes the next attempt, if one can be made now.
    pub(super) fn start(&mut self, by: Option<Actor>) {
        self.disarm();
        let until = match self.readiness {
            Readiness::Ready | Readiness::Probe => return self.begin(by),
            Readiness::Later(until) => Some(until),
            Readiness::Held => None,
        };
        self.defer(until, by);
    }

    /// Defers the attempt, which cannot be made now: to `until`, or until the delivery is woken.
    fn defer(&mut self, until: Option<Timestamp>, by: Option<Actor>) {
        let delivery = &mut *self.delivery;
        let waits = delivery.state == Some(DeliveryState::Awaiting) && !delivery.waits_for_turn();
        // A delivery that waited already keeps waiting for the same reason: its history does not grow while its target is down.
        if !waits || by.is_some() {
            let mark = Mark {
                due: until,
                by,
                ..Mark::reason(Reason::Scheduled)
            };
            self.append(DeliveryState::Awaiting, mark);
        }
        self.delivery.held = until.is_none();
        let expiry = self.expiry();
        let at = until.map(|until| expiry.map_or(until, |expiry| until.min(expiry)));
        if let Some(at) = at {
            self.arm(Purpose::Retry, self.delivery.attempt + 1, at.max(self.now));
        }
    }

    fn begin(&mut self, by: Option<Actor>) {
        self.delivery.probing = self.readiness == Readiness::Probe;
        self.execute(by);
        let (n, epoch) = (self.delivery.attempt, self.delivery.epoch);
        let deadline = self.now + self.policy.timeout;
        if self.policy.record == Journal::Elsewhere {
            self.arm(Purpose::Deadline, n, deadline);
        }
        self.out.push(Effect::Attempt {
            epoch,
            n,
            deadline,
            key: self.delivery.id.clone(),
        });
    }

    pub(super) fn execute(&mut self, by: Option<Actor>) {
        self.delivery.attempt += 1;
        self.delivery.held = false;
        self.delivery.first_at.get_or_insert(self.now);
        self.append(
            DeliveryState::Executing,
            Mark {
                by,
                ..Mark::default()
            },
        );
    }

    pub(super) fn succeed(&mut self) {
        self.disarm();
        self.end(DeliveryState::Succeeded, Mark::default());
    }

    /// Handles a failed attempt that counts; `after` is its final state, failed or unknown.
    pub(super) fn fail(&mut self, after: DeliveryState, failure: Failure) {
        self.disarm();
        self.delivery.interruptions = 0;
        let probed = std::mem::take(&mut self.delivery.probing);
        let blames_target = failure.class != Class::Permanent && !failure.discard;
        if probed && blames_target && self.delivery.cancel.is_none() && !self.expired() {
            return self.probed(after, failure);
        }
        self.delivery.spent += 1;
        if failure.discard {
            self.give_up_now(Reason::Forced, failure.into_error());
        } else if let Some(by) = self.delivery.cancel.take() {
            self.failed(after, None, failure.into_error());
            self.end(DeliveryState::Cancelled, Mark::by(by));
        } else if let Some(reason) = self.limit(after, &failure) {
            self.give_up(after, reason, failure.into_error());
        } else {
            self.retry(after, failure);
        }
    }

    /// The target does not work yet. The delivery waits to be woken or, if nothing will wake it, for its next time; the attempt does not count.
    fn probed(&mut self, after: DeliveryState, failure: Failure) {
        let reason = self.wait_before();
        let due = self.next_due(&failure, self.now);
        let mark = Mark {
            error: Some(failure.into_error()),
            probe: true,
            ..Mark::default()
        };
        self.append(after, mark);
        if after == DeliveryState::Failed {
            self.follow(Follow::Failed);
        }
        if self.policy.wake {
            self.append(DeliveryState::Awaiting, Mark::reason(reason));
            self.delivery.held = true;
        } else {
            self.wait(reason, due, None);
        }
    }

    /// When the next attempt after a failure at `ended` is due.
    pub(super) fn next_due(&self, failure: &Failure, ended: Timestamp) -> Timestamp {
        let delivery = &*self.delivery;
        let count = (
            delivery.id.as_str(),
            delivery.attempt,
            delivery.spent.max(1),
        );
        self.policy
            .retry
            .due(failure, self.policy.retry_after, count, ended)
    }

    pub(super) fn retry(&mut self, after: DeliveryState, failure: Failure) {
        let due = self.next_due(&failure, self.now);
        self.failed(after, None, failure.into_error());
        self.wait(Reason::Retry, due, None);
    }

    /// Why the retry rule allows no further attempt.
    pub(super) fn limit(&self, after: DeliveryState, failure: &Failure) -> Option<Reason> {
        let delivery = &*self.delivery;
        let elapsed = delivery.first_at.map(|first| self.now.since(first));
        if failure.class == Class::Permanent {
            Some(Reason::of_permanent(&failure.code))
        } else if self
            .policy
            .attempts
            .is_some_and(|limit| delivery.spent >= limit)
        {
            let unanswered = after == DeliveryState::Unknown && failure.code == "no_outcome";
            Some(if unanswered {
                Reason::NoOutcome
            } else {
                Reason::Exhausted
            })
        } else if self
            .policy
            .within
            .zip(elapsed)
            .is_some_and(|(limit, elapsed)| elapsed >= limit)
        {
            Some(Reason::Elapsed)
        } else if self.expired() {
            Some(Reason::Expired)
        } else {
            // Once blocked, it stays blocked: a failure starts no new round of retries.
            let blocked = delivery.reason == Some(Reason::Blocked);
            (blocked && matches!(self.policy.then, Then::Block { .. })).then_some(Reason::Blocked)
        }
    }

    pub(super) fn give_up(&mut self, after: DeliveryState, reason: Reason, error: AttemptError) {
        match self.policy.then {
            Then::Block { every } if !self.expired() => {
                let why = Some(reason).filter(|reason| *reason != Reason::Blocked);
                self.failed(after, why, error);
                self.wait(Reason::Blocked, self.now + every, None);
            }
            Then::Block { .. } => self.give_up_now(Reason::Expired, error),
            Then::Skip => self.give_up_now(Reason::Skipped, error),
            Then::Discard => self.give_up_now(reason, error),
        }
    }

    pub(super) fn give_up_now(&mut self, reason: Reason, error: AttemptError) {
        let mark = Mark {
            error: Some(error),
            ..Mark::reason(reason)
        };
        self.end(DeliveryState::Discarded, mark);
    }

    pub(super) fn expire(&mut self) {
        self.disarm();
        self.end(DeliveryState::Discarded, Mark::reason(Reason::Expired));
    }

    pub(super) fn requeue(&mut self, by: Actor, at: Option<Timestamp>) {
        let delivery = &mut *self.delivery;
        (delivery.spent, delivery.interruptions) = (0, 0);
        (delivery.first_at, delivery.submitted_at) = (None, Some(self.now));
        if self.policy.order == Order::Key && delivery.key.is_some() {
            let mark = Mark {
                by: Some(by),
                due: at,
                ..Mark::reason(Reason::Requeued)
            };
            self.append(DeliveryState::Awaiting, mark);
            self.join(at);
        } else {
            self.wait(Reason::Requeued, at.unwrap_or(self.now), Some(by));
        }
    }

    /// Appends `failed` or `unknown`; the next transition is appended in the same step.
    pub(super) fn failed(
        &mut self,
        after: DeliveryState,
        reason: Option<Reason>,
        error: AttemptError,
    ) {
        let mark = Mark {
            reason,
            error: Some(error),
            ..Mark::default()
        };
        self.append(after, mark);
        if after == DeliveryState::Failed {
            self.follow(Follow::Failed);
        }
    }

    pub(super) fn end(&mut self, state: DeliveryState, mark: Mark) {
        self.append(state, mark);
        (self.delivery.cancel, self.delivery.paused) = (None, false);
        (self.delivery.held, self.delivery.probing) = (false, false);
        self.delivery.interruptions = 0;
        match state {
            DeliveryState::Succeeded => self.follow(Follow::Succeeded),
            DeliveryState::Discarded => self.follow(Follow::Discarded),
            _ => {}
        }
        if let (DeliveryState::Succeeded | DeliveryState::Discarded, Some(position)) =
            (state, &self.delivery.position)
        {
            let position = position.clone();
            self.out.push(Effect::Advance { position });
        }
        if std::mem::take(&mut self.delivery.in_lane) {
            self.out.push(Effect::Leave);
        }
    }

    pub(super) fn follow(&mut self, follow: Follow) {
        if self.delivery.kind == DeliveryKind::Job {
            self.out.push(Effect::Follow(follow));
        }
    }

    pub(super) fn append(&mut self, after: DeliveryState, mark: Mark) {
        let delivery = &mut *self.delivery;
        delivery.seq = delivery.state.map_or(0, |_| delivery.seq + 1);
        let before = delivery.state.replace(after);
        delivery.last_at = Some(self.now);
        delivery.due = mark.due;
        // While an attempt is in progress, the wait before it is still shown.
        if !matches!(
            after,
            DeliveryState::Executing | DeliveryState::Failed | DeliveryState::Unknown
        ) {
            delivery.reason = mark.reason;
        }
        let (actor, note) = mark.by.map(|by| (by.name, by.reason)).unzip();
        self.out.push(Effect::Append(Transition {
            seq: delivery.seq,
            attempt: delivery.attempt,
            state_before: before,
            state_after: after,
            reason: mark.reason,
            error: mark.error,
            actor,
            note,
            probe: mark.probe,
            worker: None,
            due: mark.due,
            created_at: self.now,
        }));
    }
}
