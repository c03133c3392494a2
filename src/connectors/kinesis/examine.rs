//! The documents of Kinesis as `statefun check` and the start see them.

use std::sync::Arc;

use async_trait::async_trait;

use super::client::Lazy;
use super::inquiry;
use super::settings::{Dependencies, Invalid, InvalidProperties, Reading, Settings, Writing};
use crate::clock::SystemClock;
use crate::module::{KinesisEgress, KinesisIngress, Properties};
use crate::runtime::{Asking, ConnectorFindings, Examine, SystemAnswer};

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

    async fn ask(&self, asking: &Asking) -> Vec<SystemAnswer> {
        let Self(spec) = self;
        match Reading::of(spec) {
            Ok(reading) => {
                let client = client(reading.settings, asking);
                inquiry::of_ingress(spec, &client, asking.patience).await
            }
            Err(_) => Vec::new(),
        }
    }
}

#[async_trait]
impl Examine for EgressExamined<'_> {
    fn findings(&self) -> ConnectorFindings {
        let Self(spec) = self;
        let settings = Writing::of(spec).map(|writing| writing.settings);
        of_settings(settings, &spec.client_properties)
    }

    async fn ask(&self, asking: &Asking) -> Vec<SystemAnswer> {
        let Self(spec) = self;
        match Writing::of(spec) {
            Ok(writing) => {
                let client = client(writing.settings, asking);
                inquiry::of_egress(spec, &client, asking.patience).await
            }
            Err(_) => Vec::new(),
        }
    }
}

/// A client of the process that asks.
fn client(settings: Settings, asking: &Asking) -> Lazy {
    let dependencies = Dependencies {
        environment: asking.environment.clone(),
        network: asking.network.clone(),
        clock: Arc::new(SystemClock),
    };
    Lazy::new(settings, dependencies)
}

/// Properties with invalid values, and those without effect.
fn of_settings(
    settings: Result<Settings, InvalidProperties>,
    properties: &Properties,
) -> ConnectorFindings {
    let mut found = ConnectorFindings::default();
    match settings {
        Ok(settings) => found.warnings = settings.idle(properties),
        Err(InvalidProperties(all)) => {
            let faults = all.into_iter();
            found.faults = faults
                .map(|Invalid { name, why }| properties.finding(&name, why))
                .collect();
        }
    }
    found
}
