//! Items: each delivery is kept in the state of a stateful function at its own address. This carries out the decisions.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;

use super::super::command::{COMMAND, Command, REPLY, Reply, Verb};
use super::super::engine::{
    Actor, Delivery, DeliveryState, Effect, Failure, Input, Policy, Readiness, Reason, Refused,
    Token,
};
use super::attempt::{Ran, Way, is_silence};
use super::breaker::{DestinationRegistry, Limiters};
use super::decide::{Action, Woken, adopt, decide, stay};
use super::item::{HEAD, Item, JOB, LOG};
use super::row::{Row, Stored};
use super::target::Target;
use super::wire::{
    HANDED_OVER, JOIN, LEAVE, OldUnit, REPORT, RULES, Report, Reported, SUBMISSION, Submission,
    TICK, TURN, Tick, WAITING, WAKE, WATCH, WaitingItem, WireLaneEntry,
};
use crate::clock::Clock;
use crate::sdk::{
    Address, BoxError, CancellationToken, Context, FunctionSpec, Message, MessageBuilder, SdkError,
    Type, TypeName,
};
use crate::time::Timestamp;

/// Larger units are stored separately from their item, so that they are not written again with each attempt.
const MAX_INLINE_UNIT_BYTES: usize = 8 * 1024;

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

