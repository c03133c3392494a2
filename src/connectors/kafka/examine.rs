//! The documents of Kafka as `statefun check` and the start see them.

use async_trait::async_trait;

use super::client::{Refusals, Settings};
use super::consumer::Reading;
use super::inquiry;
use super::producer;
use crate::module::{Finding, KafkaEgress, KafkaIngress, Places, Properties};
use crate::runtime::{Asking, ConnectorFindings, Examine, SystemAnswer};
use crate::sdk::TypeName;

/// An ingress.
pub(crate) struct IngressExamined<'a>(pub(crate) &'a KafkaIngress);

/// An egress and its name.
pub(crate) struct EgressExamined<'a>(pub(crate) &'a TypeName, pub(crate) &'a KafkaEgress);

#[async_trait]
impl Examine for IngressExamined<'_> {
    fn findings(&self) -> ConnectorFindings {
        let Self(spec) = self;
        let settings = Reading::of(spec).map(|reading| reading.settings);
        of_settings(settings, &spec.properties, &spec.places, spec.faults())
    }

    async fn ask(&self, asking: &Asking) -> Vec<SystemAnswer> {
        match Reading::of(self.0) {
            Ok(reading) => inquiry::of_ingress(self.0.clone(), reading, asking.patience).await,
            Err(_) => Vec::new(),
        }
    }
}

#[async_trait]
impl Examine for EgressExamined<'_> {
    fn findings(&self) -> ConnectorFindings {
        let Self(id, spec) = self;
        let settings = producer::settings(id, spec);
        let mut found = of_settings(settings, &spec.properties, &spec.places, spec.faults());
        found.warnings.extend(spec.warnings());
        found
    }

    async fn ask(&self, asking: &Asking) -> Vec<SystemAnswer> {
        match producer::settings(self.0, self.1) {
            Ok(settings) => inquiry::of_egress(self.1.clone(), settings, asking.patience).await,
            Err(_) => Vec::new(),
        }
    }
}

/// What the client says of its settings, in addition to the faults of the document's values.
fn of_settings(
    settings: Result<Settings, Refusals>,
    properties: &Properties,
    places: &Places,
    faults: Vec<Finding>,
) -> ConnectorFindings {
    let mut found = ConnectorFindings::of_faults(faults);
    match settings {
        Ok(settings) => {
            let ignored = settings.ignored().iter();
            let ignored = ignored.map(|one| properties.finding(&one.name, one.told.as_str()));
            found.warnings.extend(ignored);
        }
        Err(Refusals(refused)) => {
            for one in refused {
                let finding = match &one.name {
                    Some(name) => properties.finding(name, one.why),
                    None => places.finding("", one.why),
                };
                // A value that Java's client refuses, too, is reported once.
                let is_known = |fault: &Finding| {
                    (&fault.location, &fault.path) == (&finding.location, &finding.path)
                };
                if !found.faults.iter().any(is_known) {
                    found.faults.push(finding);
                }
            }
        }
    }
    found
}
