//! Items: each delivery is kept in the state of a stateful function at its own address. This carries out the decisions.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;

use super::super::engine::{
    Actor, Delivery, DeliveryState, Effect, Failure, Input, Outcome, Policy, Readiness, Reason,
    Refused,
};
#[cfg(feature = "postgres")]
use super::attempt::called;
use super::attempt::{Ran, longest_wait};
use super::decide::{Action, Woken, adopt, decide, stay};
use super::item::{HEAD, Item, JOB, LOG};
use super::kept::{Kept, erase, is_taken};
use super::limiter::Limiters;
use super::received::ToItem;
use super::registry::DestinationRegistry;
use super::row::Stored;
use super::stock::Stock;
use super::target::{Moved, Target, Undelivered};
use super::wire::{HANDED_OVER, OldUnit, Submission, Turn, Wake};
use crate::clock::Clock;
use crate::sdk::{
    Address, BoxError, Context, FunctionSpec, Message, MessageBuilder, SdkError, TypeName,
};
use crate::time::Timestamp;

/// The function types of one owner.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    /// Items: the id is the delivery's.
    pub(crate) item: TypeName,
    /// Lanes: the id is the order key.
    pub(crate) lane: TypeName,
    /// Destinations: the id is the destination's name.
    pub(crate) destination: TypeName,
    /// The name under which items register with a destination.
    pub(crate) stage: String,
}

/// What an input did to a delivery.
pub(super) enum Applied {
    /// The delivery as it is now.
    Done(Box<Delivery>),
    /// It does not accept the input in its state.
    Refused(Refused),
}

impl Applied {
    fn must_be_done(self) -> Result<(), BoxError> {
        match self {
            Self::Done(_) => Ok(()),
            Self::Refused(refused) => Err(refused.into()),
        }
    }
}

/// Keeps the deliveries to one target. Its items and lanes are addresses of stateful functions.
pub(crate) struct Owner<T> {
    pub(super) target: T,
    pub(super) policy: Policy,
    pub(super) names: Names,
    pub(super) registry: Arc<DestinationRegistry>,
    pub(super) limiters: Limiters,
    /// Whether units that could not be delivered are kept.
    pub(super) is_storing: bool,
    /// What is kept together with the units of others.
    stock: Option<Arc<Stock>>,
    clock: Arc<dyn Clock>,
}

