//! The delivery of one record at one stage, as it lies in function state: loaded, stepped by the engine, and saved.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::record::{Record, WireRecord};
use super::wire::{JOIN, LEAVE, Place, TICK, Tick, Turn};
use crate::delivery::engine::{
    self, Delivery, Effect, History, Input, Outcome, Policy, Reason, Refused, State,
};
use crate::sdk::types::{json, protobuf_as};
use crate::sdk::{
    Address, BoxError, CancellationToken, Context, FunctionSpec, MessageBuilder, Type, TypeName,
    ValueSpec,
};
use crate::timestamp::Timestamp;

/// What was to be sent. Written once.
pub(crate) const JOB: ValueSpec<Job> =
    ValueSpec::new("job", protobuf_as(TypeName::new("statefun.pipelines/job")));
/// Where the delivery stands.
pub(crate) const HEAD: ValueSpec<Head> =
    ValueSpec::new("head", json(TypeName::new("statefun.pipelines/head")));
/// How it came there.
pub(crate) const LOG: ValueSpec<History> =
    ValueSpec::new("log", json(TypeName::new("statefun.pipelines/log")));

/// What was to be sent, and as a part of what.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Job {
    #[prost(message, optional, tag = "1")]
    pub(crate) record: Option<WireRecord>,
    #[prost(string, tag = "2")]
    pub(crate) pipeline: String,
    #[prost(string, tag = "3")]
    pub(crate) stage: String,
    /// The pipeline's version when this was kept.
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) version: Bytes,
    /// Scheme, host and port; empty when it is not known.
    #[prost(string, tag = "5")]
    pub(crate) destination: String,
}

/// Where a delivery stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) delivery: Delivery,
    /// Its destination knows that it waits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_listed: bool,
    /// It waits untried, because its destination did not take requests.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_held_back: bool,
}

/// A delivery between loading and saving.
pub(crate) struct Item<'p> {
    pub(crate) head: Head,
    log: History,
    /// Takes its place in the lane itself; otherwise the lane has one for it already.
    joins: bool,
    lane: &'p TypeName,
    policy: &'p Policy,
}

/// An attempt that the engine asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    epoch: u64,
    n: u32,
}

impl Attempt {
    pub(crate) const fn ended(self, outcome: Outcome) -> Input {
        Input::Outcome {
            epoch: self.epoch,
            n: self.n,
            outcome,
        }
    }
}

/// Declares the values of a delivery.
pub(crate) fn declare(spec: FunctionSpec) -> FunctionSpec {
    spec.value(JOB).value(HEAD).value(LOG)
}

impl<'p> Item<'p> {
    /// A delivery that is about to be submitted. `has_place` when its lane knows it already.
    pub(crate) fn new(
        delivery: Delivery,
        has_place: bool,
        lane: &'p TypeName,
        policy: &'p Policy,
    ) -> Self {
        Self {
            head: Head {
                delivery,
                is_listed: false,
                is_held_back: false,
            },
            log: History::default(),
            joins: !has_place,
            lane,
            policy,
        }
    }

