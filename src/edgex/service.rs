//! Binds a service to a runtime.

use super::configuration::{Configuration, Trigger};
use super::custom_trigger::TriggerSource;
use super::publisher;
use super::reload::{Current, Reload};
use super::rest::Rest;
use super::telemetry;
use crate::pipeline::{Destinations, PipelineConfig};
use crate::runtime::assemble::PipelineParts;
use crate::runtime::function_set::FunctionSet;
use crate::runtime::handle::Chore;
use crate::runtime::{RuntimeBuilder, StartError};
use crate::sdk::{StatefulFunctions, TypeName};

/// Under this name operators see the trigger.
pub(super) const TRIGGER: TypeName = TypeName::new("edgex/trigger");

impl RuntimeBuilder {
    /// Binds an application service of EdgeX: its pipelines, its trigger, and its HTTP routes. Call [`network`](Self::network) and
    /// [`clock`](Self::clock) before it.
    ///
    /// # Errors
    /// If a pipeline cannot be built, or a secret of the trigger is not there.
    pub fn edgex(mut self, configuration: &Configuration) -> Result<Self, StartError> {
        self = self.with_stand_ins();
        let parts = self.pipeline_parts();
        let (set, entry) = pipelines_of(configuration, &parts, &self.destinations())?;
        let bound = set.names().cloned().collect();
        self = self.function_set(set);
        let current = Current::new(configuration.clone());
        if let Some(files) = configuration.files().cloned() {
            let reload = Reload::new(files, current.clone(), parts, bound);
            self = self.chore(Chore::new(move |runtime| reload.run(runtime)));
        }
        let largest = configuration.settings.service.max_request_bytes;
        self.largest_body = self.largest_body.max(largest);
        self.services
            .push(Box::new(Rest::new(configuration, current.clone())));
        if configuration.services.bus().is_some() {
            let current = current.clone();
            self = self.chore(Chore::new(move |runtime| {
                telemetry::publish(runtime, current)
            }));
            let functions = StatefulFunctions::new().with(publisher::function());
            self = self.functions(functions.map_err(declared)?);
        }
        let trigger = &configuration.settings.trigger;
        match trigger {
            Trigger::Http => Ok(self),
            Trigger::Custom(name) => {
                let entry = entry.ok_or_else(|| declared("the service has no pipeline"))?;
                let trigger = configuration.application().trigger(name, configuration);
                let trigger = trigger.map_err(|error| {
                    declared(format_args!("trigger `{name}` cannot be made: {error}"))
                })?;
                Ok(self.ingress(TRIGGER, TriggerSource { trigger, entry }))
            }
            #[cfg(feature = "mqtt")]
            Trigger::MessageBus(_) | Trigger::ExternalMqtt(_) => {
                let entry = entry.ok_or_else(|| declared("the service has no pipeline"))?;
                self.triggered_by_mqtt(trigger, configuration, entry)
            }
            #[cfg(not(feature = "mqtt"))]
            Trigger::MessageBus(_) | Trigger::ExternalMqtt(_) => Err(declared(
                "this build has no MQTT client: build with the feature `mqtt`, or set `Trigger.Type: http`",
            )),
        }
    }
}

fn declared(what: impl std::fmt::Display) -> StartError {
    StartError::Declared {
        what: what.to_string(),
    }
}

/// The function by which records enter the default pipeline, if there is one.
pub(super) fn entry_of(configuration: &Configuration) -> Option<TypeName> {
    let default = configuration.pipelines.first()?;
    TypeName::from_parts(default.namespace(), default.name()).ok()
}

/// The functions of the pipelines, and the entry of the default one, if there is one.
pub(super) fn pipelines_of(
    configuration: &Configuration,
    parts: &PipelineParts,
    destinations: &Destinations,
) -> Result<(FunctionSet, Option<TypeName>), StartError> {
    let (mut set, mut entry) = (FunctionSet::default(), None);
    for config in published(configuration) {
        let pipeline = parts.built(config).map_err(declared)?;
        entry.get_or_insert_with(|| pipeline.entry().clone());
        set.add(FunctionSet::of_pipeline(&pipeline, destinations)?);
    }
    Ok((set, entry))
}

/// The pipelines, which publish their responses where the trigger has a topic for them.
fn published(configuration: &Configuration) -> Vec<PipelineConfig> {
    let pipelines = configuration.pipelines.iter().cloned();
    #[cfg(feature = "mqtt")]
    if let Some(answering) = super::mqtt::answering(configuration) {
        return pipelines
            .map(|config| config.with_answering(answering.clone()))
            .collect();
    }
    pipelines.collect()
}
