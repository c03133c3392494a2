//! The plan of a pipeline: its stages with the names of their functions, and how a record moves from one to the next.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use uuid::Uuid;

use super::answering::Answering;
use super::change::{Migration, OnPipelineChange, Waiting};
use super::config::{PipelineConfig, Route, StageConfig};
use super::figures::{Figures, PipelineFigures};
use super::ids::{ItemIds, RecordIds};
use super::record::{RECORD, Record};
use super::response;
use super::size::{self, MAX_BYTES};
use super::stage::{Answer, apply_bounded};
use super::stages::StageKind;
use super::storing::Storing;
use super::wire::Kept;
use crate::clock::Clock;
use crate::delivery::engine::{Failure, Policy};
#[cfg(feature = "postgres")]
use crate::delivery::owner::failed_before;
use crate::delivery::owner::{Moved, Undelivered, failed};
use crate::sdk::{
    Address, BoxError, Context, EgressMessage, InvalidTypeName, Message, MessageBuilder, TypeName,
};
use crate::time::Timestamp;
use crate::topic_filter::TopicFilter;

/// Maximum ids tried for a record whose address has to suit.
const MAX_IDS: usize = 10_000;

/// Shared by the functions of one pipeline.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) entry: TypeName,
    pub(crate) destination: TypeName,
    ids: RecordIds,
    clock: Arc<dyn Clock>,
    steps: Vec<Step>,
    is_chained: bool,
    /// Pipelines that get the records of some topics, too.
    routes: Vec<(Vec<TopicFilter>, TypeName)>,
    /// A built-in stage sets the response, so that callers are always answered.
    pub(crate) answers: bool,
    /// A stage sets the response, or a custom one may.
    notes_callers: bool,
    pub(crate) storing: Storing,
    /// Of the names, kinds and order of its stages.
    pub(crate) version: u32,
    answering: Answering,
    figures: OnceLock<Arc<PipelineFigures>>,
}

/// One stage and its functions.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) kind: StageKind,
    pub(crate) function: TypeName,
    pub(crate) lane: TypeName,
    /// The policy for records with which the stage fails.
    pub(crate) policy: Policy,
    ids: ItemIds,
}

/// What follows for a record.
#[derive(Debug, Default)]
pub(crate) struct Onward {
    /// It continues the record or keeps it; `None` if the pipeline is done with it.
    pub(crate) message: Option<Message>,
    /// Copies of the record for isolated exports before that.
    forks: Vec<Message>,
    /// It goes to the caller.
    pub(crate) answer: Option<Message>,
    /// What functions have published, and the response, if it is published.
    pub(crate) published: Vec<EgressMessage>,
}

impl Onward {
    pub(crate) fn send(self, context: &mut Context) {
        let last = [self.message, self.answer].into_iter().flatten();
        for message in self.forks.into_iter().chain(last) {
            context.send(message);
        }
        for published in self.published {
            context.send_egress(published);
        }
    }
}

/// The result of running stages.
#[derive(Debug)]
enum Led {
    /// The pipeline is done with the record.
    Done,
    /// The record goes to the function of the stage at this index.
    To(usize),
    /// The stage at this index failed.
    Failed(usize, Failure),
}

impl Plan {
    pub(crate) fn new(
        config: PipelineConfig,
        routes: Vec<Route>,
        is_chained: bool,
        clock: Arc<dyn Clock>,
        id_seed: Uuid,
    ) -> Result<Self, InvalidTypeName> {
        let (name, namespace) = (config.name().to_owned(), config.namespace().to_owned());
        let storing = config.storing().clone();
        let answering = config.answering().clone();
        let function = |text: String| TypeName::from_parts(&namespace, &text);
        let step = |stage: StageConfig| {
            Ok(Step {
                function: function(format!("{name}.{}", stage.name))?,
                lane: function(format!("lane.{name}.{}", stage.name))?,
                ids: ItemIds::of(&format!("{namespace}/{name}"), &stage.name),
                policy: policy(&stage.kind),
                name: stage.name,
                kind: stage.kind,
            })
        };
        let steps: Result<Vec<Step>, InvalidTypeName> =
            config.into_stages().into_iter().map(step).collect();
        let steps = steps?;
        let version = version(&steps);
        let route = |route: Route| Ok((route.filters, function(route.to)?));
        let routes: Result<Vec<_>, InvalidTypeName> = routes.into_iter().map(route).collect();
        Ok(Self {
            entry: function(name.clone())?,
            destination: function(format!("destination.{name}"))?,
            ids: RecordIds::seeded(id_seed),
            clock,
            answers: answering.always || steps.iter().any(|step| step.kind.answers()),
            notes_callers: answering.always
                || steps
                    .iter()
                    .any(|step| step.kind.answers() || matches!(step.kind, StageKind::Own(_))),
            answering,
            figures: OnceLock::new(),
            steps,
            is_chained,
            routes: routes?,
            storing,
            version,
            name,
        })
    }