impl<T: Target> Owner<T> {
    pub(crate) fn new(
        target: T,
        policy: Policy,
        names: Names,
        registry: Arc<DestinationRegistry>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            target,
            policy,
            names,
            registry,
            limiters: Limiters::default(),
            is_storing: true,
            stock: None,
            clock,
        }
    }

    /// Sets whether units that could not be delivered are kept. If not, they are dropped and counted; those that are already kept stay, and are
    /// not attempted.
    pub(crate) fn storing(self, is_storing: bool) -> Self {
        Self { is_storing, ..self }
    }

    /// Keeps units together with others, within the limits of all.
    pub(crate) fn within(self, stock: Arc<Stock>) -> Self {
        let stock = Some(stock);
        Self { stock, ..self }
    }

    /// Gives up a new unit that has to wait, if there is no room for it. Returns what else is to be done.
    pub(super) fn fit(
        &self,
        item: &mut Item,
        mut actions: Vec<Action>,
    ) -> Result<Vec<Action>, Refused> {
        let waits = item.delivery.state == Some(DeliveryState::Awaiting);
        let is_rejected = |stock: &Arc<Stock>| stock.rejects_new();
        if !waits || !self.is_storing || !self.stock.as_ref().is_some_and(is_rejected) {
            return Ok(actions);
        }
        let ready = Readiness::Ready;
        let ended = decide(item, no_room_left(), ready, self.now(), &self.policy)?;
        actions.extend(ended);
        // It never waits: it needs no timer, and no place in a queue.
        actions.retain(|action| {
            let of_waiting = matches!(
                action,
                Action::Engine(Effect::Arm { .. } | Effect::Disarm { .. }) | Action::List { .. }
            );
            !of_waiting
        });
        Ok(actions)
    }

    /// Declares the values of an item.
    pub(crate) fn declare(spec: FunctionSpec) -> FunctionSpec {
        spec.value(HEAD).value(LOG).value(JOB)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A delivery that is about to be submitted.
    pub(super) fn fresh(&self, id: String, key: Option<String>) -> Item {
        Item::new(Delivery::job(id, self.names.item.as_str(), key))
    }

    /// Handles a new unit: attempted at once, and kept if that fails. A unit that is already kept stays unchanged.
    pub(crate) async fn arrive(
        &self,
        context: &mut Context,
        unit: T::Unit,
    ) -> Result<(), BoxError> {
        if is_taken(context)? {
            return Ok(());
        }
        let mut kept = Kept::new(self.fresh(context.address().id().to_owned(), None));
        let mut unit = Some(unit);
        let mut ran = self
            .run(&mut kept.item, &mut unit, Input::SubmitInTurn, false)
            .await?;
        ran.actions = self.fit(&mut kept.item, ran.actions)?;
        if let Some(unit) = &mut unit {
            let undelivered = Undelivered::of(&kept.item, self.drops_new(&kept.item));
            self.target.undelivered(context, unit, &undelivered);
        }
        kept.unit = unit.map(|unit| self.target.encode(&unit));
        self.settle(context, kept, ran)
    }

    /// Handles a new unit that is kept at this address until its target no longer keeps it, whatever becomes of it; with a `key` it queues behind
    /// others. One that is already kept stays unchanged.
    pub(crate) async fn accept(
        &self,
        context: &mut Context,
        unit: T::Unit,
        key: Option<String>,
        due: Option<Timestamp>,
    ) -> Result<(), BoxError> {
        if is_taken(context)? {
            return Ok(());
        }
        let stored = self.target.encode(&unit);
        let item = self.fresh(context.address().id().to_owned(), key);
        let mut kept = Kept::new(item).with_unit(Some(stored));
        let (mut unit, input) = (Some(unit), Input::Submit { due });
        let ran = self.run(&mut kept.item, &mut unit, input, false).await?;
        self.settle(context, kept, ran)
    }

    /// Handles the outcome of an attempt that another address made: of number `n`, or of the one in progress.
    pub(crate) async fn outcome(
        &self,
        context: &mut Context,
        n: Option<u32>,
        outcome: Outcome,
    ) -> Result<(), BoxError> {
        let Some(kept) = Kept::load(context)? else {
            return Ok(());
        };
        let (epoch, n) = (0, n.unwrap_or(kept.item.delivery.attempt));
        let input = Input::Outcome { epoch, n, outcome };
        self.put(context, kept, input, false).await?.must_be_done()
    }

    /// Handles a message of the owner. False if the message is not one.
    pub(crate) async fn handle(
        &self,
        context: &mut Context,
        message: &Message,
    ) -> Result<bool, BoxError> {
        match ToItem::read(message)? {
            Some(ToItem::Tick(tick)) => {
                let (epoch, n, arm) = (0, tick.attempt, tick.arm);
                let input = match tick.is_deadline {
                    true => Input::Deadline { epoch, n },
                    false => Input::Due { epoch, n, arm },
                };
                self.take_up(context, input, false).await?;
            }
            Some(ToItem::Forget(Turn { seq })) => self.forget(context, seq)?,
            Some(ToItem::Wake(Wake { is_probe })) => {
                self.take_up(context, Input::Wake, is_probe).await?;
            }
            Some(ToItem::Turn(Turn { seq })) => {
                self.take_up(context, Input::Turn { seq }, false).await?;
            }
            Some(ToItem::Watch) => self.take_up(context, Input::Watch, false).await?,
            Some(ToItem::Rules) => self.rules_changed(context).await?,
            Some(ToItem::Full) => self.displaced(context).await?,
            Some(ToItem::Command(command)) => self.command(context, command).await?,
            Some(ToItem::Edit(edit)) => self.edit(context, edit).await?,
            Some(ToItem::HandedOver(row)) => self.take_over(context, row)?,
            Some(ToItem::Submission(submission)) => self.submit(context, submission)?,
            None => return Ok(false),
        }
        Ok(true)
    }
}

