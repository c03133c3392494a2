//! The function of a stage: it takes records, and keeps those with which the stage failed until they get through.
//!
//! A record is tried when it arrives; where that succeeds nothing is stored. Otherwise the record becomes a delivery at the
//! same address. Its waits are delayed messages, its attempts are made here, and what they lead to is one commit with the
//! record's way to the next stage.

//!
//! `arrival` makes first attempts and keeps what failed, `attempt` makes an attempt, `later` takes up again what is kept, and
//! `command` is how people step in.

mod arrival;
mod attempt;
mod command;
mod later;

use std::sync::Arc;

use self::arrival::Handed;
use self::later::Cause;
use super::collector::Collector;
use super::item::{self, Item};
use super::outbound::report;
use super::plan::{Plan, Step};
use super::record::{RECORD, Record};
use super::stages::StageKind;
use super::wire::{FLUSH, Reported, SUBMISSION, TICK, TURN, WAITING, WAKE, WaitingItem};
use crate::delivery::COMMAND;
use crate::delivery::engine::{Policy, Reason, State};
use crate::sdk::{
    Address, BoxError, Context, FunctionSpec, Message, MessageBuilder, StatefulFunction, TypeName,
};

/// Function `<namespace>/<pipeline>.<stage>`.
pub(crate) struct StageFunction {
    plan: Arc<Plan>,
    at: usize,
    policy: Policy,
    collector: Option<Collector>,
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
        let is = |name: &TypeName| message.value_type_name() == name.as_str();
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
            self.keep(context, Handed::read(message.require(&SUBMISSION)?)?)
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

// What goes on, and what is told.
impl StageFunction {
    fn let_go(&self, context: &mut Context, batch: Option<Record>) -> Result<(), BoxError> {
        batch.map_or(Ok(()), |batch| {
            self.plan.advance(context, self.at + 1, batch)
        })
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
