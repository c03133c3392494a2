//! Binds a service to a runtime.

use super::configuration::{Configuration, Trigger};
use super::rest::Rest;
use crate::pipeline::PipelineConfig;
use crate::runtime::{RuntimeBuilder, StartError};

impl RuntimeBuilder {
    /// Binds an application service of EdgeX: its pipelines, its trigger, and its HTTP routes. Call [`network`](Self::network) and
    /// [`clock`](Self::clock) before it.
    ///
    /// # Errors
    /// If a pipeline cannot be built, or a secret of the trigger is not there.
    pub fn edgex(mut self, configuration: &Configuration) -> Result<Self, StartError> {
        let mut entry = None;
        for config in published(configuration) {
            let pipeline = self.declared_pipeline(config).map_err(declared)?;
            entry.get_or_insert_with(|| pipeline.entry().clone());
            self = self.pipeline(&pipeline)?;
        }
        let largest = configuration.settings.service.max_request_bytes;
        self.largest_body = self.largest_body.max(largest);
        self.services
            .push(Box::new(Rest::new(configuration, entry.clone())));
        match &configuration.settings.trigger {
            Trigger::Http => Ok(self),
            #[cfg(feature = "mqtt")]
            trigger => {
                let entry = entry.ok_or_else(|| declared("the service has no pipeline"))?;
                self.triggered_by_mqtt(trigger, configuration, entry)
            }
            #[cfg(not(feature = "mqtt"))]
            _ => Err(declared(
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