// Continues with kept deliveries.
impl<T: Target> Owner<T> {
    async fn take_up(
        &self,
        context: &mut Context,
        input: Input,
        is_probe: bool,
    ) -> Result<(), BoxError> {
        let Some(mut kept) = Kept::load(context)? else {
            return self.nothing_here(context, &input);
        };
        if let Some(moved) = self.moved(context, &kept)? {
            self.nothing_here(context, &input)?;
            return self.move_on(context, kept, moved).await;
        }
        if matches!(input, Input::Wake) && self.is_left_behind(&kept.item) {
            let actions = stay(&mut kept.item, &self.policy);
            return self.settle(context, kept, Ran::of(actions));
        }
        let waits = !self.is_storing && kept.item.delivery.attempt > 0;
        if waits && matches!(input, Input::Wake) {
            let actions = stay(&mut kept.item, &self.policy);
            return self.settle(context, kept, Ran::of(actions));
        }
        let (now, policy) = (self.now(), &self.policy);
        if waits
            && matches!(input, Input::Due { .. })
            && super::decide::attempts(&kept.item, &input, now, policy)
        {
            // Looked at again within one interval, without an attempt.
            let later = Readiness::Later(now + longest_wait(&policy.retry));
            let actions = decide(&mut kept.item, input, later, now, policy)?;
            return self.settle(context, kept, Ran::of(actions));
        }
        self.put(context, kept, input, is_probe)
            .await?
            .must_be_done()
    }

    /// Continues with a changed policy.
    async fn rules_changed(&self, context: &mut Context) -> Result<(), BoxError> {
        let kept = Kept::load(context)?;
        let Some(kept) = kept else {
            return Ok(());
        };
        if let Some(moved) = self.moved(context, &kept)? {
            return self.move_on(context, kept, moved).await;
        }
        // A held item only arms its expiry.
        if !kept.item.delivery.held && self.is_left_behind(&kept.item) {
            return Ok(());
        }
        // A unit that is kept whatever becomes of it waits for its schedule.
        let input = if self.target.keeps_ended().is_none() && waits_for_its_stage(&kept.item) {
            let by = Actor::new("statefun", "the stage is back");
            Input::RetryNow { by, at: None }
        } else {
            let failure = self.last_failure(&kept.item);
            Input::Rearm { failure }
        };
        self.put(context, kept, input, false).await?.must_be_done()
    }

    /// What becomes of a waiting unit that another version of its target kept.
    fn moved(&self, context: &mut Context, kept: &Kept) -> Result<Option<Moved>, BoxError> {
        let waits = kept.item.delivery.state == Some(DeliveryState::Awaiting);
        if !waits || !self.target.may_move() {
            return Ok(None);
        }
        match kept.unit_bytes(context)? {
            // Bytes that cannot be read are found out by the next attempt.
            Some(unit) => Ok(self.target.moved(&unit).unwrap_or_default()),
            None => Ok(None),
        }
    }

    async fn move_on(
        &self,
        context: &mut Context,
        mut kept: Kept,
        moved: Moved,
    ) -> Result<(), BoxError> {
        let message = match moved {
            Moved::To(message) => message,
            Moved::GivenUp(text) => {
                let (by, reason) = (Actor::new("statefun", text), Reason::StageGone);
                let input = Input::Discard { by, reason };
                return self.put(context, kept, input, false).await?.must_be_done();
            }
        };
        // It leaves nothing behind here, and begins anew there.
        let by = Actor::new("statefun", "it continues elsewhere");
        let (ready, now) = (Readiness::Ready, self.now());
        let actions = decide(
            &mut kept.item,
            Input::Cancel { by },
            ready,
            now,
            &self.policy,
        )?;
        for action in actions {
            self.apply(context, &kept.item, action, None)?;
        }
        erase(context)?;
        context.send(message);
        Ok(())
    }

    /// Whether it waited for a destination, this address no longer delivers to destinations, and it has not expired.
    fn is_left_behind(&self, item: &Item) -> bool {
        let is_over = item
            .expires(&self.policy)
            .is_some_and(|expires| self.now() >= expires);
        item.has_destination && !self.target.has_destinations() && !is_over
    }

