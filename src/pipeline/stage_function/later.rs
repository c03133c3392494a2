//! What is kept is taken up again: at its time, in its turn, because its destination works, or because somebody asks.

use super::super::item::{Item, JOB};
use super::super::outbound::Readiness;
use super::super::wire::{LEAVE, Place, Reported, TURN, Tick, Turn};
use super::StageFunction;
use super::attempt::Next;
use crate::delivery::engine::{Actor, Class, Delivery, Failure, Input, Outcome, Reason, Refused};
use crate::sdk::{Address, BoxError, Context, MessageBuilder};
use crate::timestamp::Timestamp;

/// Why a delivery is taken up again.
pub(super) enum Cause {
    Tick(Tick),
    Wake,
    Turn(Turn),
    Retry(Actor),
}

impl StageFunction {
    pub(super) async fn take_up(
        &self,
        context: &mut Context,
        cause: Cause,
    ) -> Result<(), BoxError> {
        let Some(item) = self.load(context)? else {
            return self.nothing_here(context, &cause);
        };
        let fits = match &cause {
            Cause::Tick(tick) => item.awaits(*tick),
            Cause::Turn(turn) => item.awaits_turn(*turn),
            Cause::Wake => item.can_be_woken() && !item.is_expired(self.plan.now()),
            Cause::Retry(_) => true,
        };
        if !fits {
            return self.too_late(context, item, &cause);
        }
        self.try_again(context, item, cause).await.map(drop)
    }

    /// A lane must not wait for someone who is gone, and a destination wants an answer.
    pub(super) fn nothing_here(
        &self,
        context: &mut Context,
        cause: &Cause,
    ) -> Result<(), BoxError> {
        match (cause, context.caller().cloned()) {
            (Cause::Wake, _) => self.answer_wake(context, Reported::WokenIdle),
            (Cause::Turn(_), Some(lane)) if lane.type_name() == &self.step().lane => {
                leave(context, lane)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn too_late(
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
    pub(super) async fn try_again(
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
    pub(super) fn put_off(
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

    pub(super) fn give_up_damaged(
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
