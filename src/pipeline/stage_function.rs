//! The functions of a stage: one that takes records and keeps those with which it failed, and one that keeps the order of
//! records with the same key. Both delegate to an owner of deliveries.

use std::sync::Arc;

use super::builder::Destinations;
use super::collector::{Added, Collector, FLUSH};
use super::plan::{Plan, Step};
use super::record::{RECORD, Record};
use super::response;
use super::stage_target::StageTarget;
use super::stages::{EgressExport, StageKind};
#[cfg(feature = "runtime")]
use crate::delivery::owner::FULL;
use crate::delivery::owner::{Lane, Names, Owner, RULES};
#[cfg(feature = "runtime")]
use crate::delivery::{COMMAND, EDIT};
use crate::sdk::{
    Address, BoxError, Context, FunctionSpec, Message, MessageBuilder, StatefulFunction,
};

/// Function `<namespace>/<pipeline>.<stage>`.
struct StageFunction {
    owner: Arc<Owner<StageTarget>>,
    collector: Option<Collector>,
    plan: Arc<Plan>,
    at: usize,
}

/// Function `<namespace>/lane.<pipeline>.<stage>`, id = the order key.
struct LaneFunction {
    lane: Lane<StageTarget>,
    plan: Arc<Plan>,
    at: usize,
}

/// The functions of the stage at `at`.
pub(crate) fn specs(
    plan: &Arc<Plan>,
    at: usize,
    Destinations {
        registry,
        connections,
        ..
    }: &Destinations,
) -> Vec<FunctionSpec> {
    let step = plan.step(at);
    registry.add_keeper(&step.function);
    let target = StageTarget {
        plan: Arc::clone(plan),
        at,
        connections: connections.clone(),
    };
    let (policy, clock) = (step.policy.clone(), plan.clock());
    let owner = Owner::new(
        target,
        policy,
        names(plan, step),
        Arc::clone(registry),
        clock,
    );
    let stock = registry.stock_of(&plan.entry, &plan.storing.limits);
    registry.keeps_in(&step.function, &stock);
    let owner = owner.storing(plan.storing.is_enabled).within(stock);
    let owner = Arc::new(owner);
    let collector = match &step.kind {
        StageKind::Batch(batching) => Some(Collector::new(Arc::clone(batching))),
        StageKind::Pure(_) | StageKind::Own(_) | StageKind::Export(_) | StageKind::Egress(_) => {
            None
        }
    };
    let function = StageFunction {
        owner: Arc::clone(&owner),
        collector: collector.clone(),
        plan: Arc::clone(plan),
        at,
    };
    let mut spec =
        Owner::<StageTarget>::declare(FunctionSpec::new(step.function.clone(), function));
    if let Some(collector) = collector {
        spec = collector.declare(spec);
    }
    let StageKind::Export(exporter) = &step.kind else {
        return vec![spec];
    };
    if step.policy.wake {
        registry.add_list(&plan.destination, exporter.destination());
    }
    // Even without an order key: records kept while there was one are still in a lane.
    let lane = LaneFunction {
        lane: Lane::new(&owner),
        plan: Arc::clone(plan),
        at,
    };
    let declare = |lane: LaneFunction| {
        let queue = lane.lane.values();
        queue.declare(FunctionSpec::new(step.lane.clone(), lane))
    };
    let next = plan.steps().get(at + 1);
    let computes_next = next.is_some_and(|step| step.kind.computes().is_some());
    let only_exchanges = exporter.only_exchanges() && !computes_next;
    let spec = spec.after_durable().only_exchanges(only_exchanges);
    vec![spec, declare(lane).after_durable()]
}

fn names(plan: &Plan, step: &Step) -> Names {
    Names {
        item: step.function.clone(),
        lane: step.lane.clone(),
        destination: plan.destination.clone(),
        stage: step.name.clone(),
    }
}

/// What comes to the functions of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Incoming {
    Record,
    /// The time of a batch is over.
    Flush,
    /// Settings have changed.
    Rules,
    /// For the owner of deliveries, or not understood.
    Other,
}

impl Incoming {
    fn of(message: &Message) -> Self {
        if message.is(&RECORD) {
            Self::Record
        } else if message.is(&FLUSH) {
            Self::Flush
        } else if message.is(&RULES) {
            Self::Rules
        } else {
            Self::Other
        }
    }
}

/// Whether a stage takes values of this type from outside: records, commands of operators, and news of changed settings.
#[cfg(feature = "runtime")]
pub(super) fn item_takes(type_name: &str) -> bool {
    lane_takes(type_name)
        || COMMAND.name().as_str() == type_name
        || EDIT.name().as_str() == type_name
        || RULES.name().as_str() == type_name
        || FULL.name().as_str() == type_name
}