    /// Releases the lane and answers the destination of an item that is gone.
    fn nothing_here(&self, context: &mut Context, input: &Input) -> Result<(), BoxError> {
        match input {
            Input::Wake => self.answer(context, Woken::Gone, None),
            Input::Turn { seq } => self.pass_turn(context, *seq),
            _ => Ok(()),
        }
    }

    /// Applies an input to a delivery, and carries out the actions.
    pub(super) async fn put(
        &self,
        context: &mut Context,
        mut kept: Kept,
        input: Input,
        is_probe: bool,
    ) -> Result<Applied, BoxError> {
        let (mut unit, mut input) = (None, input);
        if super::decide::attempts(&kept.item, &input, self.now(), &self.policy) {
            match kept.unit(context, &self.target) {
                Ok(found) => unit = Some(found),
                Err(err) => {
                    tracing::error!(address = %context.address(), error = %err, "what was stored cannot be read back");
                    let by = Actor::new("statefun", format!("cannot be read back: {err}"));
                    let reason = Reason::Damaged;
                    input = Input::Discard { by, reason };
                }
            }
        }
        let ran = self.run(&mut kept.item, &mut unit, input, is_probe).await;
        let ran = match ran {
            Ok(ran) => ran,
            Err(refused) => return Ok(Applied::Refused(refused)),
        };
        let delivery = kept.item.delivery.clone();
        self.settle(context, kept, ran)?;
        Ok(Applied::Done(Box::new(delivery)))
    }

    /// Removes an ended item, unless it was sent again since.
    fn forget(&self, context: &mut Context, seq: u64) -> Result<(), BoxError> {
        let Some(kept) = Kept::load(context)? else {
            return Ok(());
        };
        let delivery = &kept.item.delivery;
        if delivery.is_terminal() && delivery.seq == seq {
            self.remove(context, &kept)?;
        }
        Ok(())
    }

    /// Removes an item with its history.
    pub(super) fn remove(&self, context: &mut Context, kept: &Kept) -> Result<(), BoxError> {
        match kept.unit(context, &self.target) {
            Ok(unit) => self.target.removed(context, &unit)?,
            Err(error) => {
                tracing::warn!(address = %context.address(), error, "removed, although what was stored could not be read back");
            }
        }
        erase(context)
    }

    /// The failure of the last attempt, as far as the history has it.
    fn last_failure(&self, item: &Item) -> Failure {
        let error = item.history.last_error();
        let status = error.and_then(|error| error.detail.status_code);
        let of_status = |status| Failure::of_answer(&self.policy, status, "");
        status
            .and_then(of_status)
            .unwrap_or_else(|| Failure::retry("", ""))
    }

    /// Takes over a delivery that was begun elsewhere. An existing one stays unchanged.
    fn take_over(&self, context: &mut Context, row: Bytes) -> Result<(), BoxError> {
        let Stored { mut item, unit, .. } = Stored::decode(row)?;
        if is_taken(context)? {
            return self.pass_turn(context, item.delivery.seq);
        }
        let actions = adopt(&mut item, self.now(), &self.policy);
        let actions = self.fit(&mut item, actions)?;
        let kept = Kept::new(item).with_unit(unit);
        self.settle(context, kept, Ran::of(actions))
    }

    /// Handles a submission of an earlier version.
    fn submit(&self, context: &mut Context, submission: Submission) -> Result<(), BoxError> {
        if is_taken(context)? {
            return Ok(());
        }
        let failure = submission.read_failure()?;
        let mut item = self.fresh(context.address().id().to_owned(), submission.lane);
        if !submission.destination.is_empty() {
            item.delivery.target = submission.destination;
            item.has_destination = true;
        }
        let mut inputs = vec![match failure {
            Some(failure) => Input::SubmitTried {
                started: Timestamp::from_millis(submission.started),
                failure,
            },
            None => Input::Submit {
                due: submission.due.map(Timestamp::from_millis),
            },
        }];
        if submission.full {
            inputs.push(no_room());
        }
        let (now, later) = (self.now(), Readiness::Later(self.now()));
        let mut actions = Vec::new();
        for input in inputs {
            actions.extend(decide(&mut item, input, later, now, &self.policy)?);
        }
        // Its lane has an entry for it.
        actions.retain(|action| !matches!(action, Action::Engine(Effect::Join { .. })));
        let record = submission.record.unwrap_or_default();
        let unit = OldUnit { record }.encode_to_vec().into();
        let kept = Kept::new(item).with_unit(Some(unit));
        self.settle(context, kept, Ran::of(actions))
    }
}

