//! Builds a runtime from a checked module. This is the only place that puts the parts together.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use prost::Message as _;
use tracing::warn;

use super::core::AddressKey;
use super::entrance::{Enter, Entering};
use super::function_set::FunctionSet;
use super::gone::StandIns;
use super::handle::Chore;
use super::parts::Part;
use super::{
    Asking, ConnectorFindings, Examine, RuntimeBuilder, StartError, SystemAnswer, samples,
};
use crate::admin::figures::{DeliveryWatch, count};
use crate::admin::jobs::BoundJobs;
use crate::admin::rearm::{rearm, regather, unpack, warn_of_open_batch};
use crate::admin::trim::trim;
use crate::clock::Clock;
use crate::connectors::file::{self, FileSink, FileSource};
use crate::connectors::http::HttpSource;
#[cfg(feature = "kafka")]
use crate::connectors::kafka::{self, KafkaSink, KafkaSource};
#[cfg(feature = "kinesis")]
use crate::connectors::kinesis::{self, Dependencies, KinesisSink, KinesisSource};
#[cfg(feature = "mqtt")]
use crate::connectors::mqtt::{self, MqttSink, MqttSource};
use crate::connectors::playground::{PlaygroundSink, PlaygroundSource};
#[cfg(feature = "redis")]
use crate::connectors::redis::{self, RedisSink, RedisSource};
use crate::connectors::stdout::StdoutEgress;
use crate::jobs::Jobs;
#[cfg(not(feature = "kafka"))]
use crate::module::Finding;
use crate::module::{
    EgressTarget, Ingress, InvalidModule, KafkaEgress, KafkaIngress, Location, Module,
    PlaygroundIngress,
};
use crate::pipeline::{
    Destinations, Entrance, InvalidPipeline, OnPipelineChange, Pipeline, PipelineConfig, RECORD,
    Record, stand_in,
};
use crate::protocol::reqreply::TypedValue;
use crate::sdk::{Message, StatefulFunctions, TypeName, TypedBytes};
use crate::transport::http::client::Network;

/// What connectors find in the documents of a module, without the systems that they name. A start refuses the faults.
pub fn connector_findings(module: &Module) -> ConnectorFindings {
    let mut all = ConnectorFindings::default();
    for one in examined(module) {
        all.add(one.findings());
    }
    all
}

/// Asks the systems that a module names, all at once. Nothing is changed there.
pub async fn ask_systems(module: &Module, asking: &Asking) -> Vec<SystemAnswer> {
    let documents = examined(module);
    let asked = documents.iter().map(|one| one.ask(asking));
    join_all(asked).await.into_iter().flatten().collect()
}

/// The documents of a module that have something to say.
fn examined(module: &Module) -> Vec<Box<dyn Examine + '_>> {
    let ingresses = module.ingresses.iter().filter_map(|ingress| match ingress {
        Ingress::File(spec) => Some(boxed(file::IngressExamined(spec))),
        Ingress::Kafka(spec) => Some(kafka_ingress(spec)),
        #[cfg(feature = "kinesis")]
        Ingress::Kinesis(spec) => Some(boxed(kinesis::IngressExamined(spec))),
        #[cfg(feature = "mqtt")]
        Ingress::Mqtt(spec) => Some(boxed(mqtt::IngressExamined(spec))),
        #[cfg(feature = "redis")]
        Ingress::Redis(spec) => Some(boxed(redis::IngressExamined(spec))),
        _ => None,
    });
    let egresses = module.egresses.iter();
    let egresses = egresses.filter_map(|egress| match &egress.target {
        EgressTarget::File(spec) => Some(boxed(file::EgressExamined(&egress.location, spec))),
        EgressTarget::Kafka(spec) => Some(kafka_egress(&egress.id, spec)),
        #[cfg(feature = "kinesis")]
        EgressTarget::Kinesis(spec) => Some(boxed(kinesis::EgressExamined(spec))),
        #[cfg(feature = "mqtt")]
        EgressTarget::Mqtt(spec) => {
            Some(boxed(mqtt::EgressExamined(&egress.location, &spec.broker)))
        }
        #[cfg(feature = "redis")]
        EgressTarget::Redis(spec) => Some(boxed(redis::EgressExamined(&egress.location, spec))),
        _ => None,
    });
    ingresses.chain(egresses).collect()
}

fn boxed<'a>(one: impl Examine + 'a) -> Box<dyn Examine + 'a> {
    Box::new(one)
}

#[cfg(feature = "kafka")]
fn kafka_ingress(spec: &KafkaIngress) -> Box<dyn Examine + '_> {
    Box::new(kafka::IngressExamined(spec))
}

