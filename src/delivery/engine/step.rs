use super::head::FREE_INTERRUPTIONS;
use super::moves::{Mark, Step};
use super::{
    Actor, Delivery, DeliveryKind, DeliveryState, Effect, Effects, Failure, Input, Order, Outcome,
    Policy, Purpose, Readiness, Reason, Refused, Start, Token,
};
use crate::time::Timestamp;

/// Applies `input` to `delivery` at `now`, and appends the effects to `out`.
///
/// Equal arguments give equal results. `now` is wall time; if it is before the last transition, the time of that is used instead.
/// Late inputs (a cancelled timer, an answer to an attempt that has ended) change nothing and are counted.
///
/// # Errors
/// If the input is not possible in the current state. The delivery and `out` are unchanged then.
pub fn step(
    delivery: &mut Delivery,
    input: Input,
    now: Timestamp,
    policy: &Policy,
    out: &mut Effects,
) -> Result<(), Refused> {
    step_when(delivery, input, Readiness::Ready, now, policy, out)
}

/// Like [`step`], if an attempt that follows from the input may not be possible at once.
///
/// # Errors
/// As [`step`].
pub fn step_when(
    delivery: &mut Delivery,
    input: Input,
    readiness: Readiness,
    now: Timestamp,
    policy: &Policy,
    out: &mut Effects,
) -> Result<(), Refused> {
    let now = delivery.last_at.map_or(now, |last| now.max(last));
    let name = input.name();
    let mut step = Step {
        delivery,
        policy,
        readiness,
        now,
        out,
    };
    match input {
        Input::Submit { due } => step.submit(due)?,
        Input::SubmitInTurn => step.submit_in_turn()?,
        Input::SubmitTried { started, failure } => step.submit_tried(started, failure)?,
        Input::Due { epoch, n, arm } => step.due(epoch, n, arm),
        Input::Turn { seq } => step.turn(seq),
        Input::Wake => step.wake(),
        Input::Outcome { epoch, n, .. }
        | Input::Deadline { epoch, n }
        | Input::Interrupted { epoch, n }
            if !step.runs(epoch, n) =>
        {
            step.stale(name);
        }
        Input::Outcome { outcome, .. } => step.outcome(outcome)?,
        Input::Deadline { .. } => step.deadline(),
        Input::Interrupted { .. } => step.interrupted(),
        Input::Cancel { by } => step.cancel(by)?,
        Input::Discard { by, reason } => step.discard(by, reason)?,
        Input::RetryNow { by, at } => step.retry_now(by, at)?,
        Input::Pause => step.pause()?,
        Input::Resume => step.resume()?,
        Input::Watch => step.watch(),
        Input::Rearm { failure } => step.rearm(&failure),
    }
    Ok(())
}