/// Gives up a delivery for which its lane has no room.
pub(super) fn no_room() -> Input {
    Input::Discard {
        by: Actor::new("statefun", "no room behind others with this key"),
        reason: Reason::Full,
    }
}

/// Gives up a delivery that is more than may be kept.
pub(super) fn no_room_left() -> Input {
    Input::Discard {
        by: Actor::new(
            "statefun",
            "the pipeline keeps as many waiting records as it may",
        ),
        reason: Reason::Full,
    }
}

/// Whether it was deferred because the stage it needs is gone.
fn waits_for_its_stage(item: &Item) -> bool {
    let delivery = &item.delivery;
    let is_put_off = delivery.reason == Some(Reason::Scheduled) && delivery.attempt == 0;
    delivery.state == Some(DeliveryState::Awaiting) && is_put_off && !item.has_destination
}

impl<T: Target> Owner<T> {
    pub(crate) const fn target(&self) -> &T {
        &self.target
    }

    /// Keeps a unit under `id` that cannot be attempted before the stage it needs is back, until it expires.
    #[cfg(feature = "runtime")]
    pub(crate) fn defer(&self, id: String, unit: &T::Unit) -> Result<Message, BoxError> {
        let (now, mut item) = (self.now(), self.fresh(id, None));
        let due = self.policy.max_age.map(|age| now + age);
        let due = due.unwrap_or(Timestamp::MAX);
        let input = Input::Submit { due: Some(due) };
        decide(&mut item, input, Readiness::Ready, now, &self.policy)?;
        Ok(handed(&self.names.item, item, self.target.encode(unit))?)
    }
}

/// Passes a delivery to the address that will keep it.
pub(super) fn handed(function: &TypeName, item: Item, unit: Bytes) -> Result<Message, SdkError> {
    let to = Address::new(function.clone(), item.delivery.id.as_str());
    let row = Stored::new(item, Some(unit)).encode();
    MessageBuilder::to(to).value_as(&HANDED_OVER, Bytes::from(row))
}

/// Keeps a unit that has failed so many times elsewhere, the first time at `since`.
#[cfg(feature = "postgres")]
pub(crate) fn failed_before(
    (function, id): (&TypeName, String),
    unit: Bytes,
    failure: &Failure,
    policy: &Policy,
    (since, times): (Timestamp, u32),
) -> Result<Message, BoxError> {
    /// Enough for every limit; without one the number only tells.
    const MOST: u32 = 10_000;
    let mut item = Item::new(Delivery::job(id, function.as_str(), None));
    let put = |item: &mut Item, input| decide(item, input, Readiness::Ready, since, policy);
    let tried = Input::SubmitTried {
        started: since,
        failure: failure.clone(),
    };
    put(&mut item, tried)?;
    for _ in 1..times.min(MOST) {
        let Some(token) = item.delivery.armed else {
            break; // it was given up
        };
        let (epoch, n, arm) = (token.epoch, token.n, item.delivery.arm);
        let actions = put(&mut item, Input::Due { epoch, n, arm })?;
        let Some((epoch, n)) = called(&actions) else {
            break;
        };
        let outcome = Outcome::Err(failure.clone());
        put(&mut item, Input::Outcome { epoch, n, outcome })?;
    }
    Ok(handed(function, item, unit)?)
}

/// Keeps a unit whose first attempt was made here, and failed.
pub(crate) fn failed(
    (function, id): (&TypeName, String),
    unit: Bytes,
    failure: Failure,
    policy: &Policy,
    now: Timestamp,
) -> Result<Message, BoxError> {
    let mut item = Item::new(Delivery::job(id, function.as_str(), None));
    let started = now;
    let input = Input::SubmitTried { started, failure };
    decide(&mut item, input, Readiness::Ready, now, policy)?;
    Ok(handed(function, item, unit)?)
}
