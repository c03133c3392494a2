use super::head::FREE_INTERRUPTIONS;
use super::{
    Actor, AttemptError, Class, Delivery, Effect, Effects, Failure, Follow, Input, Kind, Order,
    Outcome, Policy, Purpose, Reason, Record, Refused, Start, State, Then, Token, Transition,
};
use crate::timestamp::Timestamp;

/// Does what `input` means for `delivery` at `now`, and appends the effects to `out`.
///
/// Equal arguments give equal results. `now` is wall time; when it lies before the last transition, that counts instead.
/// What comes too late (a timer that was cancelled, an answer to an attempt that has ended) changes nothing and is counted.
///
/// # Errors
/// When the input does not fit the state. The delivery and `out` are unchanged then.
pub fn step(
    delivery: &mut Delivery,
    input: Input,
    now: Timestamp,
    policy: &Policy,
    out: &mut Effects,
) -> Result<(), Refused> {
    let now = delivery.last_at.map_or(now, |last| now.max(last));
    let name = input.name();
    let mut step = Step {
        delivery,
        policy,
        now,
        out,
    };
    match input {
        Input::Submit { due } => step.submit(due)?,
        Input::SubmitTried { started, failure } => step.submit_tried(started, failure)?,
        Input::Due { n, arm } => step.due(n, arm),
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
    }
    Ok(())
}

struct Step<'a> {
    delivery: &'a mut Delivery,
    policy: &'a Policy,
    now: Timestamp,
    out: &'a mut Effects,
}

/// What a transition says besides its states.
#[derive(Default)]
struct Mark {
    reason: Option<Reason>,
    error: Option<AttemptError>,
    by: Option<Actor>,
    due: Option<Timestamp>,
}

impl Mark {
    fn reason(reason: Reason) -> Self {
        Self {
            reason: Some(reason),
            ..Self::default()
        }
    }

    fn by(by: Actor) -> Self {
        Self {
            by: Some(by),
            ..Self::default()
        }
    }
}

