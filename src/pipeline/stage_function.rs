//! The function of a stage: it takes records, and keeps those with which the stage failed until they get through.
//!
//! A record is tried when it arrives; where that succeeds nothing is stored. Otherwise the record becomes a delivery at the
//! same address. Its waits are delayed messages, its attempts are made here, and what they lead to is one commit with the
//! record's way to the next stage.

use std::sync::Arc;
use std::time::Duration;

use super::collector::Collector;
use super::item::{self, HEAD, Item, JOB, Job};
use super::outbound::{Destination, Readiness, report};
use super::plan::{Plan, Step};
use super::record::{RECORD, Record, WireRecord};
use super::stage::Answer;
use super::stages::StageKind;
use super::wire::{
    FLUSH, LEAVE, Place, Reported, SUBMISSION, Submission, TICK, TURN, Tick, Turn, WAITING, WAKE,
    WaitingItem,
};
use crate::delivery::engine::{
    Actor, Class, Delivery, Failure, Input, Outcome, Policy, Reason, Refused, State,
};
use crate::delivery::{COMMAND, Command, REPLY, Reply, Verb};
use crate::sdk::{
    Address, BoxError, Context, FunctionSpec, Message, MessageBuilder, StatefulFunction,
};
use crate::timestamp::Timestamp;

/// Function `<namespace>/<pipeline>.<stage>`.
pub(crate) struct StageFunction {
    plan: Arc<Plan>,
    at: usize,
    policy: Policy,
    collector: Option<Collector>,
}

/// How a record goes on after an attempt that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Stage,
    Nowhere,
}

/// A record that is to be kept at this address.
struct Kept {
    record: WireRecord,
    /// The lane in which it has a place.
    lane: Option<String>,
    first: First,
    destination: String,
}

/// What happened to a record before it is kept.
enum First {
    Failed {
        failure: Box<Failure>,
        started: Timestamp,
    },
    HeldBack {
        until: Timestamp,
    },
    Queued,
    NoRoom,
}

/// Why a delivery is taken up again.
enum Cause {
    Tick(Tick),
    Wake,
    Turn(Turn),
    Retry(Actor),
}

impl StageFunction {
    pub(crate) fn spec(plan: &Arc<Plan>, at: usize) -> FunctionSpec {
        let step = plan.step(at);
        let (collector, policy) = match &step.kind {
            StageKind::Pure(_) => (None, computing()),
            StageKind::Batch(batching) => (Some(Collector::new(Arc::clone(batching))), computing()),
            StageKind::HttpExport(exporter) => (None, exporter.policy.clone()),
        };
        let function = Self {
            plan: Arc::clone(plan),
            at,
            policy,
            collector: collector.clone(),
        };
        let mut spec = item::declare(FunctionSpec::new(step.function.clone(), function));
        if let Some(collector) = collector {
            spec = collector.declare(spec);
        }
        match step.kind {
            StageKind::HttpExport(_) => spec.after_durable(),
            StageKind::Pure(_) | StageKind::Batch(_) => spec,
        }
    }

    fn step(&self) -> &Step {
        self.plan.step(self.at)
    }

    fn load(&self, context: &mut Context) -> Result<Option<Item<'_>>, BoxError> {
        Item::load(context, &self.step().lane, &self.policy)
    }
}

/// The policy of stages that only compute and fail for a while.
fn computing() -> Policy {
    Policy {
        wake: false,
        ..Policy::default()
    }
}

impl StatefulFunction for StageFunction {
    async fn invoke(&self, context: &mut Context, message: Message) -> Result<(), BoxError> {
        let is = |name: &crate::sdk::TypeName| message.value_type_name() == name.as_str();
        if is(RECORD.name()) {
            let record = Record::decode(message.raw_value().unwrap_or_default())?;
            match &self.collector {
                Some(collector) => {
                    let batch = collector.add(context, &record)?;
                    self.let_go(context, batch)
                }
                None => self.arrive(context, record).await,
            }
        } else if is(SUBMISSION.name()) {
            self.keep(context, Kept::read(message.require(&SUBMISSION)?)?)
        } else if is(TICK.name()) {
            self.take_up(context, Cause::Tick(message.require(&TICK)?))
                .await
        } else if is(WAKE.name()) {
            self.take_up(context, Cause::Wake).await
        } else if is(TURN.name()) {
            self.take_up(context, Cause::Turn(message.require(&TURN)?))
                .await
        } else if is(COMMAND.name()) {
            self.command(context, &message).await
        } else if let (true, Some(collector)) = (is(FLUSH.name()), &self.collector) {
            let batch = collector.flush(context, &message.require(&FLUSH)?)?;
            self.let_go(context, batch)
        } else {
            let value_type = message.value_type_name();
            tracing::warn!(address = %context.address(), value_type, "unknown message; ignored");
            Ok(())
        }
    }
}