    /// Counts in the figures of its name.
    pub(crate) fn count_in(&self, figures: &Figures) {
        let _ = self.figures.set(figures.of(&self.name));
    }

    /// What it has done.
    pub(crate) fn figures(&self) -> &PipelineFigures {
        self.figures.get_or_init(Arc::default)
    }

    /// A version as text; empty for that of a record stored before versions were.
    pub(crate) fn version_text(&self, version: u32) -> String {
        match version {
            0 => String::new(),
            version => format!("{version:08x}"),
        }
    }

    /// What becomes of a record, kept by the stage `stage`, which may have been another one's at that time. `None` if it stays.
    pub(crate) fn moved(&self, stage: &str, kept: Kept) -> Result<Option<Moved>, BoxError> {
        let is_gone = !self.steps.iter().any(|step| step.name == stage);
        let is_known = kept.version != 0 && kept.version != self.version;
        let migrate = match &self.storing.on_change {
            OnPipelineChange::Resume => return Ok(None),
            OnPipelineChange::DeadLetter => {
                let text = format!(
                    "pipeline `{}` has changed: the record waited at stage `{stage}` of version {}, and this is {}",
                    self.name,
                    self.version_text(kept.version),
                    self.version_text(self.version)
                );
                return Ok((is_known || is_gone).then_some(Moved::GivenUp(text)));
            }
            OnPipelineChange::Migrate(migrate) => migrate,
        };
        if !is_known && !is_gone {
            return Ok(None);
        }
        let (id, record) = (kept.record.id(), kept.record);
        let waiting = Waiting {
            version: self.version_text(kept.version),
            stage: stage.to_owned(),
            record,
        };
        Ok(match migrate.migrate(waiting) {
            Ok(Migration::Resume) => None,
            Ok(Migration::DeadLetter(text)) => Some(Moved::GivenUp(text)),
            Ok(Migration::To { stage, record }) => {
                match self.steps.iter().position(|step| step.name == stage) {
                    Some(at) => Some(Moved::To(self.given(at, record.with_id(id))?)),
                    None => Some(Moved::GivenUp(format!(
                        "the migration names stage `{stage}`, which pipeline `{}` does not have",
                        self.name
                    ))),
                }
            }
            Err(error) => Some(Moved::GivenUp(format!("the migration failed: {error}"))),
        })
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub(crate) fn step(&self, at: usize) -> &Step {
        self.steps
            .get(at)
            .expect("functions are made of the steps there are")
    }

    /// The pipelines that get the records of a topic, too.
    pub(crate) fn routed<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a TypeName> {
        let routes = self.routes.iter();
        routes
            .filter(move |(filters, _)| filters.iter().any(|filter| filter.matches(topic)))
            .map(|(_, to)| to)
    }

    pub(crate) const fn has_routes(&self) -> bool {
        !self.routes.is_empty()
    }

    /// The record, which notes its caller if the pipeline may answer it.
    pub(crate) fn called_by(&self, mut record: Record, caller: Option<&Address>) -> Record {
        let is_routed = record.extras().is_some_and(|extras| extras.is_routed);
        if let (true, false, Some(caller)) = (self.notes_callers, is_routed, caller) {
            record.extras_mut().reply_to = Some(caller.clone());
        }
        record
    }

    /// Sets the id of an entering record, if it has none, and the time.
    fn stamp(&self, record: Record) -> Record {
        let mut record = match record.id() {
            id if id.is_nil() => self.renewed(record),
            _ => record,
        };
        record.set_received_at(self.now());
        record
    }

    /// The record with another id.
    fn renewed(&self, record: Record) -> Record {
        record.with_id(self.ids.next(self.now()))
    }

    /// Continues the record with the stage at `from`: through the stages that only compute, up to one that does not.
    pub(crate) fn advance(
        &self,
        context: &mut Context,
        from: usize,
        record: Record,
    ) -> Result<(), BoxError> {
        self.onward(from, record)?.send(context);
        Ok(())
    }

    /// Ends the record: a stage has stopped it.
    pub(crate) fn end(&self, context: &mut Context, record: Record) -> Result<(), BoxError> {
        self.message(&Led::Done, record)?.send(context);
        Ok(())
    }

    /// What follows for the record.
    fn onward(&self, from: usize, mut record: Record) -> Result<Onward, BoxError> {
        let led = self.lead(from, &mut record);
        self.message(&led, record)
    }

    /// Like [`Plan::onward`] from the first stage, for an entering record; with a failure it is kept there. If the record gets its id
    /// here, the id is chosen so that the message's address `suits`, if the address depends on it.
    pub(crate) fn entering(
        &self,
        record: Record,
        failure: Option<Failure>,
        suits: &dyn Fn(&Address) -> bool,
    ) -> Result<Onward, BoxError> {
        let has_own_id = !record.id().is_nil();
        let is_routed = record.extras().is_some_and(|extras| extras.is_routed);
        let begun = Instant::now();
        let mut record = self.stamp(record);
        let led = match failure {
            Some(failure) => Led::Failed(0, failure),
            None => self.lead(0, &mut record),
        };
        self.figures().entered(!is_routed, begun.elapsed());
        if let (false, Some(step)) = (has_own_id, self.keeper(&led)) {
            for _ in 0..MAX_IDS {
                if suits(&step.item(&record)) {
                    break;
                }
                record = self.renewed(record);
            }
        }
        self.message(&led, record)
    }

    /// The stage whose item then keeps the record.
    fn keeper(&self, led: &Led) -> Option<&Step> {
        match led {
            Led::Done => None,
            Led::Failed(at, _) => Some(self.step(*at)),
            Led::To(at) => {
                let step = self.step(*at);
                let is_item = match &step.kind {
                    StageKind::Export(exporter) => exporter.order_key.is_none(),
                    StageKind::Pure(_) | StageKind::Own(_) | StageKind::Egress(_) => true,
                    StageKind::Batch(_) => false,
                };
                is_item.then_some(step)
            }
        }
    }

    fn message(&self, led: &Led, mut record: Record) -> Result<Onward, BoxError> {
        let mut onward = Onward {
            published: record.take_publications(),
            ..Onward::default()
        };
        match led {
            Led::Done => {
                onward.answer = response::message(&record, self.answers);
                onward.published.extend(self.published(&mut record));
            }
            Led::To(at) if self.step(*at).kind.is_isolated() => {
                let mut copy = record.clone();
                response::forget_caller(&mut copy);
                copy.extras_mut().is_isolated = true;
                let copy = self.given(*at, copy)?;
                let before = onward.published;
                onward = self.onward(at + 1, record)?;
                onward.published.splice(0..0, before);
                onward.forks.insert(0, copy);
            }
            Led::To(at) => onward.message = Some(self.given(*at, record)?),
            Led::Failed(at, failure) => {
                self.figures().failed(&self.step(*at).name, failure);
                onward.answer = response::refusal(&record, failure);
                if onward.answer.is_none() && self.answering.always {
                    let id = self.step(*at).item_id(&record).to_string();
                    onward.answer = response::stored(&record, &id);
                }
                if onward.answer.is_some() {
                    response::forget_caller(&mut record);
                }
                onward.message = Some(self.kept(*at, &record, failure)?);
            }
        }
        Ok(onward)
    }

    fn lead(&self, from: usize, record: &mut Record) -> Led {
        if self.is_chained {
            return self.run(from, record);
        }
        if from < self.steps.len() {
            Led::To(from)
        } else {
            Led::Done
        }
    }

    fn run(&self, from: usize, record: &mut Record) -> Led {
        let first = self.steps.get(from);
        if first.is_some_and(|step| step.kind.computes().is_none()) {
            return Led::To(from);
        }
        let before = record.clone();
        let led = self.compute(from, record, None);
        if matches!(led, Led::Done) || !size::is_above(record, MAX_BYTES) {
            return led;
        }
        // Computed again, to find the stage that made so much, and the record before it.
        *record = before;
        let most = MAX_BYTES.max(record.payload().len());
        self.compute(from, record, Some(most))
    }

    /// Applies the stages that only compute. With `most`, one that makes a larger record fails.
    fn compute(&self, from: usize, record: &mut Record, most: Option<usize>) -> Led {
        for (at, step) in self.steps.iter().enumerate().skip(from) {
            let Some(stage) = step.kind.computes() else {
                return Led::To(at);
            };
            let answer = match most {
                Some(most) => apply_bounded(stage, record, most),
                None => stage.apply(record),
            };
            match answer {
                Answer::Continue => {}
                Answer::Stop => return Led::Done,
                Answer::Fail(failure) => return Led::Failed(at, failure),
            }
        }
        Led::Done
    }

    /// Whether the result of a message can be computed anywhere: its stages run in one call, none is
    /// custom, and one message follows.
    #[cfg(feature = "runtime")]
    pub(crate) fn can_enter_anywhere(&self) -> bool {
        let mut kinds = self.steps.iter().map(|step| &step.kind);
        let first = kinds.by_ref().take_while(|kind| kind.computes().is_some());
        self.is_chained
            && self.routes.is_empty()
            && self.answering.publisher.is_none()
            && first
                .into_iter()
                .all(|kind| !matches!(kind, StageKind::Own(_)))
            && !self.forks_first()
    }

    /// Whether the first stage that does not only compute is isolated.
    #[cfg(feature = "runtime")]
    fn forks_first(&self) -> bool {
        let mut kinds = self.steps.iter().map(|step| &step.kind);
        let first = kinds.find(|kind| kind.computes().is_none());
        first.is_some_and(StageKind::is_isolated)
    }

    /// The message with the response of a record with which the pipeline is done.
    fn published(&self, record: &mut Record) -> Option<EgressMessage> {
        let publisher = self.answering.publisher.as_ref()?;
        record.response()?;
        match publisher.message(record) {
            Ok(message) => Some(message),
            Err(error) => {
                tracing::error!(
                    pipeline = self.name,
                    error,
                    "a response cannot be published"
                );
                None
            }
        }
    }

    /// Answers the caller of a record that was given up at once. One that waits for another attempt is answered only if callers do not wait for that.
    pub(crate) fn answer_undelivered(
        &self,
        context: &mut Context,
        record: &mut Record,
        undelivered: &Undelivered<'_>,
    ) {
        let answer = match undelivered.error_at_end {
            Some(error) => response::given_up(record, error),
            None if self.answering.always => response::stored(record, undelivered.id),
            None => None, // the caller waits, too
        };
        if let Some(answer) = answer {
            response::forget_caller(record);
            context.send(answer);
        }
    }

    /// The message that gives the record to the function of the stage at `at`.
    fn given(&self, at: usize, mut record: Record) -> Result<Message, BoxError> {
        match self.target(at, &mut record) {
            Ok(target) => Ok(MessageBuilder::to(target).value_as(&RECORD, record)?),
            Err(failure) => self.kept(at, &record, &failure),
        }
    }

    /// The address of the record at the stage at `at`.
    pub(crate) fn target(&self, at: usize, record: &mut Record) -> Result<Address, Box<Failure>> {
        let step = self.step(at);
        let key = match &step.kind {
            StageKind::Pure(_) | StageKind::Own(_) | StageKind::Egress(_) => None,
            StageKind::Batch(batching) => Some((&step.function, batching.key(record))),
            StageKind::Export(exporter) => exporter.order_key(record).map(|key| (&step.lane, key)),
        };
        match key {
            None => Ok(step.item(record)),
            Some((function, Ok(key))) => Ok(Address::new(function.clone(), key)),
            Some((_, Err(unfilled))) => Err(Box::new(Failure::permanent(
                "template",
                unfilled.to_string(),
            ))),
        }
    }

    /// Passes a record with which the stage at `at` failed to that stage's item, which keeps it.
    pub(crate) fn keep(
        &self,
        context: &mut Context,
        at: usize,
        record: &Record,
        failure: &Failure,
    ) -> Result<(), BoxError> {
        context.send(self.kept(at, record, failure)?);
        Ok(())
    }

    /// Keeps a message of another function that the stage at `at` does not understand, as a dead letter with its bytes. Redriven, it is a record.
    pub(crate) fn keep_foreign(
        &self,
        context: &mut Context,
        at: usize,
        message: &Message,
    ) -> Result<(), BoxError> {
        let (entry, from) = (&self.entry, context.caller());
        let from = match from {
            Some(caller) => format!(" (this one is from {caller})"),
            None => String::new(),
        };
        let text = format!(
            "{} is an inner part of {entry} and does not take messages of type {}{from}; send to {entry}",
            context.address().type_name(),
            message.value_type_name(),
        );
        tracing::warn!(address = %context.address(), "{text}");
        let record = self.stamp(Record::new(message.raw_value().unwrap_or_default()));
        self.keep(context, at, &record, &Failure::permanent("decode", text))
    }

    /// The message by which the stage at `at` keeps a record that could not be sent from elsewhere, so many times, the first time at `since`.
    #[cfg(feature = "postgres")]
    pub(crate) fn waiting_at(
        &self,
        at: usize,
        mut record: Record,
        failures: u32,
        since: Timestamp,
    ) -> Result<Message, BoxError> {
        let Some(step) = self.steps.get(at) else {
            return Err("the pipeline has fewer functions".into());
        };
        if !matches!(step.kind, StageKind::Export(_)) {
            let (pipeline, stage) = (&self.name, &step.name);
            let text = format!(
                "function `{stage}` of pipeline `{pipeline}`, at which it continues, exports nothing"
            );
            return Err(text.into());
        }
        let target = self
            .target(at, &mut record)
            .map_err(|failure| failure.message)?;
        if *target.type_name() == step.lane {
            // Order is kept by sending it through the lane.
            return Ok(MessageBuilder::to(target).value_as(&RECORD, record)?);
        }
        let to = (&step.function, step.item_id(&record).to_string());
        let unit = Kept::of(&record, &self.name, &step.name, self.version);
        let failure = Failure::retry("moved", "it could not be sent from where it waited before");
        failed_before(to, unit, &failure, &step.policy, (since, failures))
    }

    /// The message that keeps the record.
    fn kept(&self, at: usize, record: &Record, failure: &Failure) -> Result<Message, BoxError> {
        let step = self.step(at);
        let to = (&step.function, step.item_id(record).to_string());
        let unit = Kept::of(record, &self.name, &step.name, self.version);
        failed(to, unit, failure.clone(), &step.policy, self.now())
    }
}

impl Step {
    pub(crate) fn item_id(&self, record: &Record) -> Uuid {
        self.ids.item(record.id())
    }

