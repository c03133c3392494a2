//! The documents of Kinesis as `statefun check` and the start see them.

use async_trait::async_trait;

use super::settings::{Invalid, Reading, Settings, Writing};
use crate::module::{KinesisEgress, KinesisIngress, Properties};
use crate::runtime::{ConnectorFindings, Examine};

/// An ingress.
pub(crate) struct IngressExamined<'a>(pub(crate) &'a KinesisIngress);

/// An egress.
pub(crate) struct EgressExamined<'a>(pub(crate) &'a KinesisEgress);

#[async_trait]
impl Examine for IngressExamined<'_> {
    fn findings(&self) -> ConnectorFindings {
        let Self(spec) = self;
        let settings = Reading::of(spec).map(|reading| reading.settings);
        of_settings(settings, &spec.client_properties)
    }
}

#[async_trait]
impl Examine for EgressExamined<'_> {
    fn findings(&self) -> ConnectorFindings {
        let Self(spec) = self;
        let settings = Writing::of(spec).map(|writing| writing.settings);
        of_settings(settings, &spec.client_properties)
    }
}

/// Properties with invalid values, and those without effect.
fn of_settings(settings: Result<Settings, Invalid>, properties: &Properties) -> ConnectorFindings {
    let mut found = ConnectorFindings::default();
    match settings {
        Ok(settings) => found.warnings = settings.idle(properties),
        Err(Invalid { name, why }) => found.faults.push(properties.finding(&name, why)),
    }
    found
}