// First attempts.
impl StageFunction {
    fn let_go(&self, context: &mut Context, batch: Option<Record>) -> Result<(), BoxError> {
        batch.map_or(Ok(()), |batch| {
            self.plan.advance(context, self.at + 1, batch)
        })
    }

    /// A record that comes for the first time: tried at once, and kept if that fails.
    async fn arrive(&self, context: &mut Context, mut record: Record) -> Result<(), BoxError> {
        if context.storage().get(&HEAD)?.is_some() {
            tracing::debug!(address = %context.address(), "the record is here already; ignored");
            return Ok(());
        }
        let started = self.plan.now();
        let (readiness, destination) = self.ready(&mut record, context.address().id(), None).await;
        let first = match readiness {
            Readiness::Later(until) => First::HeldBack { until },
            ready => match self
                .attempt(context, ready, &mut record, destination.as_ref())
                .await?
            {
                Ok(next) => {
                    self.plan
                        .report_success(context, destination.as_ref(), self.policy.wake)?;
                    return self.go_on(context, next, record);
                }
                Err(failure) => First::Failed { failure, started },
            },
        };
        let kept = Kept {
            record: record.to_wire(),
            lane: None,
            first,
            destination: destination.map_or_else(String::new, |to| to.name.to_string()),
        };
        self.keep(context, kept)
    }

    fn go_on(&self, context: &mut Context, next: Next, record: Record) -> Result<(), BoxError> {
        match next {
            Next::Stage => self.plan.advance(context, self.at + 1, record),
            Next::Nowhere => Ok(()),
        }
    }

    /// Makes a record a delivery at this address. One that is here already stays as it is.
    fn keep(&self, context: &mut Context, kept: Kept) -> Result<(), BoxError> {
        if context.storage().get(&HEAD)?.is_some() {
            tracing::debug!(address = %context.address(), "the record is here already; ignored");
            return Ok(());
        }
        let now = self.plan.now();
        let id = context.address().id().to_owned();
        let target = match kept.destination.as_str() {
            "" => self.step().function.to_string(),
            destination => destination.to_owned(),
        };
        let has_place = kept.lane.is_some();
        let delivery = Delivery::job(id, target, kept.lane);
        let mut item = Item::new(delivery, has_place, &self.step().lane, &self.policy);
        let inputs = match kept.first {
            First::Failed { failure, started } => vec![Input::SubmitTried {
                started,
                failure: *failure,
            }],
            First::HeldBack { until } => {
                item.head.is_held_back = true;
                // Not now in any case: an attempt would have to be made here.
                let due = Some(until.max(now + Duration::from_millis(1)));
                vec![Input::Submit { due }]
            }
            First::Queued => vec![Input::Submit { due: None }],
            First::NoRoom => {
                let by = Actor::new("pipeline", "no room behind others with this key");
                let reason = Reason::Full;
                vec![Input::Submit { due: None }, Input::Discard { by, reason }]
            }
        };
        for input in inputs {
            item.step(context, input, now)??;
        }
        self.log_kept(context, &item);
        let job = Job {
            record: Some(kept.record),
            pipeline: self.plan.name.clone(),
            stage: self.step().name.clone(),
            version: self.plan.version.as_bytes().to_vec().into(),
            destination: kept.destination,
        };
        self.list(context, &mut item, &job.destination)?;
        context.storage().set(&JOB, job)?;
        item.save(context)
    }

    fn log_kept(&self, context: &Context, item: &Item<'_>) {
        let (address, attempt) = (context.address(), item.head.delivery.attempt);
        match (item.state(), item.head.delivery.reason) {
            (Some(State::Discarded), reason) => {
                tracing::warn!(%address, attempt, reason = reason.map(Reason::as_str), "record given up; it is a dead letter now");
            }
            (Some(State::Awaiting), Some(Reason::Retry)) => {
                tracing::debug!(%address, attempt, "attempt failed; will retry");
            }
            _ => {}
        }
    }
}