// Inputs.
impl Step<'_> {
    fn submit(&mut self, due: Option<Timestamp>) -> Result<(), Refused> {
        self.only("submit", None)?;
        self.birth();
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

    fn submit_tried(&mut self, started: Timestamp, failure: Failure) -> Result<(), Refused> {
        self.only("submit_tried", None)?;
        refuse_without_error(&failure, State::Executing)?;
        let ended = self.now;
        self.now = started.min(ended);
        self.birth();
        self.delivery.in_lane = self.policy.order == Order::Key && self.delivery.key.is_some();
        self.execute(None);
        self.now = ended;
        self.fail(State::Failed, failure);
        Ok(())
    }

    fn due(&mut self, n: u32, arm: u64) {
        let announced = Some(self.token(Purpose::Retry, n));
        if self.delivery.armed != announced || self.delivery.arm != arm {
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
        let waits = matches!(self.delivery.reason, Some(Reason::Retry | Reason::Blocked));
        if self.delivery.state != Some(State::Awaiting) || !waits || self.delivery.paused {
            return;
        }
        if self.expired() {
            self.expire();
        } else {
            self.start(None);
        }
    }

    fn outcome(&mut self, outcome: Outcome) -> Result<(), Refused> {
        match outcome {
            Outcome::Ok => self.succeed(),
            Outcome::Err(failure) => {
                refuse_without_error(&failure, State::Executing)?;
                self.fail(State::Failed, failure);
            }
            Outcome::NoAnswer => self.fail(State::Unknown, Failure::no_outcome()),
            Outcome::Cancelled => {
                let by = self
                    .delivery
                    .cancel
                    .take()
                    .ok_or_else(|| self.misfit("cancelled outcome"))?;
                self.disarm();
                self.end(State::Cancelled, Mark::by(by));
            }
        }
        Ok(())
    }

    fn deadline(&mut self) {
        self.delivery.armed = None;
        self.fail(State::Failed, Failure::timeout());
    }

    fn interrupted(&mut self) {
        let in_a_row = self.delivery.interruptions + 1;
        let failure = Failure::interrupted();
        if let Some(by) = self.delivery.cancel.take() {
            self.disarm();
            self.failed(State::Unknown, None, failure.into_error());
            self.end(State::Cancelled, Mark::by(by));
        } else if in_a_row <= FREE_INTERRUPTIONS {
            self.disarm();
            self.failed(State::Unknown, None, failure.into_error());
            let reason = self.wait_before();
            self.wait(reason, self.now, None);
        } else {
            self.fail(State::Unknown, failure);
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
            Some(State::Acknowledged | State::Awaiting) => {
                self.disarm();
                self.end(State::Cancelled, Mark::by(by));
            }
            Some(State::Executing) => {
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
            Some(State::Acknowledged | State::Awaiting)
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
        self.end(State::Discarded, mark);
        Ok(())
    }

    fn retry_now(&mut self, by: Actor, at: Option<Timestamp>) -> Result<(), Refused> {
        self.named("retry_now", &by)?;
        let at = at.filter(|at| *at > self.now);
        match self.delivery.state {
            Some(State::Awaiting) if self.delivery.waits_for_turn() => {
                return Err(Refused::Turn { input: "retry_now" });
            }
            Some(State::Awaiting) => {
                self.delivery.paused = false;
                match at {
                    Some(at) => self.wait(Reason::Scheduled, at, Some(by)),
                    None => self.start(Some(by)),
                }
            }
            Some(state @ (State::Discarded | State::Cancelled)) => {
                if self.delivery.kind == Kind::Stream {
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

// What follows from them.
impl Step<'_> {
    fn birth(&mut self) {
        self.delivery.submitted_at = Some(self.now);
        self.append(State::Acknowledged, Mark::default());
    }

    /// Takes a place behind the others of its key.
    fn join(&mut self, not_before: Option<Timestamp>) {
        let mark = Mark {
            due: not_before,
            ..Mark::reason(Reason::Turn)
        };
        self.append(State::Awaiting, mark);
        self.delivery.in_lane = true;
        self.arm_wait();
        self.out.push(Effect::Join {
            seq: self.delivery.seq,
        });
    }

    fn wait(&mut self, reason: Reason, due: Timestamp, by: Option<Actor>) {
        self.disarm();
        let due = self.expiry().map_or(due, |expiry| due.min(expiry));
        let mark = Mark {
            due: Some(due),
            by,
            ..Mark::reason(reason)
        };
        self.append(State::Awaiting, mark);
        self.arm_wait();
    }

    fn start(&mut self, by: Option<Actor>) {
        self.disarm();
        self.execute(by);
        let (n, epoch) = (self.delivery.attempt, self.delivery.epoch);
        let deadline = self.now + self.policy.timeout;
        if self.policy.record == Record::Elsewhere {
            self.arm(Purpose::Deadline, n, deadline);
        }
        self.out.push(Effect::Attempt {
            epoch,
            n,
            deadline,
            key: self.delivery.id.clone(),
        });
    }

    fn execute(&mut self, by: Option<Actor>) {
        self.delivery.attempt += 1;
        self.delivery.first_at.get_or_insert(self.now);
        self.append(
            State::Executing,
            Mark {
                by,
                ..Mark::default()
            },
        );
    }

    fn succeed(&mut self) {
        self.disarm();
        self.end(State::Succeeded, Mark::default());
    }

    /// An attempt failed that counts; `after` is how it ended, failed or unknown.
    fn fail(&mut self, after: State, failure: Failure) {
        self.disarm();
        self.delivery.interruptions = 0;
        self.delivery.spent += 1;
        if failure.discard {
            self.give_up_now(Reason::Forced, failure.into_error());
        } else if let Some(by) = self.delivery.cancel.take() {
            self.failed(after, None, failure.into_error());
            self.end(State::Cancelled, Mark::by(by));
        } else if let Some(reason) = self.limit(after, &failure) {
            self.give_up(after, reason, failure.into_error());
        } else {
            self.retry(after, failure);
        }
    }

    fn retry(&mut self, after: State, failure: Failure) {
        let delivery = &*self.delivery;
        let count = (delivery.id.as_str(), delivery.attempt, delivery.spent);
        let due = self
            .policy
            .retry
            .due(&failure, self.policy.retry_after, count, self.now);
        self.failed(after, None, failure.into_error());
        self.wait(Reason::Retry, due, None);
    }

    /// Why no attempt follows by the plain retry rule.
    fn limit(&self, after: State, failure: &Failure) -> Option<Reason> {
        let delivery = &*self.delivery;
        let elapsed = delivery.first_at.map(|first| self.now.since(first));
        if failure.class == Class::Permanent {
            Some(Reason::of_permanent(&failure.code))
        } else if self
            .policy
            .attempts
            .is_some_and(|limit| delivery.spent >= limit)
        {
            let unanswered = after == State::Unknown && failure.code == "no_outcome";
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
            // Once blocked, it stays so: a failure there starts no new round of retries.
            let blocked = delivery.reason == Some(Reason::Blocked);
            (blocked && matches!(self.policy.then, Then::Block { .. })).then_some(Reason::Blocked)
        }
    }

    fn give_up(&mut self, after: State, reason: Reason, error: AttemptError) {
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

    fn give_up_now(&mut self, reason: Reason, error: AttemptError) {
        let mark = Mark {
            error: Some(error),
            ..Mark::reason(reason)
        };
        self.end(State::Discarded, mark);
    }

    fn expire(&mut self) {
        self.disarm();
        self.end(State::Discarded, Mark::reason(Reason::Expired));
    }

    fn requeue(&mut self, by: Actor, at: Option<Timestamp>) {
        let delivery = &mut *self.delivery;
        (delivery.spent, delivery.interruptions) = (0, 0);
        (delivery.first_at, delivery.submitted_at) = (None, Some(self.now));
        if self.policy.order == Order::Key && delivery.key.is_some() {
            let mark = Mark {
                by: Some(by),
                due: at,
                ..Mark::reason(Reason::Requeued)
            };
            self.append(State::Awaiting, mark);
            self.join(at);
        } else {
            self.wait(Reason::Requeued, at.unwrap_or(self.now), Some(by));
        }
    }

    /// `failed` or `unknown`; what follows it is appended in the same step.
    fn failed(&mut self, after: State, reason: Option<Reason>, error: AttemptError) {
        let mark = Mark {
            reason,
            error: Some(error),
            ..Mark::default()
        };
        self.append(after, mark);
        if after == State::Failed {
            self.follow(Follow::Failed);
        }
    }

    fn end(&mut self, state: State, mark: Mark) {
        self.append(state, mark);
        (self.delivery.cancel, self.delivery.paused) = (None, false);
        self.delivery.interruptions = 0;
        match state {
            State::Succeeded => self.follow(Follow::Succeeded),
            State::Discarded => self.follow(Follow::Discarded),
            _ => {}
        }
        if let (State::Succeeded | State::Discarded, Some(position)) =
            (state, &self.delivery.position)
        {
            let position = position.clone();
            self.out.push(Effect::Advance { position });
        }
        if std::mem::take(&mut self.delivery.in_lane) {
            self.out.push(Effect::Leave);
        }
    }

    fn follow(&mut self, follow: Follow) {
        if self.delivery.kind == Kind::Job {
            self.out.push(Effect::Follow(follow));
        }
    }

    fn append(&mut self, after: State, mark: Mark) {
        let delivery = &mut *self.delivery;
        delivery.seq = delivery.state.map_or(0, |_| delivery.seq + 1);
        let before = delivery.state.replace(after);
        delivery.last_at = Some(self.now);
        delivery.due = mark.due;
        // While an attempt is out the wait before it stays told.
        if !matches!(after, State::Executing | State::Failed | State::Unknown) {
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
            worker: None,
            due: mark.due,
            created_at: self.now,
        }));
    }
}

// Timers.
impl Step<'_> {
    /// Arms the timer that the current wait needs, if any.
    fn arm_wait(&mut self) {
        let due = self
            .delivery
            .due
            .filter(|_| !self.delivery.waits_for_turn());
        let at = due.into_iter().chain(self.expiry()).min();
        if let Some(at) = at.filter(|_| !self.delivery.paused) {
            self.arm(Purpose::Retry, self.delivery.attempt + 1, at.max(self.now));
        }
    }

    fn arm(&mut self, purpose: Purpose, n: u32, at: Timestamp) {
        let token = self.token(purpose, n);
        self.delivery.arm += 1;
        self.delivery.armed = Some(token);
        let arm = self.delivery.arm;
        self.out.push(Effect::Arm { token, at, arm });
    }

    fn disarm(&mut self) {
        if let Some(token) = self.delivery.armed.take() {
            self.out.push(Effect::Disarm { token });
        }
    }

    const fn token(&self, purpose: Purpose, n: u32) -> Token {
        let epoch = self.delivery.epoch;
        Token { purpose, epoch, n }
    }

    fn expiry(&self) -> Option<Timestamp> {
        Some(self.delivery.submitted_at? + self.policy.max_age?)
    }

    fn expired(&self) -> bool {
        self.expiry().is_some_and(|expiry| self.now >= expiry)
    }
}

// Checks.
impl Step<'_> {
    fn runs(&self, epoch: u64, n: u32) -> bool {
        let delivery = &*self.delivery;
        delivery.state == Some(State::Executing) && delivery.epoch == epoch && delivery.attempt == n
    }

    fn wait_before(&self) -> Reason {
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

    fn only(&self, input: &'static str, state: Option<State>) -> Result<(), Refused> {
        if self.delivery.state == state {
            Ok(())
        } else {
            Err(self.misfit(input))
        }
    }

    fn resting(&self, input: &'static str) -> Result<(), Refused> {
        match self.delivery.state {
            Some(State::Acknowledged | State::Awaiting) => Ok(()),
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
        Refused::State { input, state }
    }
}

fn refuse_without_error(failure: &Failure, state: State) -> Result<(), Refused> {
    if failure.discard && failure.message.trim().is_empty() {
        return Err(Refused::NoError { state });
    }
    Ok(())
}
