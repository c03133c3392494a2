//! Builds pipelines, in Rust and from their declared form.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::answering::Answering;
use super::change::OnPipelineChange;
use super::config::{self, DEFAULT_NAMESPACE, PipelineConfig, Route, StageConfig, StageNames};
use super::figures::Figures;
use super::function::Entry;
use super::plan::{Plan, Plans};
#[cfg(feature = "postgres")]
use super::record::Record;
use super::secrets::Secrets;
use super::stage::{Guarded, Stage};
use super::stage_function;
use super::stages::{self, Batch, Connections, HttpExport, MqttExport, StageKind};
use super::storing::Storing;
use crate::clock::{Clock, SystemClock};
#[cfg(feature = "runtime")]
use crate::delivery::engine::Policy;
use crate::delivery::owner::{DestinationFunction, DestinationRegistry, KeepLimits};
use crate::document::{At, Finding, Findings, Location, Node};
#[cfg(feature = "runtime")]
use crate::sdk::{Address, BoxError, Message};
use crate::sdk::{FunctionSpec, TypeName};
#[cfg(feature = "postgres")]
use crate::time::Timestamp;
use crate::transport::http::client::Network;

/// A pipeline: the functions that move records through its stages.
///
/// ```
/// use serde_json::json;
/// use stateful_functions::StatefulFunctions;
/// use stateful_functions::pipeline::{HttpExport, Pipeline};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pipeline = Pipeline::builder("orders")
///     .filter(json!({">": [{"var": "total"}, 100]}))
///     .set(json!({"shop": "north"}))
///     .named("crm")
///     .http_export(HttpExport::post("https://crm.example/orders").order_key("customer"))
///     .build()?;
///
/// let mut functions = StatefulFunctions::new();
/// for spec in pipeline.functions() {
///     functions = functions.with(spec)?;
/// }
/// assert_eq!(pipeline.entry().as_str(), "pipelines/orders");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Pipeline {
    plan: Arc<Plan>,
}

/// Whether a function takes values of a type, given by name, from outside.
#[cfg(feature = "runtime")]
pub(crate) type Takes = fn(&str) -> bool;

impl Pipeline {
    /// A builder of a pipeline with this name.
    pub fn builder(name: impl Into<String>) -> PipelineBuilder {
        PipelineBuilder::new(name.into())
    }

    /// A pipeline as it was declared, before it is given its dependencies.
    pub fn declared(config: PipelineConfig) -> PipelineBuilder {
        let mut builder = PipelineBuilder::new(config.name().to_owned());
        config.namespace().clone_into(&mut builder.namespace);
        builder.secrets.clone_from(config.secrets());
        builder.routes = config.routes().to_vec();
        builder.storing = config.storing().clone();
        builder.answering = config.answering().clone();
        builder.stages = config.into_stages().into_iter().map(Some).collect();
        builder
    }

    /// The functions, which must be registered together.
    pub fn functions(&self) -> Vec<FunctionSpec> {
        self.specs(&Destinations::default())
    }

    /// The functions, sharing the knowledge of destinations with other pipelines of this process.
    pub fn functions_beside(&self, destinations: &Destinations) -> Vec<FunctionSpec> {
        self.plan.count_in(&destinations.figures);
        #[cfg(feature = "mqtt")]
        for step in self.plan.steps() {
            if let StageKind::Export(exporter) = &step.kind
                && let stages::Channel::Mqtt(publications) = &exporter.channel
            {
                publications.pre_connect(&destinations.connections.brokers);
            }
        }
        self.specs(destinations)
    }

    fn specs(&self, destinations: &Destinations) -> Vec<FunctionSpec> {
        destinations.plans.add(&self.plan);
        let registry = &destinations.registry;
        let mut specs = vec![FunctionSpec::new(
            self.plan.entry.clone(),
            Entry {
                plan: Arc::clone(&self.plan),
            },
        )];
        let mut exports = Vec::new();
        for (at, step) in self.plan.steps().iter().enumerate() {
            specs.extend(stage_function::specs(&self.plan, at, destinations));
            if matches!(step.kind, StageKind::Export(_)) {
                exports.push((step.name.clone(), step.function.clone()));
            }
        }
        if !exports.is_empty() {
            let destination = self.plan.destination.clone();
            let (registry, clock) = (Arc::clone(registry), self.plan.clock());
            specs.push(DestinationFunction::spec(
                destination,
                exports,
                registry,
                clock,
            ));
        }
        specs
    }

    /// The functions whose records wait according to a policy, with that policy.
    #[cfg(feature = "runtime")]
    pub(crate) fn policies(&self) -> impl Iterator<Item = (&TypeName, &Policy)> {
        let steps = self.plan.steps().iter();
        steps.map(|step| (&step.function, &step.policy))
    }