// Attempts.
impl StageFunction {
    /// What an attempt needs: the request, and a permit from its destination. `key` is that of the lane the delivery is in.
    async fn ready(
        &self,
        record: &mut Record,
        item: &str,
        key: Option<&str>,
    ) -> (Readiness<'_>, Option<Destination>) {
        let StageKind::HttpExport(exporter) = &self.step().kind else {
            return (Readiness::Compute, None);
        };
        if exporter.order_key.is_some() && key.is_none() {
            return (Readiness::Compute, None);
        }
        self.plan.prepare(exporter, record, item).await
    }

    /// Makes the attempt. What a record is after it stands in `record`.
    async fn attempt(
        &self,
        context: &mut Context,
        readiness: Readiness<'_>,
        record: &mut Record,
        destination: Option<&Destination>,
    ) -> Result<Result<Next, Box<Failure>>, BoxError> {
        match readiness {
            Readiness::Export {
                exporter,
                prepared,
                permit,
            } => {
                let sent = self.plan.send_out(exporter, prepared, destination).await;
                drop(permit);
                Ok(sent.map(|sent| {
                    sent.apply_to(record);
                    Next::Stage
                }))
            }
            Readiness::Compute => self.compute(context, record),
            Readiness::Unfit(failure) => Ok(Err(failure)),
            Readiness::Later(_) => {
                let text = "the destination takes no requests now";
                Ok(Err(Box::new(Failure::retry("busy", text))))
            }
        }
    }

    fn compute(
        &self,
        context: &mut Context,
        record: &mut Record,
    ) -> Result<Result<Next, Box<Failure>>, BoxError> {
        if let StageKind::Pure(stage) = &self.step().kind {
            return Ok(match stage.apply(record) {
                Answer::Continue => Ok(Next::Stage),
                Answer::Stop => Ok(Next::Nowhere),
                Answer::Fail(failure) => Err(Box::new(failure)),
            });
        }
        match self.plan.target(self.at, record) {
            Ok(target) => {
                context.send(MessageBuilder::to(target).value_as(&RECORD, record)?);
                Ok(Ok(Next::Nowhere))
            }
            Err(failure) => Ok(Err(failure)),
        }
    }
}

// Later attempts.
impl StageFunction {
    async fn take_up(&self, context: &mut Context, cause: Cause) -> Result<(), BoxError> {
        let Some(item) = self.load(context)? else {
            return self.nothing_here(context, &cause);
        };
        let fits = match &cause {
            Cause::Tick(tick) => item.awaits(*tick),
            Cause::Turn(turn) => item.awaits_turn(*turn),
            Cause::Wake => item.can_be_woken(),
            Cause::Retry(_) => true,
        };
        if !fits {
            return self.too_late(context, item, &cause);
        }
        self.try_again(context, item, cause).await.map(drop)
    }

    /// A lane must not wait for someone who is gone, and a destination wants an answer.
    fn nothing_here(&self, context: &mut Context, cause: &Cause) -> Result<(), BoxError> {
        match (cause, context.caller().cloned()) {
            (Cause::Wake, _) => self.answer_wake(context, Reported::WokenIdle),
            (Cause::Turn(_), Some(lane)) if lane.type_name() == &self.step().lane => {
                leave(context, lane)
            }
            _ => Ok(()),
        }
    }

    fn too_late(
        &self,
        context: &mut Context,
        mut item: Item<'_>,
        cause: &Cause,
    ) -> Result<(), BoxError> {
        match (cause, context.caller().cloned()) {
            (Cause::Wake, _) => {
                item.head.is_listed = false;
                self.answer_wake(context, Reported::WokenIdle)?;
                item.save(context)
            }
            (Cause::Turn(_), Some(lane))
                if !item.head.delivery.in_lane && lane.type_name() == &self.step().lane =>
            {
                leave(context, lane)
            }
            _ => Ok(()),
        }
    }

