//! Stand-ins for the functions of stages that are gone but keep records. The records can be cancelled, discarded and exported; one that is
//! due becomes a dead letter, `stage_gone`, which continues where it stopped once the stage is back. The records of an open batch are
//! kept one by one, and collected again once the stage is back.

use std::sync::Arc;

use bytes::Bytes;

use super::builder::Destinations;
use super::collector::Leftover;
use super::ids::ItemIds;
use super::plan::Plans;
use super::record::{RECORD, Record};
use super::wire::Kept;
use crate::clock::Clock;
use crate::delivery::Edit;
use crate::delivery::engine::{Delivery, Failure, Order, Policy};
use crate::delivery::owner::{
    DestinationFunction, Lane, Moved, Names, Owner, Prepared, RULES, Target,
};
use crate::sdk::{BoxError, Context, FunctionSpec, Message, StatefulFunction, TypeName};
use crate::time::Timestamp;

/// A stage that is gone.
struct GoneStage {
    pipeline: String,
    stage: String,
    ids: ItemIds,
    plans: Arc<Plans>,
    entry: TypeName,
}

/// Functions `<namespace>/<pipeline>.<stage>` and `<namespace>/lane.<pipeline>.<stage>`.
enum StandIn {
    Item(Box<Owner<GoneStage>>, Option<Leftover>),
    Lane(Lane<GoneStage>),
}

/// The stand-in for `function`, if it belonged to a pipeline, which its declared values and their types show.
pub(crate) fn stand_in(
    function: &TypeName,
    declared: &[(String, String)],
    destinations: &Destinations,
    clock: &Arc<dyn Clock>,
) -> Option<FunctionSpec> {
    let has = |name: &str, type_name: &str| {
        let mut declared = declared.iter();
        declared.any(|(value, of)| value == name && of == type_name)
    };
    let registry = &destinations.registry;
    if has("waking", "statefun.pipelines/waking") {
        let (registry, clock) = (Arc::clone(registry), Arc::clone(clock));
        return Some(DestinationFunction::spec(
            function.clone(),
            Vec::new(),
            registry,
            clock,
        ));
    }
    // Only values that are used are declared: a lane has the second one if an earlier version kept it.
    let is_lane = has("turn", "statefun.deliveries/place")
        || has("lead", "statefun.pipelines/lead")
        || function.name().starts_with("lane.") && has("list", "statefun.pipelines/list");
    let (name, type_name) = Leftover::VALUE;
    // A batch stage may have an open batch and never have kept a delivery.
    let leftover = has(name, type_name).then(Leftover::new);
    if !is_lane && leftover.is_none() && !has("head", "statefun.pipelines/head") {
        return None;
    }
    let owner = |name: &str| {
        let (pipeline, stage) = name.rsplit_once('.')?;
        let part = |text: String| TypeName::from_parts(function.namespace(), &text).ok();
        let names = Names {
            item: part(name.to_owned())?,
            lane: part(format!("lane.{name}"))?,
            destination: part(format!("destination.{pipeline}"))?,
            stage: stage.to_owned(),
        };
        let target = GoneStage {
            ids: ItemIds::of(&format!("{}/{pipeline}", function.namespace()), stage),
            pipeline: pipeline.to_owned(),
            stage: stage.to_owned(),
            plans: Arc::clone(&destinations.plans),
            entry: part(pipeline.to_owned())?,
        };
        let policy = Policy {
            order: Order::Key,
            ..Policy::default()
        };
        let (registry, clock) = (Arc::clone(registry), Arc::clone(clock));
        Some(Owner::new(target, policy, names, registry, clock))
    };
    if is_lane {
        let owner = Arc::new(owner(function.name().strip_prefix("lane.")?)?);
        let lane = Lane::new(&owner);
        let values = lane.values();
        let spec = FunctionSpec::new(function.clone(), StandIn::Lane(lane));
        return Some(values.declare(spec).after_durable());
    }
    registry.add_keeper(function);
    let stand_in = StandIn::Item(Box::new(owner(function.name())?), leftover.clone());
    let spec = Owner::<GoneStage>::declare(FunctionSpec::new(function.clone(), stand_in));
    let spec = spec.after_durable();
    Some(match leftover {
        Some(leftover) => leftover.declare(spec),
        None => spec,
    })
}

impl StatefulFunction for StandIn {
    async fn invoke(&self, context: &mut Context, message: Message) -> Result<(), BoxError> {
        let is_record = message.is(&RECORD);
        let is_known = match self {
            // It was on its way here, and waits like the records already here.
            Self::Item(owner, _) if is_record => {
                context.send(owner.target().defer(owner, &Record::of(&message)?)?);
                true
            }
            Self::Lane(_) if is_record => false,
            Self::Item(owner, Some(leftover)) if message.is(&RULES) => {
                for record in leftover.take(context)? {
                    context.send(owner.target().defer(owner, &record)?);
                }
                true
            }
            Self::Item(owner, _) => owner.handle(context, &message).await?,
            Self::Lane(lane) => lane.handle(context, &message)?,
        };
        if is_known {
            return Ok(());
        }
        // It stays here, and continues when the stage is back.
        let (address, what) = (context.address(), message.value_type_name());
        Err(format!("the stage of {address} no longer exists and cannot accept {what}").into())
    }
}

impl GoneStage {
    /// The message that keeps a record until the stage is back.
    fn defer(&self, owner: &Owner<Self>, record: &Record) -> Result<Message, BoxError> {
        owner.defer(self.ids.item(record.id()).to_string(), record)
    }
}

impl Target for GoneStage {
    type Unit = Record;
    type Call = ();
    type Taken = ();

    fn has_destinations(&self) -> bool {
        false
    }

    fn encode(&self, record: &Record) -> Bytes {
        Kept::of(record, &self.pipeline, &self.stage, 0)
    }

    fn decode(&self, bytes: &Bytes) -> Result<Record, BoxError> {
        Ok(Kept::read(bytes)?.record)
    }

    fn may_move(&self) -> bool {
        let plan = self.plans.get(&self.entry);
        plan.is_some_and(|plan| !plan.storing.on_change.is_resume())
    }

    fn moved(&self, unit: &Bytes) -> Result<Option<Moved>, BoxError> {
        match self.plans.get(&self.entry) {
            Some(plan) => plan.moved(&self.stage, Kept::read(unit)?),
            None => Ok(None),
        }
    }

    fn edited(&self, record: Record, edit: &Edit) -> Result<Record, String> {
        record.edited(edit)
    }

    fn prepare(&self, _: &mut Record, _: &Delivery) -> Result<Prepared<()>, Box<Failure>> {
        let Self {
            pipeline, stage, ..
        } = self;
        let text = format!(
            "pipeline `{pipeline}` no longer has a stage `{stage}`; give a stage that name again and retry, or export the record"
        );
        Err(Box::new(Failure::permanent("stage_gone", text)))
    }

    async fn call(&self, (): (), _: &mut Record, _: Timestamp) -> Result<(), Box<Failure>> {
        Ok(())
    }

    fn follow(&self, _: &mut Context, _: Record, (): ()) -> Result<(), BoxError> {
        Ok(())
    }
}