    /// The functions besides the entry, each with what it takes from outside.
    #[cfg(feature = "runtime")]
    pub(crate) fn parts(&self) -> Vec<(TypeName, Takes)> {
        let of_stages = self.plan.steps().iter().flat_map(|step| {
            let item: Takes = stage_function::item_takes;
            let lane: Takes = stage_function::lane_takes;
            [(step.function.clone(), item), (step.lane.clone(), lane)]
        });
        let nothing: Takes = |_| false;
        let of_destinations = [(self.plan.destination.clone(), nothing)];
        of_stages.chain(of_destinations).collect()
    }

    /// The functions that collect batches, with the settings of when they are sent.
    #[cfg(feature = "runtime")]
    pub(crate) fn batches(&self) -> impl Iterator<Item = (&TypeName, String)> {
        let steps = self.plan.steps().iter();
        steps.filter_map(|step| match &step.kind {
            StageKind::Batch(batching) => {
                let settings = format!("{} {:?} {:?}", batching.count, batching.time, batching.key);
                Some((&step.function, settings))
            }
            _ => None,
        })
    }

    /// Its version: the same as long as its stages have the same names, kinds and order. It is stored with waiting records.
    pub fn version(&self) -> String {
        self.plan.version_text(self.plan.version)
    }

    /// The message by which one of its stages keeps a record that could not be sent from elsewhere.
    #[cfg(feature = "postgres")]
    pub(crate) fn waiting_at(
        &self,
        at: usize,
        record: Record,
        failures: u32,
        since: Timestamp,
    ) -> Result<Message, BoxError> {
        self.plan.waiting_at(at, record, failures, since)
    }

    /// Its functions of EdgeX after the one that decodes, each with what distinguishes it from others of its name.
    #[cfg(feature = "postgres")]
    pub(crate) fn edgex_functions(&self) -> impl Iterator<Item = (&str, String)> {
        let steps = self.plan.steps().iter().skip(1);
        steps.map(|step| (step.name.as_str(), step.kind.variant().to_owned()))
    }

    #[cfg(feature = "runtime")]
    pub(crate) fn on_change(&self) -> &OnPipelineChange {
        &self.plan.storing.on_change
    }

    /// The function by which records enter.
    pub fn entry(&self) -> &TypeName {
        &self.plan.entry
    }

    /// The message to store instead of a message to the pipeline, if that can be computed before it is stored. Records are then
    /// stored only once, and not again for the stage that exports them.
    #[cfg(feature = "runtime")]
    pub(crate) fn entrance(&self) -> Option<Entrance> {
        let plan = Arc::clone(&self.plan);
        let enter = move |message: &Message, suits: &dyn Fn(&Address) -> bool| {
            // There is no caller, and so no answer.
            super::function::enter(&plan, message, None, suits).map(|onward| onward.message)
        };
        let can = self.plan.can_enter_anywhere();
        can.then(|| -> Entrance { Arc::new(enter) })
    }

    /// The function types that keep records, one per stage: `<namespace>/<pipeline>.<stage>`.
    pub fn keepers(&self) -> impl Iterator<Item = &TypeName> {
        self.plan.steps().iter().map(|step| &step.function)
    }
}

/// Computes the message to store instead of a message to a pipeline; `None` if nothing is to be stored. If its address depends
/// on an id assigned here, the id is chosen so that the given function accepts the address.
#[cfg(feature = "runtime")]
pub(crate) type Entrance = Arc<
    dyn Fn(&Message, &dyn Fn(&Address) -> bool) -> Result<Option<Message>, BoxError> + Send + Sync,
>;

/// What pipelines know about the destinations of their exports: whether one is down, and which records wait for it.
///
/// Pipelines that share it learn from one another: a success of one wakes the records of all others for the same
/// destination. They also share connections to brokers. Cheap to clone. The embedded runtime shares one among all its pipelines.
#[derive(Debug, Clone, Default)]
pub struct Destinations {
    pub(crate) registry: Arc<DestinationRegistry>,
    pub(crate) connections: Connections,
    /// What the pipelines have done.
    pub(crate) figures: Figures,
    /// The pipelines, for stages of theirs that are gone.
    pub(crate) plans: Arc<Plans>,
}

impl Destinations {
    /// Whether waiting records of the stage with this function, which is gone, do not stay there.
    #[cfg(feature = "runtime")]
    pub(crate) fn moves_from(&self, function: &TypeName) -> bool {
        let pipeline = function.name().rsplit_once('.').map(|(name, _)| name);
        let entry = pipeline.and_then(|name| TypeName::from_parts(function.namespace(), name).ok());
        let plan = entry.and_then(|entry| self.plans.get(&entry));
        plan.is_some_and(|plan| !plan.storing.on_change.is_resume())
    }