    /// Tries a delivery again, or puts the attempt off when its destination takes no requests.
    async fn try_again(
        &self,
        context: &mut Context,
        mut item: Item<'_>,
        cause: Cause,
    ) -> Result<Result<Delivery, Refused>, BoxError> {
        let now = self.plan.now();
        let Some(job) = context.storage().get(&JOB)? else {
            return self.give_up_damaged(context, item);
        };
        let Ok(mut record) = job.record() else {
            return self.give_up_damaged(context, item);
        };
        // One whose time is over ends in its next step, without an attempt; unless an actor wants one.
        let ends = item.is_expired(now) && !matches!(cause, Cause::Retry(_));
        let (readiness, destination) = if ends {
            (Readiness::Compute, None)
        } else {
            let key = item.head.delivery.key.clone();
            let id = context.address().id().to_owned();
            self.ready(&mut record, &id, key.as_deref()).await
        };
        let to = destination
            .as_ref()
            .map_or(job.destination.as_str(), |to| &to.name)
            .to_owned();
        if let Readiness::Later(at) = readiness {
            return self.put_off(context, item, cause, at, &to);
        }
        let input = match &cause {
            Cause::Tick(tick) => Input::Due {
                epoch: item.head.delivery.epoch,
                n: tick.attempt,
                arm: tick.arm,
            },
            Cause::Turn(turn) => Input::Turn { seq: turn.seq },
            Cause::Wake if item.head.is_held_back => Input::RetryNow {
                by: Actor::new("pipeline", "the destination works again"),
                at: None,
            },
            Cause::Wake => Input::Wake,
            Cause::Retry(by) => Input::RetryNow {
                by: by.clone(),
                at: None,
            },
        };
        let attempt = match item.step(context, input, now)? {
            Ok(attempt) => attempt,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut ended = None;
        if let Some(attempt) = attempt {
            let outcome = self
                .attempt(context, readiness, &mut record, destination.as_ref())
                .await?;
            let told = match &outcome {
                Ok(_) => Outcome::Ok,
                Err(failure) => Outcome::Err(Failure::clone(failure)),
            };
            item.step(context, attempt.ended(told), self.plan.now())??;
            self.log_kept(context, &item);
            ended = Some(outcome);
        }
        match (&cause, &ended) {
            (Cause::Wake, _) => {
                item.head.is_listed = false;
                self.answer_wake(context, woken(ended.as_ref()))?;
            }
            (_, Some(Ok(_))) => {
                self.plan
                    .report_success(context, destination.as_ref(), self.policy.wake)?
            }
            _ => {}
        }
        if let Some(Ok(next)) = ended {
            self.go_on(context, next, record)?;
        }
        // One that was woken and failed is not woken again before its own time: a record that never gets through must not use up
        // its attempts because others do.
        if !matches!(cause, Cause::Wake) {
            self.list(context, &mut item, &to)?;
        }
        let delivery = item.head.delivery.clone();
        item.save(context)?;
        Ok(Ok(delivery))
    }

    /// The destination takes no requests now: the same again at `at`, without an attempt spent.
    fn put_off(
        &self,
        context: &mut Context,
        mut item: Item<'_>,
        cause: Cause,
        at: Timestamp,
        destination: &str,
    ) -> Result<Result<Delivery, Refused>, BoxError> {
        let now = self.plan.now();
        match cause {
            Cause::Tick(tick) => item.postpone(context, tick, at, now)?,
            Cause::Wake => {
                item.head.is_listed = false;
                self.answer_wake(context, Reported::WokenIdle)?;
            }
            Cause::Turn(turn) => {
                let again = MessageBuilder::to(context.address().clone()).value_as(&TURN, &turn)?;
                context.send_after(at.since(now), again)?;
            }
            Cause::Retry(by) => {
                let at = Some(at);
                if let Err(refused) = item.step(context, Input::RetryNow { by, at }, now)? {
                    return Ok(Err(refused));
                }
            }
        }
        self.list(context, &mut item, destination)?;
        let delivery = item.head.delivery.clone();
        item.save(context)?;
        Ok(Ok(delivery))
    }

    fn give_up_damaged(
        &self,
        context: &mut Context,
        mut item: Item<'_>,
    ) -> Result<Result<Delivery, Refused>, BoxError> {
        let by = Actor::new("pipeline", "what was stored cannot be read back");
        let reason = Reason::Damaged;
        let stepped = item.step(context, Input::Discard { by, reason }, self.plan.now())?;
        if let Err(refused) = stepped {
            return Ok(Err(refused));
        }
        tracing::error!(address = %context.address(), "a stored record cannot be read back");
        let delivery = item.head.delivery.clone();
        item.save(context)?;
        Ok(Ok(delivery))
    }
}

// Commands.
impl StageFunction {
    async fn command(&self, context: &mut Context, message: &Message) -> Result<(), BoxError> {
        let reply = match message.require(&COMMAND) {
            Ok(command) => self.obey(context, command).await?,
            Err(err) => Reply::failed("job.bad_command", err.to_string()),
        };
        if let Some(caller) = context.caller().cloned() {
            context.send(MessageBuilder::to(caller).value_as(&REPLY, &reply)?);
        }
        Ok(())
    }

