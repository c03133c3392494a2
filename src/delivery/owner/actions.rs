//! Carries out the actions that were decided: writes the item, arms timers, and sends messages to lanes and destinations.

use std::sync::Arc;
use std::time::Duration;

use super::super::engine::{DeliveryState, Effect, Follow, Purpose, Reason, Token};
use super::attempt::{Ran, Way, is_silence};
use super::decide::{Action, Woken};
use super::function::Owner;
use super::item::Item;
use super::kept::Kept;
use super::target::Target;
use super::wire::{
    FORGET, JOIN, LEAVE, REPORT, Report, Reported, TICK, Tick, Turn, WAITING, WaitingItem,
    WireLaneEntry,
};
use crate::sdk::{Address, BoxError, CancellationToken, Context, MessageBuilder, Type};
use crate::time::Timestamp;

impl<T: Target> Owner<T> {
    pub(super) fn settle(
        &self,
        context: &mut Context,
        kept: Kept,
        ran: Ran<T>,
    ) -> Result<(), BoxError> {
        if self.drops(&kept) {
            return self.drop_unit(context, &kept, ran);
        }
        let Ran {
            actions,
            taken,
            elsewhere,
            way,
        } = ran;
        let mut ended = Vec::new();
        for action in actions {
            match action {
                Action::Engine(Effect::Follow(follow)) => ended.push(follow),
                action => self.apply(context, &kept.item, action, way.as_ref())?,
            }
        }
        if let Some(call) = elsewhere {
            self.target.begin(context, call)?;
        }
        if let Some((unit, taken)) = taken {
            self.target.follow(context, unit, taken)?;
        }
        if !ended.is_empty() && self.target.has_follow_ups() {
            self.follow_up(context, &kept, &ended)?;
        }
        if kept.before != Some(kept.item.delivery.seq) {
            log(context, &kept.item);
            self.forget_later(context, &kept.item)?;
        }
        kept.save(context, self.target.keeps_ended().is_some())
    }

    fn follow_up(
        &self,
        context: &mut Context,
        kept: &Kept,
        ended: &[Follow],
    ) -> Result<(), BoxError> {
        let unit = match kept.unit(context, &self.target) {
            Ok(unit) => unit,
            Err(error) => {
                tracing::error!(address = %context.address(), error, "what was stored cannot be read back; nothing follows from its outcome");
                return Ok(());
            }
        };
        for follow in ended {
            self.target
                .ended(context, &unit, &kept.item.delivery, *follow)?;
        }
        Ok(())
    }

    /// Has an ended item removed when it was kept long enough. One that was given up stays until an operator removes it.
    fn forget_later(&self, context: &mut Context, item: &Item) -> Result<(), BoxError> {
        let is_over = matches!(
            item.delivery.state,
            Some(DeliveryState::Succeeded | DeliveryState::Cancelled)
        );
        let Some(span) = self.target.keeps_ended().filter(|_| is_over) else {
            return Ok(());
        };
        let seq = item.delivery.seq;
        let forget =
            MessageBuilder::to(context.address().clone()).value_as(&FORGET, Turn { seq })?;
        Ok(context.send_after(span, forget)?)
    }

    pub(super) fn apply(
        &self,
        context: &mut Context,
        item: &Item,
        action: Action,
        way: Option<&Way>,
    ) -> Result<(), BoxError> {
        match action {
            Action::Engine(effect) => self.apply_effect(context, item, effect),
            Action::List { expires, is_held } => {
                let id = context.address().id();
                let mut waiting = WaitingItem::new(self.names.stage.clone(), id);
                waiting.expires = expires.map_or(0, Timestamp::as_millis);
                waiting.is_held = is_held;
                let ask_every = way.map_or(Duration::ZERO, Way::ask_every);
                waiting.ask_every = u64::try_from(ask_every.as_millis()).unwrap_or(u64::MAX);
                let to = Address::new(
                    self.names.destination.clone(),
                    item.delivery.target.as_str(),
                );
                context.send(MessageBuilder::to(to).value_as(&WAITING, waiting)?);
                Ok(())
            }
            Action::Answer(woken) => self.answer(context, woken, Some(item)),
            Action::Works => self.tell_success(context, way),
            Action::PassTurn { seq } => self.pass_turn(context, seq),
        }
    }