    /// The records that pipelines which keep none have dropped, by reason: `store_disabled` if it would have been tried again, or why it was given up.
    pub fn dropped(&self) -> BTreeMap<&'static str, u64> {
        self.registry.dropped()
    }
}

/// A pipeline that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidPipeline {
    pipeline: String,
    faults: Vec<Finding>,
}

impl InvalidPipeline {
    /// All faults, each with its path as in the declared form.
    pub fn faults(&self) -> &[Finding] {
        &self.faults
    }
}

impl std::error::Error for InvalidPipeline {}

impl fmt::Display for InvalidPipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pipeline `{}`", self.pipeline)?;
        for (at, fault) in self.faults.iter().enumerate() {
            let mark = if at == 0 { ": " } else { "; " };
            write!(f, "{mark}{fault}")?;
        }
        Ok(())
    }
}

/// Builds a [`Pipeline`]: add stages in order, then call [`PipelineBuilder::build`].
#[must_use = "a builder makes a pipeline with `build`"]
pub struct PipelineBuilder {
    name: String,
    namespace: String,
    /// `None` stands for a stage with faults.
    stages: Vec<Option<StageConfig>>,
    names: StageNames,
    next_name: Option<String>,
    faults: Findings,
    is_chained: bool,
    clock: Arc<dyn Clock>,
    id_seed: Option<Uuid>,
    network: Network,
    secrets: Secrets,
    routes: Vec<Route>,
    storing: Storing,
    answering: Answering,
}

impl PipelineBuilder {
    fn new(name: String) -> Self {
        Self {
            name,
            namespace: DEFAULT_NAMESPACE.to_owned(),
            stages: Vec::new(),
            names: StageNames::default(),
            next_name: None,
            faults: Findings::default(),
            is_chained: true,
            clock: Arc::new(SystemClock),
            id_seed: None,
            network: Network::default(),
            secrets: Secrets::default(),
            routes: Vec::new(),
            storing: Storing::default(),
            answering: Answering::default(),
        }
    }

