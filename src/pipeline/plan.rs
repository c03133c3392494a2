//! A pipeline ready to run: its stages with the names of their functions, and how a record moves from one to the next.

use std::sync::Arc;

use uuid::Uuid;

use super::config::{PipelineConfig, StageConfig};
use super::ids::{ItemIds, RecordIds};
use super::job::Job;
use super::record::{RECORD, Record};
use super::stage::Answer;
use super::stages::StageKind;
use crate::clock::Clock;
use crate::delivery::engine::{Failure, Policy};
use crate::delivery::owner::submit_failed;
use crate::sdk::{Address, BoxError, Context, InvalidTypeName, MessageBuilder, TypeName};
use crate::time::Timestamp;

/// What the functions of one pipeline share.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) entry: TypeName,
    pub(crate) destination: TypeName,
    ids: RecordIds,
    clock: Arc<dyn Clock>,
    steps: Vec<Step>,
    is_chained: bool,
}

/// One stage and its functions.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) kind: StageKind,
    pub(crate) function: TypeName,
    pub(crate) lane: TypeName,
    /// What becomes of records with which the stage fails.
    pub(crate) policy: Policy,
    ids: ItemIds,
}

/// What a run of stages led to.
#[derive(Debug)]
enum Led {
    /// The pipeline is done with the record.
    Done,
    /// The record goes to the function of the stage at this place.
    To(usize),
    /// The stage at this place could not do its work.
    Failed(usize, Failure),
}

impl Plan {
    pub(crate) fn new(
        config: PipelineConfig,
        is_chained: bool,
        clock: Arc<dyn Clock>,
        id_seed: Uuid,
    ) -> Result<Self, InvalidTypeName> {
        let (name, namespace) = (config.name().to_owned(), config.namespace().to_owned());
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
        Ok(Self {
            entry: function(name.clone())?,
            destination: function(format!("destination.{name}"))?,
            ids: RecordIds::seeded(id_seed),
            clock,
            steps,
            is_chained,
            name,
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

    /// Gives the record what it gets when it enters: an id, if it brings none, and the time.
    pub(crate) fn stamp(&self, record: Record) -> Record {
        let mut record = match record.id() {
            id if id.is_nil() => record.with_id(self.ids.next(self.now())),
            _ => record,
        };
        record.set_received_at(self.now());
        record
    }

    /// Has the record go on with the stage at `from`: through the stages that only compute, up to one that does not.
    pub(crate) fn advance(
        &self,
        context: &mut Context,
        from: usize,
        mut record: Record,
    ) -> Result<(), BoxError> {
        let led = if self.is_chained {
            self.run(from, &mut record)
        } else {
            self.at_or_done(from)
        };
        match led {
            Led::Done => Ok(()),
            Led::To(at) => self.send(context, at, record),
            Led::Failed(at, failure) => self.keep(context, at, &record, &failure),
        }
    }

    fn at_or_done(&self, at: usize) -> Led {
        if at < self.steps.len() {
            Led::To(at)
        } else {
            Led::Done
        }
    }

    fn run(&self, from: usize, record: &mut Record) -> Led {
        for (at, step) in self.steps.iter().enumerate().skip(from) {
            let StageKind::Pure(stage) = &step.kind else {
                return Led::To(at);
            };
            match stage.apply(record) {
                Answer::Continue => {}
                Answer::Stop => return Led::Done,
                Answer::Fail(failure) => return Led::Failed(at, failure),
            }
        }
        Led::Done
    }

    /// Sends the record to the function of the stage at `at`.
    fn send(&self, context: &mut Context, at: usize, mut record: Record) -> Result<(), BoxError> {
        match self.target(at, &mut record) {
            Ok(target) => {
                context.send(MessageBuilder::to(target).value_as(&RECORD, &record)?);
                Ok(())
            }
            Err(failure) => self.keep(context, at, &record, &failure),
        }
    }

    /// Whom the record goes to at the stage at `at`.
    pub(crate) fn target(&self, at: usize, record: &mut Record) -> Result<Address, Box<Failure>> {
        let step = self.step(at);
        let key = match &step.kind {
            StageKind::Pure(_) => None,
            StageKind::Batch(batching) => Some((&step.function, batching.key(record))),
            StageKind::HttpExport(exporter) => {
                exporter.order_key(record).map(|key| (&step.lane, key))
            }
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

    /// Hands a record on which the stage at `at` failed to that stage's item, to be kept.
    pub(crate) fn keep(
        &self,
        context: &mut Context,
        at: usize,
        record: &Record,
        failure: &Failure,
    ) -> Result<(), BoxError> {
        let step = self.step(at);
        let to = (&step.function, step.item_id(record).to_string());
        let unit = Job::of(record, &self.name, &step.name);
        submit_failed(context, to, unit, failure.clone(), &step.policy, self.now())
    }
}

impl Step {
    pub(crate) fn item_id(&self, record: &Record) -> Uuid {
        self.ids.item(record.id())
    }

    /// Where the record is kept when this stage fails with it.
    pub(crate) fn item(&self, record: &Record) -> Address {
        self.item_address(self.item_id(record))
    }

    pub(crate) fn item_address(&self, id: Uuid) -> Address {
        Address::new(self.function.clone(), id.to_string())
    }
}

/// Stages that only compute and fail for a while are tried again as records are that an export could not send.
fn policy(kind: &StageKind) -> Policy {
    match kind {
        StageKind::HttpExport(exporter) => exporter.policy.clone(),
        StageKind::Pure(_) | StageKind::Batch(_) => Policy {
            wake: false,
            ..Policy::default()
        },
    }
}