    /// The delivery at this address, if there is one.
    pub(crate) fn load(
        context: &mut Context,
        lane: &'p TypeName,
        policy: &'p Policy,
    ) -> Result<Option<Self>, BoxError> {
        let storage = context.storage();
        let Some(head) = storage.get(&HEAD)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            head,
            log: storage.get(&LOG)?.unwrap_or_default(),
            joins: true,
            lane,
            policy,
        }))
    }

    /// Steps the delivery and does what follows. Answers the attempt that is to be made now, if there is one.
    pub(crate) fn step(
        &mut self,
        context: &mut Context,
        input: Input,
        now: Timestamp,
    ) -> Result<Result<Option<Attempt>, Refused>, BoxError> {
        let mut effects = Vec::new();
        if let Err(refused) = engine::step(
            &mut self.head.delivery,
            input,
            now,
            self.policy,
            &mut effects,
        ) {
            return Ok(Err(refused));
        }
        let mut attempt = None;
        for effect in effects {
            if let Effect::Attempt { epoch, n, .. } = effect {
                self.head.is_held_back = false;
                attempt = Some(Attempt { epoch, n });
            } else {
                self.apply(context, effect, now)?;
            }
        }
        Ok(Ok(attempt))
    }

    fn apply(
        &mut self,
        context: &mut Context,
        effect: Effect,
        now: Timestamp,
    ) -> Result<(), BoxError> {
        match effect {
            Effect::Append(transition) => self.log.append(transition)?,
            Effect::Disarm { token } => {
                let token = CancellationToken::new(token.text(context.address()))?;
                context.cancel_delayed_message(&token);
            }
            Effect::Arm { token, at, arm } => {
                let tick = Tick {
                    attempt: token.n,
                    arm,
                };
                let text = token.text(context.address());
                arm_tick(context, &text, tick, at.since(now))?;
            }
            Effect::Join { seq } if self.joins => self.tell_lane(context, &JOIN, seq)?,
            Effect::Leave => self.tell_lane(context, &LEAVE, 0)?,
            // A pipeline goes on by itself, has no position, and counts from what is stored.
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn tell_lane(
        &self,
        context: &mut Context,
        what: &Type<Place>,
        seq: u64,
    ) -> Result<(), BoxError> {
        if let Some(key) = &self.head.delivery.key {
            let lane = Address::new(self.lane.clone(), key.as_str());
            let id = context.address().id().to_owned();
            context.send(MessageBuilder::to(lane).value_as(what, &Place { id, seq })?);
        }
        Ok(())
    }

    /// Has the tick that just came come again at `at`: the engine never saw it.
    pub(crate) fn postpone(
        &self,
        context: &mut Context,
        tick: Tick,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<(), BoxError> {
        let Some(token) = self.head.delivery.armed else {
            return Ok(());
        };
        let at = self.expires().map_or(at, |expires| at.min(expires));
        let text = token.text(context.address());
        arm_tick(context, &text, tick, at.since(now))
    }

    /// Whether this tick is the one that is awaited.
    pub(crate) fn awaits(&self, tick: Tick) -> bool {
        let delivery = &self.head.delivery;
        delivery.arm == tick.arm && delivery.armed.is_some_and(|token| token.n == tick.attempt)
    }

    /// Whether this is the turn that is awaited.
    pub(crate) fn awaits_turn(&self, turn: Turn) -> bool {
        self.head.delivery.waits_for_turn() && self.head.delivery.seq == turn.seq
    }

    /// Whether it waits for nothing but its destination.
    pub(crate) fn can_be_woken(&self) -> bool {
        let delivery = &self.head.delivery;
        let waits = match delivery.reason {
            Some(Reason::Retry | Reason::Blocked) => true,
            Some(Reason::Scheduled) => self.head.is_held_back,
            _ => false,
        };
        delivery.state == Some(State::Awaiting) && waits && !delivery.paused
    }

    /// Whether an actor's retry is an attempt at once, not a place to wait in.
    pub(crate) fn can_be_tried_now(&self) -> bool {
        self.state() == Some(State::Awaiting) && !self.head.delivery.waits_for_turn()
    }

    fn expires(&self) -> Option<Timestamp> {
        Some(self.head.delivery.submitted_at? + self.policy.max_age?)
    }

    /// Whether its time is over, so that the next step ends it without an attempt.
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires().is_some_and(|expires| now >= expires)
    }

    pub(crate) const fn state(&self) -> Option<State> {
        self.head.delivery.state
    }

    /// Writes the delivery; one that succeeded leaves nothing behind.
    pub(crate) fn save(self, context: &mut Context) -> Result<(), BoxError> {
        if self.state() == Some(State::Succeeded) {
            return erase(context);
        }
        let storage = context.storage();
        storage.set(&HEAD, self.head)?;
        storage.set(&LOG, self.log)?;
        Ok(())
    }
}

/// Removes the delivery at this address.
pub(crate) fn erase(context: &mut Context) -> Result<(), BoxError> {
    let storage = context.storage();
    storage.remove(&JOB)?;
    storage.remove(&HEAD)?;
    storage.remove(&LOG)?;
    Ok(())
}

fn arm_tick(
    context: &mut Context,
    token: &str,
    tick: Tick,
    delay: Duration,
) -> Result<(), BoxError> {
    let message = MessageBuilder::to(context.address().clone()).value_as(&TICK, &tick)?;
    context.send_after_with_token(delay, CancellationToken::new(token)?, message)?;
    Ok(())
}

impl Job {
    /// The record as it was kept.
    pub(crate) fn record(&self) -> Result<Record, BoxError> {
        Record::from_wire(self.record.clone().unwrap_or_default())
    }
}