    /// Where the record is kept if this stage fails with it.
    pub(crate) fn item(&self, record: &Record) -> Address {
        self.item_address(self.item_id(record))
    }

    pub(crate) fn item_address(&self, id: Uuid) -> Address {
        Address::new(self.function.clone(), id.to_string())
    }
}

/// The version of a pipeline with these stages; never zero.
fn version(steps: &[Step]) -> u32 {
    let mut text = String::new();
    for step in steps {
        text.push_str(&step.name);
        text.push('\n');
        text.push_str(step.kind.name());
        text.push('\n');
    }
    let (front, _) = Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).as_u64_pair();
    u32::try_from(front >> 32).unwrap_or_default().max(1)
}

/// The pipelines of a process, by their names.
#[derive(Debug, Default)]
pub(crate) struct Plans(Mutex<BTreeMap<TypeName, Arc<Plan>>>);

impl Plans {
    pub(crate) fn add(&self, plan: &Arc<Plan>) {
        self.locked().insert(plan.entry.clone(), Arc::clone(plan));
    }

    /// The pipeline with this entry function.
    #[cfg(feature = "runtime")]
    pub(crate) fn get(&self, entry: &TypeName) -> Option<Arc<Plan>> {
        self.locked().get(entry).cloned()
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<TypeName, Arc<Plan>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stages that only compute and fail temporarily are retried like exports.
fn policy(kind: &StageKind) -> Policy {
    match kind {
        StageKind::Export(exporter) => exporter.policy.clone(),
        StageKind::Pure(_) | StageKind::Own(_) | StageKind::Batch(_) | StageKind::Egress(_) => {
            Policy {
                wake: false,
                ..Policy::default()
            }
        }
    }
}
