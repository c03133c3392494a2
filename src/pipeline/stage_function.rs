//! The functions of a stage: one that takes records and keeps those with which it failed, and one that keeps the order of
//! records with the same key. Both delegate to an owner of deliveries.

use std::sync::Arc;

use super::builder::Destinations;
use super::collector::Collector;
use super::collector::FLUSH;
use super::plan::{Plan, Step};
use super::record::{RECORD, Record};
use super::response;
use super::stage_target::StageTarget;
use super::stages::{EgressExport, StageKind};
#[cfg(feature = "runtime")]
use crate::delivery::COMMAND;
use crate::delivery::owner::{Lane, Names, Owner, RULES};
use crate::sdk::{
    Address, BoxError, Context, FunctionSpec, Message, MessageBuilder, StatefulFunction, TypeName,
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

fn is(message: &Message, name: &TypeName) -> bool {
    message.value_type_name() == name.as_str()
}

/// Whether a stage takes values of this type from outside: records, commands of operators, and news of changed settings.
#[cfg(feature = "runtime")]
pub(super) fn item_takes(type_name: &str) -> bool {
    lane_takes(type_name)
        || [COMMAND.name(), RULES.name()]
            .map(TypeName::as_str)
            .contains(&type_name)
}

/// Whether a lane takes values of this type from outside.
#[cfg(feature = "runtime")]
pub(super) fn lane_takes(type_name: &str) -> bool {
    RECORD.name().as_str() == type_name
}

/// The long ways are boxed: the future around them is copied several times before it runs.
impl StatefulFunction for StageFunction {
    async fn invoke(&self, context: &mut Context, message: Message) -> Result<(), BoxError> {
        if is(&message, RECORD.name()) {
            let record = Record::of(&message)?;
            return match (&self.collector, &self.plan.step(self.at).kind) {
                (Some(collector), _) => self.collect(context, collector, record),
                (None, StageKind::Egress(export)) => self.send_out(context, export, record),
                (None, _) => Box::pin(self.owner.arrive(context, record)).await,
            };
        }
        if let (true, Some(collector)) = (is(&message, FLUSH.name()), &self.collector) {
            let batch = collector.flush(context, &message.require(&FLUSH)?)?;
            return self.let_go(context, batch);
        }
        if let (true, Some(collector)) = (is(&message, RULES.name()), &self.collector) {
            let belongs_elsewhere = |record: &mut Record, here: &Address| {
                let target = self.plan.target(self.at, record);
                target.is_ok_and(|target| target != *here)
            };
            for record in collector.displaced(context, belongs_elsewhere)? {
                self.pass_to_its_batch(context, record)?;
            }
            let batch = collector.reconsider(context, self.plan.now())?;
            self.let_go(context, batch)?;
        }
        if Box::pin(self.owner.handle(context, &message)).await? {
            return Ok(());
        }
        self.plan.keep_foreign(context, self.at, &message)
    }
}

impl StageFunction {
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
        match collector.add(context, &record)? {
            Ok(batch) => {
                // The caller does not wait until the batch is sent.
                if let Some(answer) = answer {
                    context.send(answer);
                }
                self.let_go(context, batch)
            }
            Err(failure) => self.plan.keep(context, self.at, &record, &failure),
        }
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
        if is(&message, RECORD.name()) {
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