#[cfg(feature = "kafka")]
fn kafka_egress<'a>(id: &'a TypeName, spec: &'a KafkaEgress) -> Box<dyn Examine + 'a> {
    Box::new(kafka::EgressExamined(id, spec))
}

#[cfg(not(feature = "kafka"))]
fn kafka_ingress(spec: &KafkaIngress) -> Box<dyn Examine + '_> {
    Box::new(Unbuilt(spec.faults(), Vec::new()))
}

#[cfg(not(feature = "kafka"))]
fn kafka_egress<'a>(_id: &'a TypeName, spec: &'a KafkaEgress) -> Box<dyn Examine + 'a> {
    Box::new(Unbuilt(spec.faults(), spec.warnings()))
}

/// A document whose connector this build does not have: the faults and warnings of its values.
#[cfg(not(feature = "kafka"))]
struct Unbuilt(Vec<Finding>, Vec<Finding>);

#[cfg(not(feature = "kafka"))]
impl Examine for Unbuilt {
    fn findings(&self) -> ConnectorFindings {
        let mut found = ConnectorFindings::of_faults(self.0.clone());
        found.warnings.clone_from(&self.1);
        found
    }
}

impl RuntimeBuilder {
    /// Binds everything that a module declares.
    ///
    /// # Errors
    /// If a declared part cannot be built, or needs a connector that this build does not have.
    pub fn module(mut self, module: &Module) -> Result<Self, StartError> {
        if !module.without_connector.is_empty() {
            let parts: Vec<String> = module
                .without_connector
                .iter()
                .map(ToString::to_string)
                .collect();
            return Err(StartError::Declared {
                what: format!("this build cannot run the module:\n{}", parts.join("\n")),
            });
        }
        let ConnectorFindings { faults, warnings } = connector_findings(module);
        for warning in warnings {
            warn!("{warning}");
        }
        if !faults.is_empty() {
            let what = InvalidModule::of(faults).to_string();
            return Err(StartError::Declared { what });
        }
        self = self.with_stand_ins();
        self.endpoints.extend(module.endpoints.iter().cloned());
        if module.samples {
            let functions = samples::functions().map_err(|error| StartError::Declared {
                what: format!("the sample functions: {error}"),
            })?;
            self = self.functions(functions);
        }
        for declared in &module.pipelines {
            let pipeline = self.built(&declared.config, &declared.location)?;
            self = self.pipeline(&pipeline)?;
        }
        for declared in &module.jobs {
            let built = declared
                .config
                .build(self.wall_clock(), self.known_network());
            let jobs = built.map_err(|error| StartError::Declared {
                what: format!("{}: {error}", declared.location),
            })?;
            self = self.jobs(&jobs)?;
        }
        for ingress in &module.ingresses {
            self = match ingress {
                Ingress::Http(spec) => {
                    self.largest_body = self.largest_body.max(spec.max_body_bytes);
                    self.ingress(spec.id.clone(), HttpSource::new(spec.clone()))
                }
                Ingress::File(spec) => self.ingress(spec.id.clone(), FileSource::new(spec.clone())),
                Ingress::Playground(spec) => {
                    self.ingress(PlaygroundIngress::ID, PlaygroundSource::new(spec.clone()))
                }
                #[cfg(feature = "kafka")]
                Ingress::Kafka(spec) => {
                    self.ingress(spec.id.clone(), KafkaSource::new(spec.clone()))
                }
                #[cfg(not(feature = "kafka"))]
                Ingress::Kafka(_) => self,
                #[cfg(feature = "kinesis")]
                Ingress::Kinesis(spec) => {
                    let dependencies = self.dependencies();
                    let source = KinesisSource::new(spec.clone(), dependencies);
                    self.ingress(spec.id.clone(), source)
                }
                #[cfg(not(feature = "kinesis"))]
                Ingress::Kinesis(_) => self,
                #[cfg(feature = "mqtt")]
                Ingress::Mqtt(spec) => {
                    let source = MqttSource::new(spec.clone(), self.known_network().clone());
                    self.ingress(spec.id.clone(), source)
                }
                #[cfg(not(feature = "mqtt"))]
                Ingress::Mqtt(_) => self,
                #[cfg(feature = "redis")]
                Ingress::Redis(spec) => {
                    let source = RedisSource::new(spec.clone(), self.known_network().clone());
                    self.ingress(spec.id.clone(), source)
                }
                #[cfg(not(feature = "redis"))]
                Ingress::Redis(_) => self,
            };
        }
        for egress in &module.egresses {
            let name = egress.id.clone();
            self = match &egress.target {
                EgressTarget::Stdout => self.egress(name, StdoutEgress),
                EgressTarget::File(spec) => self.egress(name, FileSink::new(spec)),
                EgressTarget::Playground(spec) => {
                    self.egress(name, PlaygroundSink::new(spec.clone()))
                }
                EgressTarget::Http(spec) => {
                    let pipeline = self.built(&spec.pipeline, &egress.location)?;
                    self.pipeline(&pipeline)?
                        .egress_function(name, pipeline.entry().clone())
                }
                #[cfg(feature = "kafka")]
                EgressTarget::Kafka(spec) => {
                    self.egress(name.clone(), KafkaSink::new(name, spec.clone()))
                }
                #[cfg(not(feature = "kafka"))]
                EgressTarget::Kafka(_) => self,
                #[cfg(feature = "kinesis")]
                EgressTarget::Kinesis(spec) => {
                    let (at, dependencies) = (egress.location.clone(), self.dependencies());
                    let sink = KinesisSink::new(name.clone(), at, spec.clone(), dependencies);
                    self.egress(name, sink)
                }
                #[cfg(not(feature = "kinesis"))]
                EgressTarget::Kinesis(_) => self,
                #[cfg(feature = "mqtt")]
                EgressTarget::Mqtt(spec) => {
                    let sink =
                        MqttSink::new(name.clone(), spec.clone(), self.known_network().clone());
                    self.egress(name, sink)
                }
                #[cfg(not(feature = "mqtt"))]
                EgressTarget::Mqtt(_) => self,
                #[cfg(feature = "redis")]
                EgressTarget::Redis(spec) => {
                    let network = self.known_network().clone();
                    let sink = RedisSink::new(name.clone(), spec.clone(), network);
                    self.egress(name, sink)
                }
                #[cfg(not(feature = "redis"))]
                EgressTarget::Redis(_) => self,
            };
        }
        Ok(self)
    }