/// Whether a lane takes values of this type from outside.
#[cfg(feature = "runtime")]
pub(super) fn lane_takes(type_name: &str) -> bool {
    RECORD.name().as_str() == type_name
}

/// The long ways are boxed: the future around them is copied several times before it runs.
impl StatefulFunction for StageFunction {
    async fn invoke(&self, context: &mut Context, message: Message) -> Result<(), BoxError> {
        match (Incoming::of(&message), &self.collector) {
            (Incoming::Record, Some(collector)) => {
                self.collect(context, collector, Record::of(&message)?)
            }
            (Incoming::Record, None) => {
                let record = Record::of(&message)?;
                match &self.plan.step(self.at).kind {
                    StageKind::Egress(export) => self.send_out(context, export, record),
                    _ => Box::pin(self.owner.arrive(context, record)).await,
                }
            }
            (Incoming::Flush, Some(collector)) => {
                let batch = collector.flush(context, &message.require(&FLUSH)?)?;
                self.let_go(context, batch)
            }
            (Incoming::Rules, Some(collector)) => {
                self.reconsider(context, collector)?;
                self.hand_to_owner(context, &message).await
            }
            (Incoming::Flush | Incoming::Rules | Incoming::Other, _) => {
                self.hand_to_owner(context, &message).await
            }
        }
    }
}

impl StageFunction {
    async fn hand_to_owner(
        &self,
        context: &mut Context,
        message: &Message,
    ) -> Result<(), BoxError> {
        if Box::pin(self.owner.handle(context, message)).await? {
            return Ok(());
        }
        self.plan.keep_foreign(context, self.at, message)
    }

    /// Applies changed settings to the open batch: records may belong to another one, and it may be complete.
    fn reconsider(&self, context: &mut Context, collector: &Collector) -> Result<(), BoxError> {
        let belongs_elsewhere = |record: &mut Record, here: &Address| {
            let target = self.plan.target(self.at, record);
            target.is_ok_and(|target| target != *here)
        };
        for record in collector.displaced(context, belongs_elsewhere)? {
            self.pass_to_its_batch(context, record)?;
        }
        let batch = collector.reconsider(context, self.plan.now())?;
        self.let_go(context, batch)
    }

    /// Adds a record to the batch at this address. One that was sent when the stage had another kind or another key goes to its batch first.
    fn collect(
        &self,
        context: &mut Context,
        collector: &Collector,
        mut record: Record,
    ) -> Result<(), BoxError> {
        match self.plan.target(self.at, &mut record) {
            Ok(target) if target == *context.address() => {}
            _ => return self.pass_to_its_batch(context, record),
        }
        let answer = response::message(&record, self.plan.answers);
        response::forget_caller(&mut record);
        let batch = match collector.add(context, &record)? {
            Added::Waits => None,
            Added::Completes(batch) => Some(batch),
            Added::Refused(failure) => {
                return self.plan.keep(context, self.at, &record, &failure);
            }
        };
        // The caller does not wait until the batch is sent.
        if let Some(answer) = answer {
            context.send(answer);
        }
        self.let_go(context, batch)
    }

    /// Sends a record to an egress and passes it on, in one commit.
    fn send_out(
        &self,
        context: &mut Context,
        export: &EgressExport,
        mut record: Record,
    ) -> Result<(), BoxError> {
        match export.message(&mut record) {
            Ok(message) => {
                context.send_egress(message);
                self.plan.advance(context, self.at + 1, record)
            }
            Err(failure) => self.plan.keep(context, self.at, &record, &failure),
        }
    }

    fn pass_to_its_batch(&self, context: &mut Context, mut record: Record) -> Result<(), BoxError> {
        match self.plan.target(self.at, &mut record) {
            Ok(target) => {
                context.send(MessageBuilder::to(target).value_as(&RECORD, record)?);
                Ok(())
            }
            Err(failure) => self.plan.keep(context, self.at, &record, &failure),
        }
    }

    fn let_go(&self, context: &mut Context, batch: Option<Record>) -> Result<(), BoxError> {
        batch.map_or(Ok(()), |batch| {
            self.plan.advance(context, self.at + 1, batch)
        })
    }
}

impl StatefulFunction for LaneFunction {
    async fn invoke(&self, context: &mut Context, message: Message) -> Result<(), BoxError> {
        if message.is(&RECORD) {
            let record = Record::of(&message)?;
            let id = self.plan.step(self.at).item_id(&record).to_string();
            return Box::pin(self.lane.arrive(context, record, id)).await;
        }
        if self.lane.handle(context, &message)? {
            return Ok(());
        }
        self.plan.keep_foreign(context, self.at, &message)
    }
}