/// Keeps the deliveries to one target. Its items and lanes are addresses of stateful functions.
pub(crate) struct Owner<T> {
    pub(super) target: T,
    pub(super) policy: Policy,
    pub(super) names: Names,
    pub(super) registry: Arc<DestinationRegistry>,
    pub(super) limiters: Limiters,
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
            clock,
        }
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
        let ran = self
            .run(&mut kept.item, &mut unit, Input::SubmitInTurn, false)
            .await?;
        kept.unit = unit.map(|unit| self.target.encode(&unit));
        self.settle(context, kept, ran)
    }

    /// Handles a message of the owner. False if the message is not one.
    pub(crate) async fn handle(
        &self,
        context: &mut Context,
        message: &Message,
    ) -> Result<bool, BoxError> {
        let is = |name: &TypeName| message.value_type_name() == name.as_str();
        if is(TICK.name()) {
            let Tick { attempt: n, arm } = message.require(&TICK)?;
            let epoch = 0;
            self.take_up(context, Input::Due { epoch, n, arm }, false)
                .await?;
        } else if is(WAKE.name()) {
            let is_probe = message.require(&WAKE)?.is_probe;
            self.take_up(context, Input::Wake, is_probe).await?;
        } else if is(TURN.name()) {
            let seq = message.require(&TURN)?.seq;
            self.take_up(context, Input::Turn { seq }, false).await?;
        } else if is(WATCH.name()) {
            self.take_up(context, Input::Watch, false).await?;
        } else if is(RULES.name()) {
            let kept = Kept::load(context)?;
            // A held item only arms its expiry.
            let hears = |kept: &Kept| kept.item.delivery.held || !self.is_left_behind(&kept.item);
            if let Some(kept) = kept.filter(hears) {
                let input = if waits_for_its_stage(&kept.item) {
                    let by = Actor::new("statefun", "the stage is back");
                    Input::RetryNow { by, at: None }
                } else {
                    let failure = self.last_failure(&kept.item);
                    Input::Rearm { failure }
                };
                self.put(context, kept, input, false).await??;
            }
        } else if is(COMMAND.name()) {
            self.command(context, message).await?;
        } else if is(HANDED_OVER.name()) {
            self.take_over(context, message.require(&HANDED_OVER)?)?;
        } else if is(SUBMISSION.name()) {
            self.submit(context, message.require(&SUBMISSION)?)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

/// A loaded item.
struct Kept {
    item: Item,
    /// The stored unit; `None` if it is stored separately.
    unit: Option<Bytes>,
    /// Whether it was stored by an earlier version.
    is_old: bool,
    /// Its last transition when it was loaded; `None` if it is new.
    before: Option<u64>,
}

impl Kept {
    const fn new(item: Item) -> Self {
        Self {
            item,
            unit: None,
            is_old: false,
            before: None,
        }
    }

    fn load(context: &mut Context) -> Result<Option<Self>, BoxError> {
        let storage = context.storage();
        Ok(match storage.get(&HEAD)? {
            None => None,
            Some(Row::Stored(stored)) => Some(Self {
                before: Some(stored.item.delivery.seq),
                unit: stored.unit,
                ..Self::new(stored.item)
            }),
            Some(Row::Old(old)) => {
                let item = old.into_item(storage.get(&LOG)?.unwrap_or_default());
                Some(Self {
                    before: Some(item.delivery.seq),
                    is_old: true,
                    ..Self::new(item)
                })
            }
        })
    }

    fn unit<T: Target>(&self, context: &mut Context, target: &T) -> Result<T::Unit, BoxError> {
        match &self.unit {
            Some(unit) => target.decode(unit),
            None => {
                let unit = context.storage().get(&JOB)?;
                target.decode(&unit.ok_or("the unit is not there")?)
            }
        }
    }

    /// Writes the delivery; a successful one is removed.
    fn save(mut self, context: &mut Context) -> Result<(), BoxError> {
        if self.item.delivery.state == Some(DeliveryState::Succeeded) {
            return erase(context);
        }
        let storage = context.storage();
        if let Some(unit) = self.unit.take_if(|unit| unit.len() > MAX_INLINE_UNIT_BYTES) {
            storage.set(&JOB, unit)?;
        }
        if self.is_old {
            storage.remove(&LOG)?;
        }
        let stored = Stored::new(self.item, self.unit);
        Ok(storage.set(&HEAD, Row::Stored(Box::new(stored)))?)
    }
}

/// Removes the delivery at this address.
fn erase(context: &mut Context) -> Result<(), BoxError> {
    let storage = context.storage();
    if storage.get(&HEAD)?.is_some() {
        storage.remove(&HEAD)?;
    }
    if storage.get(&LOG)?.is_some() {
        storage.remove(&LOG)?;
    }
    if storage.get(&JOB)?.is_some() {
        storage.remove(&JOB)?;
    }
    Ok(())
}

fn is_taken(context: &mut Context) -> Result<bool, BoxError> {
    let is_taken = context.storage().get(&HEAD)?.is_some();
    if is_taken {
        tracing::debug!(address = %context.address(), "the unit is here already; ignored");
    }
    Ok(is_taken)
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
        if matches!(input, Input::Wake) && self.is_left_behind(&kept.item) {
            let actions = stay(&mut kept.item, &self.policy);
            return self.settle(context, kept, Ran::of(actions));
        }
        match self.put(context, kept, input, is_probe).await? {
            Ok(_) => Ok(()),
            Err(refused) => Err(refused.into()),
        }
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

    /// Applies an input to a delivery, and carries out the actions. Returns the delivery.
    async fn put(
        &self,
        context: &mut Context,
        mut kept: Kept,
        input: Input,
        is_probe: bool,
    ) -> Result<Result<Delivery, Refused>, BoxError> {
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
            Err(refused) => return Ok(Err(refused)),
        };
        let delivery = kept.item.delivery.clone();
        self.settle(context, kept, ran)?;
        Ok(Ok(delivery))
    }

    /// The failure of the last attempt, as far as the history has it.
    fn last_failure(&self, item: &Item) -> Failure {
        let error = item.history.last_error();
        let status = error.and_then(|error| error.detail.status_code);
        let of_status = |status| Failure::of_status(self.policy.classes, status, "");
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
        let kept = Kept {
            unit,
            ..Kept::new(item)
        };
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
        let kept = Kept {
            unit: Some(OldUnit { record }.encode_to_vec().into()),
            ..Kept::new(item)
        };
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

// Actions.
impl<T: Target> Owner<T> {
    fn settle(&self, context: &mut Context, kept: Kept, ran: Ran<T>) -> Result<(), BoxError> {
        let Ran {
            actions,
            taken,
            way,
        } = ran;
        for action in actions {
            self.apply(context, &kept.item, action, way.as_ref())?;
        }
        if let Some((unit, taken)) = taken {
            self.target.follow(context, unit, taken)?;
        }
        if kept.before != Some(kept.item.delivery.seq) {
            log(context, &kept.item);
        }
        kept.save(context)
    }

    fn apply(
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
                context.send(MessageBuilder::to(to).value_as(&WAITING, &waiting)?);
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
        let tick = Tick { attempt, arm };
        let text = token.text(context.address());
        let message = MessageBuilder::to(context.address().clone()).value_as(&TICK, &tick)?;
        let delay = at.since(self.now());
        context.send_after_with_token(delay, CancellationToken::new(text)?, message)?;
        Ok(())
    }

    fn tell_lane(
        &self,
        context: &mut Context,
        item: &Item,
        what: &Type<WireLaneEntry>,
        seq: u64,
    ) -> Result<(), BoxError> {
        if let Some(key) = &item.delivery.key {
            let lane = Address::new(self.names.lane.clone(), key.as_str());
            let id = context.address().id().to_owned();
            context.send(MessageBuilder::to(lane).value_as(what, &WireLaneEntry { id, seq })?);
        }
        Ok(())
    }

    /// Returns a turn to its lane.
    fn pass_turn(&self, context: &mut Context, seq: u64) -> Result<(), BoxError> {
        match context.caller().cloned() {
            Some(lane) if lane.type_name() == &self.names.lane => {
                let id = context.address().id().to_owned();
                context
                    .send(MessageBuilder::to(lane).value_as(&LEAVE, &WireLaneEntry { id, seq })?);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn answer(
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
    context.send(MessageBuilder::to(to).value_as(&REPORT, &report)?);
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

// Operator commands.
impl<T: Target> Owner<T> {
    async fn command(&self, context: &mut Context, message: &Message) -> Result<(), BoxError> {
        let reply = match message.require(&COMMAND) {
            Ok(command) => self.execute(context, command).await?,
            Err(err) => Reply::failed("job.bad_command", err.to_string()),
        };
        if let Some(caller) = context.caller().cloned() {
            context.send(MessageBuilder::to(caller).value_as(&REPLY, &reply)?);
        }
        Ok(())
    }

    async fn execute(&self, context: &mut Context, command: Command) -> Result<Reply, BoxError> {
        let Some(kept) = Kept::load(context)? else {
            return Ok(Reply::failed(
                "job.not_found",
                "nothing is kept at this address",
            ));
        };
        let before = kept.item.delivery.clone();
        let by = Actor::new(command.actor, command.reason);
        let input = match command.verb {
            Verb::Retry => Input::RetryNow { by, at: None },
            Verb::Cancel => Input::Cancel { by },
            Verb::Discard => Input::Discard {
                by,
                reason: Reason::Operator,
            },
            Verb::Purge if before.is_terminal() => {
                erase(context)?;
                return Ok(Reply::done(&before));
            }
            Verb::Purge => {
                let text = "only a delivery that was given up or cancelled can be purged";
                return Ok(Reply {
                    ok: false,
                    code: Some("job.bad_state".to_owned()),
                    message: Some(text.to_owned()),
                    ..Reply::done(&before)
                });
            }
        };
        Ok(match self.put(context, kept, input, false).await? {
            Ok(delivery) => Reply::done(&delivery),
            Err(refused) => Reply::refused(&refused, &before),
        })
    }
}

/// Whether it was deferred because the stage it needs is gone.
fn waits_for_its_stage(item: &Item) -> bool {
    let delivery = &item.delivery;
    let is_put_off = delivery.reason == Some(Reason::Scheduled) && delivery.attempt == 0;
    delivery.state == Some(DeliveryState::Awaiting) && is_put_off && !item.has_destination
}

impl<T: Target> Owner<T> {
    #[cfg(feature = "runtime")]
    pub(crate) const fn target(&self) -> &T {
        &self.target
    }

    /// Keeps a unit under `id` that cannot be attempted before the stage it needs is back, until it expires.
    #[cfg(feature = "runtime")]
    pub(crate) fn put_off(&self, id: String, unit: &T::Unit) -> Result<Message, BoxError> {
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
    MessageBuilder::to(to).value_as(&HANDED_OVER, &row.into())
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