impl Step<'_> {
    fn submit(&mut self, due: Option<Timestamp>) -> Result<(), Refused> {
        self.only("submit", None)?;
        self.acknowledge();
        let due = due.or_else(|| match self.policy.start {
            Start::Tick => self.policy.retry.next_tick(self.now),
            Start::Now | Start::Tried => None,
        });
        if self.policy.order == Order::Key && self.delivery.key.is_some() {
            self.join(due);
        } else if let Some(due) = due.filter(|due| *due > self.now) {
            self.wait(Reason::Scheduled, due, None);
        } else {
            self.start(None);
        }
        Ok(())
    }

    fn submit_in_turn(&mut self) -> Result<(), Refused> {
        self.only("submit_in_turn", None)?;
        self.acknowledge();
        self.delivery.in_lane = self.policy.order == Order::Key && self.delivery.key.is_some();
        self.start(None);
        Ok(())
    }

    fn submit_tried(&mut self, started: Timestamp, failure: Failure) -> Result<(), Refused> {
        self.only("submit_tried", None)?;
        refuse_without_error(&failure, DeliveryState::Executing)?;
        let ended = self.now;
        self.now = started.min(ended);
        self.acknowledge();
        self.delivery.in_lane = self.policy.order == Order::Key && self.delivery.key.is_some();
        self.execute(None);
        self.now = ended;
        self.fail(DeliveryState::Failed, failure);
        Ok(())
    }

    fn due(&mut self, epoch: u64, n: u32, arm: u64) {
        let purpose = Purpose::Retry;
        let fired = Token { purpose, epoch, n };
        if self.delivery.armed != Some(fired) || self.delivery.arm != arm {
            return self.stale("due");
        }
        self.delivery.armed = None;
        if self.expired() {
            self.expire();
        } else if self.delivery.waits_for_turn() {
            self.arm_wait();
        } else {
            self.start(None);
        }
    }

    fn turn(&mut self, seq: u64) {
        if !self.delivery.waits_for_turn() || self.delivery.seq != seq {
            return self.stale("turn");
        }
        let due = self.delivery.due.filter(|due| *due > self.now);
        if self.expired() {
            self.expire();
        } else if self.delivery.paused || due.is_some() {
            self.wait(Reason::Scheduled, due.unwrap_or(self.now), None);
        } else {
            self.start(None);
        }
    }

    fn wake(&mut self) {
        if !self.delivery.can_be_woken() {
            return;
        }
        if self.expired() {
            self.expire();
        } else {
            self.start(None);
        }
    }

    fn rearm(&mut self, failure: &Failure) {
        let delivery = &*self.delivery;
        let waits = delivery.state == Some(DeliveryState::Awaiting) && !delivery.paused;
        let (Some(last), true) = (delivery.last_at, waits) else {
            return;
        };
        if delivery.held {
            self.watch();
        } else if delivery.reason == Some(Reason::Retry) {
            let due = self.next_due(failure, last);
            let due = self.expiry().map_or(due, |expiry| due.min(expiry));
            if Some(due) != delivery.due {
                self.wait(Reason::Retry, due.max(self.now), None);
            }
        }
    }

    fn watch(&mut self) {
        let expiry = self.expiry();
        if let (true, None, Some(expiry)) = (self.delivery.held, self.delivery.armed, expiry) {
            self.arm(
                Purpose::Retry,
                self.delivery.attempt + 1,
                expiry.max(self.now),
            );
        }
    }

    fn outcome(&mut self, outcome: Outcome) -> Result<(), Refused> {
        match outcome {
            Outcome::Ok => self.succeed(),
            Outcome::Err(failure) => {
                refuse_without_error(&failure, DeliveryState::Executing)?;
                self.fail(DeliveryState::Failed, failure);
            }
            Outcome::NoAnswer => self.fail(DeliveryState::Unknown, Failure::no_outcome()),
            Outcome::Cancelled => {
                let by = self
                    .delivery
                    .cancel
                    .take()
                    .ok_or_else(|| self.misfit("cancelled outcome"))?;
                self.disarm();
                self.end(DeliveryState::Cancelled, Mark::by(by));
            }
        }
        Ok(())
    }

    fn deadline(&mut self) {
        self.delivery.armed = None;
        self.fail(DeliveryState::Failed, Failure::timeout());
    }

    fn interrupted(&mut self) {
        let in_a_row = self.delivery.interruptions + 1;
        let failure = Failure::interrupted();
        self.delivery.probing = false;
        if let Some(by) = self.delivery.cancel.take() {
            self.disarm();
            self.failed(DeliveryState::Unknown, None, failure.into_error());
            self.end(DeliveryState::Cancelled, Mark::by(by));
        } else if in_a_row <= FREE_INTERRUPTIONS {
            self.disarm();
            self.failed(DeliveryState::Unknown, None, failure.into_error());
            let reason = self.wait_before();
            self.wait(reason, self.now, None);
        } else {
            self.fail(DeliveryState::Unknown, failure);
        }
        self.delivery.interruptions = if self.delivery.is_terminal() {
            0
        } else {
            in_a_row
        };
    }

    fn cancel(&mut self, by: Actor) -> Result<(), Refused> {
        self.named("cancel", &by)?;
        match self.delivery.state {
            Some(DeliveryState::Acknowledged | DeliveryState::Awaiting) => {
                self.disarm();
                self.end(DeliveryState::Cancelled, Mark::by(by));
            }
            Some(DeliveryState::Executing) => {
                self.delivery.cancel.get_or_insert(by);
            }
            _ => return Err(self.misfit("cancel")),
        }
        Ok(())
    }

    fn discard(&mut self, by: Actor, reason: Reason) -> Result<(), Refused> {
        self.named("discard", &by)?;
        if !matches!(
            self.delivery.state,
            Some(DeliveryState::Acknowledged | DeliveryState::Awaiting)
        ) {
            return Err(self.misfit("discard"));
        }
        if !reason.is_give_up() {
            return Err(Refused::NoGiveUp { reason });
        }
        self.disarm();
        let mark = Mark {
            by: Some(by),
            ..Mark::reason(reason)
        };
        self.end(DeliveryState::Discarded, mark);
        Ok(())
    }

    fn retry_now(&mut self, by: Actor, at: Option<Timestamp>) -> Result<(), Refused> {
        self.named("retry_now", &by)?;
        let at = at.filter(|at| *at > self.now);
        match self.delivery.state {
            Some(DeliveryState::Awaiting) if self.delivery.waits_for_turn() => {
                return Err(Refused::Turn { input: "retry_now" });
            }
            Some(DeliveryState::Awaiting) => {
                self.delivery.paused = false;
                match at {
                    Some(at) => self.wait(Reason::Scheduled, at, Some(by)),
                    None => self.start(Some(by)),
                }
            }
            Some(state @ (DeliveryState::Discarded | DeliveryState::Cancelled)) => {
                if self.delivery.kind == DeliveryKind::Stream {
                    return Err(Refused::Passed {
                        input: "retry_now",
                        state,
                    });
                }
                self.requeue(by, at);
            }
            _ => return Err(self.misfit("retry_now")),
        }
        Ok(())
    }

    fn pause(&mut self) -> Result<(), Refused> {
        self.resting("pause")?;
        self.delivery.paused = true;
        self.disarm();
        Ok(())
    }

    fn resume(&mut self) -> Result<(), Refused> {
        self.resting("resume")?;
        if std::mem::take(&mut self.delivery.paused) {
            self.arm_wait();
        }
        Ok(())
    }
}