    /// Sets the namespace of its functions. Default `pipelines`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Sets the name of the next stage. Default: its kind as in the declared form, with a number from the second on.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.next_name = Some(name.into());
        self
    }

    /// Passes on the records for which a JsonLogic rule is true.
    pub fn filter(self, rule: Value) -> Self {
        self.declared("filter", &json!({"rule": rule}))
    }

    /// Sets fields of a JSON payload: a mapping of paths such as `tags.site` and their values.
    pub fn set(self, fields: Value) -> Self {
        self.declared("set", &fields)
    }

    /// Makes a new JSON payload: a mapping of paths and the JsonLogic rules that compute them from the old one.
    pub fn transform(self, fields: Value) -> Self {
        self.declared("transform", &fields)
    }

    /// Adds a built-in stage, with the settings of its declared form.
    pub fn declared(mut self, kind: &str, settings: &Value) -> Self {
        let at = self.stages.len();
        let name = self.take_name(kind, at);
        let tree = Node::from_json(settings);
        let node = At::new(&tree, format!("stages[{at}].{kind}"), &self.faults);
        let read = match stages::reader(kind) {
            Some(reader) => reader.read(node),
            None => node.fault("unknown stage"),
        };
        let stage = name
            .zip(read)
            .map(|(name, kind)| StageConfig { name, kind });
        self.stages.push(stage);
        self
    }

    /// Adds a custom stage, which must only compute: any `Fn(&mut Record) -> Answer`.
    pub fn stage(mut self, name: impl Into<String>, stage: impl Stage) -> Self {
        self.next_name = Some(name.into());
        let at = self.stages.len();
        let name = self.take_name("stage", at);
        let kind = StageKind::Own(Arc::new(Guarded(stage)));
        self.stages
            .push(name.map(|name| StageConfig { name, kind }));
        self
    }

    /// Collects records and sends them as one.
    pub fn batch(self, batch: Batch) -> Self {
        self.checked("batch", |fault| batch.check(fault))
    }

    /// Sends records as HTTP requests.
    pub fn http_export(self, export: HttpExport) -> Self {
        self.checked("http-export", |fault| export.check(fault))
    }

    /// Publishes records to an MQTT broker.
    pub fn mqtt_export(self, export: MqttExport) -> Self {
        self.checked("mqtt-export", |fault| export.check(fault))
    }

    fn checked(
        mut self,
        kind: &str,
        check: impl FnOnce(&dyn Fn(&str, &dyn fmt::Display)) -> Option<StageKind>,
    ) -> Self {
        let at = self.stages.len();
        let name = self.take_name(kind, at);
        let nothing = Node::from_json(&Value::Null);
        let place = At::new(&nothing, format!("stages[{at}].{kind}"), &self.faults);
        let checked = check(&|field, text| place.fault_at(field, text));
        let stage = name
            .zip(checked)
            .map(|(name, kind)| StageConfig { name, kind });
        self.stages.push(stage);
        self
    }

    fn take_name(&mut self, kind: &str, at: usize) -> Option<String> {
        let Some(name) = self.next_name.take() else {
            return Some(self.names.of_kind(kind));
        };
        match self.names.given(&name) {
            Ok(()) => Some(name),
            Err(text) => {
                self.faults.add(format!("stages[{at}].name"), text);
                None
            }
        }
    }

    /// Sets the clock. Default: the system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets proxies and authorities for its exports. Default: no proxy, and the public authorities.
    pub fn network(mut self, network: &Network) -> Self {
        self.network.clone_from(network);
        self
    }

    /// Sets where its stages find their secrets. Default: the environment, see [`Secrets`].
    pub fn secrets(mut self, secrets: &Secrets) -> Self {
        self.secrets.clone_from(secrets);
        self
    }

    /// Whether records that cannot be sent, or with which a stage fails, are kept. Default true. If not, they are logged as errors, counted (see
    /// [`Destinations::dropped`]) and lost; what was kept before stays, and is not attempted.
    pub const fn storing(mut self, is_storing: bool) -> Self {
        self.storing.is_enabled = is_storing;
        self
    }

    /// Sets how much it keeps at most. Default: a million waiting records of 1 GiB, and all dead letters.
    pub fn keep_limits(mut self, limits: KeepLimits) -> Self {
        self.storing.limits = limits;
        self
    }

    /// Sets what becomes of waiting records that another version of the pipeline stored. Default: they continue at the stage of their name.
    pub fn on_pipeline_change(mut self, rule: OnPipelineChange) -> Self {
        self.storing.on_change = rule;
        self
    }

    /// Whether stages that only compute run one after the other in one call. Default true; the results are the same.
    pub const fn chained(mut self, is_chained: bool) -> Self {
        self.is_chained = is_chained;
        self
    }

    /// Sets the seed of record ids, for tests: equal seeds give equal ids. Default: random for each built pipeline, as it
    /// should be in production.
    pub const fn record_id_seed(mut self, seed: Uuid) -> Self {
        self.id_seed = Some(seed);
        self
    }

    /// Builds the pipeline.
    ///
    /// # Errors
    /// All faults at once.
    pub fn build(self) -> Result<Pipeline, InvalidPipeline> {
        let checks = [
            ("name", config::check_name(&self.name)),
            ("namespace", config::check_half(&self.namespace)),
        ];
        for (path, checked) in checks {
            if let Err(text) = checked {
                self.faults.add(path, text);
            }
        }
        if self.stages.is_empty() && self.routes.is_empty() {
            self.faults
                .add("stages", "a pipeline needs at least one stage");
        }
        let name = self.name.clone();
        let invalid = |faults| InvalidPipeline {
            pipeline: name.clone(),
            faults,
        };
        let stages: Option<Vec<StageConfig>> = self.stages.into_iter().collect();
        let stages = self.faults.into_result(stages).map_err(invalid)?;
        let stages = if self.network == Network::default() {
            stages
        } else {
            within(&self.network, stages).map_err(invalid)?
        };
        let with_secrets = |stage: StageConfig| StageConfig {
            kind: stage.kind.with_secrets(&self.secrets),
            ..stage
        };
        let stages = stages.into_iter().map(with_secrets).collect();
        let config = PipelineConfig::from_parts(self.name, self.namespace, stages)
            .with_storing(self.storing)
            .with_answering(self.answering);
        let seed = self.id_seed.unwrap_or_else(Uuid::new_v4);
        let plan =
            Plan::new(config, self.routes, self.is_chained, self.clock, seed).map_err(|err| {
                invalid(vec![Finding::new(
                    Location::nowhere(),
                    "name",
                    err.to_string(),
                )])
            })?;
        Ok(Pipeline {
            plan: Arc::new(plan),
        })
    }
}

/// The stages, with the network settings of the process.
fn within(network: &Network, stages: Vec<StageConfig>) -> Result<Vec<StageConfig>, Vec<Finding>> {
    let placed = stages.into_iter().map(|StageConfig { name, kind }| {
        let kind = kind.within(network).map_err(|err| {
            let finding = Finding::new(Location::nowhere(), name.as_str(), err.to_string());
            vec![finding]
        })?;
        Ok(StageConfig { name, kind })
    });
    placed.collect()
}

impl fmt::Debug for PipelineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineBuilder")
            .field("name", &self.name)
            .field("namespace", &self.namespace)
            .field("stages", &self.stages.len())
            .finish_non_exhaustive()
    }
}