    async fn obey(&self, context: &mut Context, command: Command) -> Result<Reply, BoxError> {
        let Some(mut item) = self.load(context)? else {
            return Ok(Reply::failed(
                "job.not_found",
                "nothing is kept at this address",
            ));
        };
        let before = item.head.delivery.clone();
        let by = Actor::new(command.actor, command.reason);
        let input = match command.verb {
            Verb::Retry if item.can_be_tried_now() => {
                let tried = self.try_again(context, item, Cause::Retry(by)).await?;
                return Ok(match tried {
                    Ok(delivery) => Reply::done(&delivery),
                    Err(refused) => Reply::refused(&refused, &before),
                });
            }
            Verb::Retry => Input::RetryNow { by, at: None },
            Verb::Cancel => Input::Cancel { by },
            Verb::Discard => Input::Discard {
                by,
                reason: Reason::Operator,
            },
            Verb::Purge if item.head.delivery.is_terminal() => {
                item::erase(context)?;
                return Ok(Reply::done(&before));
            }
            Verb::Purge => {
                let text = "only what was given up or called off can be purged";
                return Ok(Reply {
                    ok: false,
                    code: Some("job.bad_state".to_owned()),
                    message: Some(text.to_owned()),
                    ..Reply::done(&before)
                });
            }
        };
        if let Err(refused) = item.step(context, input, self.plan.now())? {
            return Ok(Reply::refused(&refused, &before));
        }
        let reply = Reply::done(&item.head.delivery);
        item.save(context)?;
        Ok(reply)
    }
}

// What the destination is told.
impl StageFunction {
    /// Lets the destination know that this item waits for it, once.
    fn list(
        &self,
        context: &mut Context,
        item: &mut Item<'_>,
        destination: &str,
    ) -> Result<(), BoxError> {
        if !self.policy.wake
            || item.head.is_listed
            || destination.is_empty()
            || !item.can_be_woken()
        {
            return Ok(());
        }
        item.head.is_listed = true;
        let waiting = WaitingItem {
            stage: self.step().name.clone(),
            id: context.address().id().to_owned(),
        };
        let to = Address::new(self.plan.destination.clone(), destination);
        context.send(MessageBuilder::to(to).value_as(&WAITING, &waiting)?);
        Ok(())
    }

    fn answer_wake(&self, context: &mut Context, reported: Reported) -> Result<(), BoxError> {
        match context.caller().cloned() {
            Some(caller) if caller.type_name() == &self.plan.destination => {
                report(context, caller, reported)
            }
            _ => Ok(()),
        }
    }
}

fn woken(ended: Option<&Result<Next, Box<Failure>>>) -> Reported {
    match ended {
        None => Reported::WokenIdle,
        Some(Ok(_)) => Reported::WokenArrived,
        Some(Err(failure)) if failure.class == Class::Permanent => Reported::WokenArrived,
        Some(Err(_)) => Reported::WokenFailed,
    }
}

fn leave(context: &mut Context, lane: Address) -> Result<(), BoxError> {
    let place = Place {
        id: context.address().id().to_owned(),
        seq: 0,
    };
    context.send(MessageBuilder::to(lane).value_as(&LEAVE, &place)?);
    Ok(())
}

impl Kept {
    fn read(submission: Submission) -> Result<Self, BoxError> {
        let first = if submission.full {
            First::NoRoom
        } else if let Some(failure) = submission.read_failure()? {
            let started = Timestamp::from_millis(submission.started);
            let failure = Box::new(failure);
            First::Failed { failure, started }
        } else if let Some(until) = submission.due {
            let until = Timestamp::from_millis(until);
            First::HeldBack { until }
        } else {
            First::Queued
        };
        Ok(Self {
            record: submission.record.unwrap_or_default(),
            lane: submission.lane,
            first,
            destination: submission.destination,
        })
    }
}