impl Step<'_> {
    fn runs(&self, epoch: u64, n: u32) -> bool {
        let delivery = &*self.delivery;
        delivery.state == Some(DeliveryState::Executing)
            && delivery.epoch == epoch
            && delivery.attempt == n
    }

    pub(super) fn wait_before(&self) -> Reason {
        match self.delivery.reason {
            Some(Reason::Blocked) => Reason::Blocked,
            _ => Reason::Retry,
        }
    }

    fn stale(&mut self, input: &'static str) {
        self.out.push(Effect::Count {
            metric: "stale_inputs",
            label: input,
        });
    }

    fn only(&self, input: &'static str, state: Option<DeliveryState>) -> Result<(), Refused> {
        if self.delivery.state == state {
            Ok(())
        } else {
            Err(self.misfit(input))
        }
    }

    fn resting(&self, input: &'static str) -> Result<(), Refused> {
        match self.delivery.state {
            Some(DeliveryState::Acknowledged | DeliveryState::Awaiting) => Ok(()),
            _ => Err(self.misfit(input)),
        }
    }

    fn named(&self, input: &'static str, by: &Actor) -> Result<(), Refused> {
        if by.name.trim().is_empty() || by.reason.trim().is_empty() {
            let state = self.delivery.state;
            return Err(Refused::NoActor { input, state });
        }
        Ok(())
    }

    const fn misfit(&self, input: &'static str) -> Refused {
        let state = self.delivery.state;
        Refused::DeliveryState { input, state }
    }
}

fn refuse_without_error(failure: &Failure, state: DeliveryState) -> Result<(), Refused> {
    if failure.discard && failure.message.trim().is_empty() {
        return Err(Refused::NoError { state });
    }
    Ok(())
}