    /// Binds the functions of a pipeline.
    ///
    /// # Errors
    /// If two of its functions have the same name.
    pub fn pipeline(mut self, pipeline: &Pipeline) -> Result<Self, StartError> {
        self = self.with_stand_ins();
        let set = FunctionSet::of_pipeline(pipeline, &self.destinations())?;
        Ok(self.function_set(set))
    }

    /// Binds the functions of jobs.
    ///
    /// # Errors
    /// If two of its functions have the same name.
    pub fn jobs(mut self, jobs: &Jobs) -> Result<Self, StartError> {
        self = self.with_stand_ins();
        let parts = jobs.parts().into_iter();
        self.parts.extend(parts.map(|(function, takes)| Part {
            function,
            entry: jobs.events().clone(),
            takes,
        }));
        let mut functions = StatefulFunctions::new();
        for spec in jobs.functions_beside(&self.destinations()) {
            functions = functions.with(spec).map_err(|error| StartError::Declared {
                what: error.to_string(),
            })?;
        }
        let bound = self.shared.get_or_insert_with(BoundJobs::default);
        bound.0.push(jobs.clone());
        for (function, policy) in jobs.policies() {
            let (function, policy) = (function.clone(), policy.clone());
            let work = move |runtime| rearm(runtime, function, policy, String::new());
            self.chores.push(Chore::new(work));
        }
        Ok(self.functions(functions))
    }

    /// What connectors know about the process.
    #[cfg(feature = "kinesis")]
    fn dependencies(&self) -> Dependencies {
        Dependencies {
            environment: self.known_environment().clone(),
            network: self.known_network().clone(),
            clock: self.wall_clock(),
        }
    }

    /// What all pipelines of this runtime know about destinations.
    pub(crate) fn destinations(&mut self) -> Destinations {
        self.shared
            .get_or_insert_with(Destinations::default)
            .clone()
    }

    /// Binds stand-ins for stages that are gone, and counts the deliveries of all stages.
    pub(crate) fn with_stand_ins(mut self) -> Self {
        let (destinations, clock) = (self.destinations(), self.wall_clock());
        if self.watch.is_none() {
            let watch = DeliveryWatch(destinations.clone());
            self.watch = Some(Arc::new(watch));
            let counted = destinations.clone();
            let work = move |runtime| count(runtime, counted);
            self.chores.push(Chore::new(work));
            let known = destinations.clone();
            let work = move |runtime| unpack(runtime, known);
            self.chores.push(Chore::new(work));
        }
        self.stand_ins = Some(StandIns(Arc::new(move |function, declared| {
            stand_in(function, declared, &destinations, &clock)
        })));
        self
    }

    fn built(&self, config: &PipelineConfig, location: &Location) -> Result<Pipeline, StartError> {
        self.declared_pipeline(config.clone())
            .map_err(|error| StartError::Declared {
                what: format!("{location}: {error}"),
            })
    }