    fn apply_effect(
        &self,
        context: &mut Context,
        item: &Item,
        effect: Effect,
    ) -> Result<(), BoxError> {
        match effect {
            Effect::Disarm { token } => {
                let token = CancellationToken::new(token.text(context.address()))?;
                context.cancel_delayed_message(&token);
                Ok(())
            }
            Effect::Arm { token, at, arm } => self.arm(context, token, at, arm),
            Effect::Join { seq } => self.tell_lane(context, item, &JOIN, seq),
            Effect::Leave => self.tell_lane(context, item, &LEAVE, 0),
            // The attempt has been made, and the history has been written. What follows from an outcome is the target's, and a unit
            // that owns its bytes has no position.
            _ => Ok(()),
        }
    }

    fn arm(
        &self,
        context: &mut Context,
        token: Token,
        at: Timestamp,
        arm: u64,
    ) -> Result<(), BoxError> {
        let attempt = token.n;
        let is_deadline = token.purpose == Purpose::Deadline;
        let tick = Tick {
            attempt,
            arm,
            is_deadline,
        };
        let text = token.text(context.address());
        let message = MessageBuilder::to(context.address().clone()).value_as(&TICK, tick)?;
        let delay = at.since(self.now());
        context.send_after_with_token(delay, CancellationToken::new(text)?, message)?;
        Ok(())
    }

    pub(super) fn tell_lane(
        &self,
        context: &mut Context,
        item: &Item,
        what: &Type<WireLaneEntry>,
        seq: u64,
    ) -> Result<(), BoxError> {
        if let Some(key) = &item.delivery.key {
            let lane = Address::new(self.names.lane.clone(), key.as_str());
            let id = context.address().id().to_owned();
            context.send(MessageBuilder::to(lane).value_as(what, WireLaneEntry { id, seq })?);
        }
        Ok(())
    }

    /// Returns a turn to its lane.
    pub(super) fn pass_turn(&self, context: &mut Context, seq: u64) -> Result<(), BoxError> {
        match context.caller().cloned() {
            Some(lane) if lane.type_name() == &self.names.lane => {
                let id = context.address().id().to_owned();
                context.send(MessageBuilder::to(lane).value_as(&LEAVE, WireLaneEntry { id, seq })?);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn answer(
        &self,
        context: &mut Context,
        woken: Woken,
        item: Option<&Item>,
    ) -> Result<(), BoxError> {
        let reported = match woken {
            Woken::Arrived => Reported::WokenArrived,
            Woken::Failed => Reported::WokenFailed,
            Woken::Gone => Reported::WokenGone,
            Woken::Waits => Reported::WokenWaits,
        };
        match context.caller().cloned() {
            Some(caller) if caller.type_name() == &self.names.destination => {
                let expires = item.and_then(|item| item.expires(&self.policy));
                let error = item.and_then(|item| item.history.last_error());
                let report = Report {
                    reported: reported.into(),
                    expires: expires.map_or(0, Timestamp::as_millis),
                    is_answered: error.is_some_and(|error| !is_silence(error.detail.status_code)),
                };
                tell(context, caller, report)
            }
            _ => Ok(()),
        }
    }

    /// Tells the deliveries that wait for the destination, also those of other owners, that it works: at most once a second.
    pub(super) fn tell_success(
        &self,
        context: &mut Context,
        way: Option<&Way>,
    ) -> Result<(), BoxError> {
        let Some(way) = way.filter(|_| self.policy.wake) else {
            return Ok(());
        };
        if !way.limiter.breaker.may_report(self.now()) {
            return Ok(());
        }
        for list in self.registry.lists(&way.name) {
            let to = Address::new(list, Arc::clone(&way.name));
            let reported = Reported::Works.into();
            tell(
                context,
                to,
                Report {
                    reported,
                    expires: 0,
                    is_answered: true,
                },
            )?;
        }
        Ok(())
    }
}

fn tell(context: &mut Context, to: Address, report: Report) -> Result<(), BoxError> {
    context.send(MessageBuilder::to(to).value_as(&REPORT, report)?);
    Ok(())
}

fn log(context: &Context, item: &Item) {
    let (address, attempt) = (context.address(), item.delivery.attempt);
    match (item.delivery.state, item.delivery.reason) {
        (Some(DeliveryState::Discarded), reason) => {
            tracing::warn!(%address, attempt, reason = reason.map(Reason::as_str), "given up; it is a dead letter now");
        }
        (Some(DeliveryState::Awaiting), Some(Reason::Retry)) => {
            tracing::debug!(%address, attempt, "attempt failed; will retry");
        }
        _ => {}
    }
}
