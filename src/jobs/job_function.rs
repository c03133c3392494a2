//! The functions of an action: one that keeps its jobs, and one that keeps the order of jobs with the same key. Both delegate to an owner of
//! deliveries.

use std::sync::Arc;

use super::answer::ANSWER;
use super::job::submitted_with;
use super::target::{JobTarget, Reach};
use crate::delivery::owner::{Lane, Owner};
use crate::pipeline::{Record, record_type};
use crate::sdk::{BoxError, Context, FunctionSpec, Message, StatefulFunction, Type, TypeName};

/// From an event to a new job: a record.
pub(super) const SUBMISSION: Type<Record> = record_type(TypeName::new("statefun.jobs/submission"));

/// Function `<namespace>/job.<destination>`, or with the action behind it; id = the job's id.
struct JobFunction {
    owner: Arc<Owner<JobTarget>>,
    /// The function that makes the attempts, if it is another one.
    asked: Option<TypeName>,
}

/// Function `<namespace>/lane.job.<destination>`, id = the order key.
struct JobLane(Lane<JobTarget>);

/// The functions of the jobs of one action.
pub(super) fn specs(owner: Arc<Owner<JobTarget>>) -> [FunctionSpec; 2] {
    let target = owner.target();
    let route = Arc::clone(&target.route);
    let asked = match &target.reach {
        Reach::Function(function) => Some(function.clone()),
        _ => None,
    };
    let only_exchanges = match &target.reach {
        Reach::Export(exporter) => exporter.only_exchanges(),
        Reach::Closure(_) => false,
        Reach::Records(_) | Reach::Egress(_) | Reach::Function(_) => true,
    };
    let lane = Lane::new(&owner);
    let function = JobFunction { owner, asked };
    let spec = FunctionSpec::new(route.function.clone(), function);
    let spec = Owner::<JobTarget>::declare(spec).after_durable();
    let values = lane.values();
    let lane = FunctionSpec::new(route.lane.clone(), JobLane(lane));
    [
        spec.only_exchanges(only_exchanges),
        values.declare(lane).after_durable(),
    ]
}

impl StatefulFunction for JobFunction {
    async fn invoke(&self, context: &mut Context, message: Message) -> Result<(), BoxError> {
        if message.is(&SUBMISSION) {
            let record = message.require(&SUBMISSION)?;
            let (key, due) = submitted_with(&record);
            return Box::pin(self.owner.accept(context, record, key, due)).await;
        }
        if message.is(&ANSWER) {
            let answer = message.require(&ANSWER)?;
            let attempt = answer.attempt;
            let outcome = answer.into_outcome();
            return Box::pin(self.owner.outcome(context, attempt, outcome)).await;
        }
        if Box::pin(self.owner.handle(context, &message)).await? {
            return Ok(());
        }
        let caller = context.caller().map(|caller| caller.type_name().clone());
        if self.asked.is_some() && caller == self.asked {
            let outcome = crate::delivery::engine::Outcome::Ok;
            return Box::pin(self.owner.outcome(context, None, outcome)).await;
        }
        dropped(context, &message);
        Ok(())
    }
}

impl StatefulFunction for JobLane {
    async fn invoke(&self, context: &mut Context, message: Message) -> Result<(), BoxError> {
        if !self.0.handle(context, &message)? {
            dropped(context, &message);
        }
        Ok(())
    }
}

/// Other functions may send anything; it is told, and has no effect.
pub(super) fn dropped(context: &Context, message: &Message) {
    let (value_type, from) = (message.value_type_name(), context.caller());
    let from = from.map_or_else(String::new, ToString::to_string);
    tracing::warn!(address = %context.address(), value_type, from, "a message that this function does not understand was dropped");
}

/// Whether a function of jobs takes values of this type from outside.
#[cfg(feature = "runtime")]
pub(super) fn takes(type_name: &str) -> bool {
    use crate::delivery::owner::RULES;
    use crate::delivery::{COMMAND, EDIT};
    [COMMAND.name(), EDIT.name(), RULES.name(), ANSWER.name()]
        .iter()
        .any(|name| name.as_str() == type_name)
}