    /// The pipeline with the clock and the network of this runtime.
    pub(crate) fn declared_pipeline(
        &self,
        config: PipelineConfig,
    ) -> Result<Pipeline, InvalidPipeline> {
        self.pipeline_parts().built(config)
    }

    /// What pipelines of this runtime are built with.
    pub(crate) fn pipeline_parts(&self) -> PipelineParts {
        PipelineParts {
            clock: self.wall_clock(),
            network: self.known_network().clone(),
        }
    }
}

/// What the pipelines of a runtime are built with, also while it runs.
#[derive(Debug, Clone)]
pub(crate) struct PipelineParts {
    clock: Arc<dyn Clock>,
    network: Network,
}

impl PipelineParts {
    /// The pipeline with the clock and the network of the runtime.
    pub(crate) fn built(&self, config: PipelineConfig) -> Result<Pipeline, InvalidPipeline> {
        Pipeline::declared(config)
            .clock(Arc::clone(&self.clock))
            .network(&self.network)
            .build()
    }
}

impl FunctionSet {
    /// The functions of a pipeline.
    ///
    /// # Errors
    /// If two of them have the same name.
    pub(crate) fn of_pipeline(
        pipeline: &Pipeline,
        destinations: &Destinations,
    ) -> Result<Self, StartError> {
        let mut set = Self::default();
        let entry = pipeline.entry();
        set.records.push((entry.clone(), record));
        let parts = pipeline.parts().into_iter();
        set.parts.extend(parts.map(|(function, takes)| Part {
            function,
            entry: entry.clone(),
            takes,
        }));
        if let Some(entrance) = pipeline.entrance() {
            set.entrances.push((entry.clone(), enter(entrance)));
        }
        let mut functions = StatefulFunctions::new();
        for spec in pipeline.functions_beside(destinations) {
            functions = functions.with(spec).map_err(|error| StartError::Declared {
                what: error.to_string(),
            })?;
        }
        let version = match pipeline.on_change() {
            OnPipelineChange::Resume => String::new(),
            _ => pipeline.version(),
        };
        for (function, policy) in pipeline.policies() {
            let (function, policy) = (function.clone(), policy.clone());
            let version = version.clone();
            let work = move |runtime| rearm(runtime, function, policy, version);
            set.chores.push(Chore::new(work));
        }
        let (known, trimmed) = (destinations.clone(), entry.clone());
        let keepers = pipeline.keepers().cloned().collect();
        let work = move |runtime| trim(runtime, known, trimmed, keepers);
        set.chores.push(Chore::new(work));
        let batches: Vec<_> = pipeline.batches().collect();
        for (function, _) in pipeline.policies() {
            if !batches.iter().any(|(batch, _)| *batch == function) {
                let function = function.clone();
                let work = move |runtime| warn_of_open_batch(runtime, function);
                set.chores.push(Chore::new(work));
            }
        }
        for (function, settings) in batches {
            let function = function.clone();
            let work = move |runtime| regather(runtime, function, settings);
            set.chores.push(Chore::new(work));
        }
        set.functions.push(functions);
        Ok(set)
    }

    /// With the work for stages that are gone once it is bound.
    pub(crate) fn unpacking(mut self, destinations: &Destinations) -> Self {
        let destinations = destinations.clone();
        let work = move |runtime| unpack(runtime, destinations);
        self.chores.push(Chore::new(work));
        self
    }
}

/// How messages enter a pipeline, for the runtime.
fn enter(entrance: Entrance) -> Enter {
    Arc::new(move |target, argument, suits| {
        let typed = TypedBytes::parse(argument.clone()).ok()?;
        let message = Message::new(target.to_address(), typed);
        match entrance(&message, &|address| suits(address.id())) {
            Ok(Some(message)) => {
                let target = AddressKey::from(message.target());
                Some(Entering::As(target, message.typed().raw().clone()))
            }
            Ok(None) => Some(Entering::Ended),
            // The pipeline's function meets the same fault, and tells it.
            Err(_) => None,
        }
    })
}

/// Makes a record of a body, its content type and values, for pipelines, which accept any type.
fn record(content_type: &str, values: &[(&'static str, String)], payload: Bytes) -> Bytes {
    let mut record = Record::new(payload).with_content_type(content_type.to_owned());
    for (key, value) in values {
        record.set_value(key, value.as_str());
    }
    let value = RECORD.encode(&record);
    let value = TypedValue {
        typename: RECORD.name().to_string(),
        has_value: true,
        value: value.expect("a record is written to memory, which grows"),
    };
    value.encode_to_vec().into()
}
