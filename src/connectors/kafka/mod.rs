//! Apache Kafka: `io.statefun.kafka.v1/ingress` and `io.statefun.kafka.v1/egress`, exactly once.
//!
//! `properties` translates the settings of Java's client, `client` is what both directions share. Offsets are stored with the state, and
//! the outbox position with the records, so a record takes effect once whatever is killed (`docs/connectors.md`, `docs/kafka.md`).

mod client;
mod commits;
mod consumer;
mod egress;
mod ingress;
mod jaas;
mod producer;
mod properties;
mod record;
mod split;
mod start;
mod topics;
mod transaction;

pub(crate) use self::egress::KafkaSink;
pub(crate) use self::ingress::KafkaSource;

use self::client::Settings;
use self::consumer::Reading;
use crate::module::{Complaint, Finding, KafkaEgress, KafkaIngress, Location, Properties};
use crate::sdk::{BoxError, TypeName};

/// The properties of an ingress that have no effect.
pub(crate) fn idle_of_ingress(spec: &KafkaIngress) -> Vec<Finding> {
    let settings = Reading::of(spec).map(|reading| reading.settings);
    idle(settings, &spec.properties, &spec.location)
}

/// The properties of an egress that have no effect.
pub(crate) fn idle_of_egress(id: &TypeName, at: &Location, spec: &KafkaEgress) -> Vec<Finding> {
    idle(producer::settings(id, spec), &spec.properties, at)
}

/// Values that the client refuses stop the start, which names them.
fn idle(
    settings: Result<Settings, BoxError>,
    properties: &Properties,
    document: &Location,
) -> Vec<Finding> {
    let settings = settings.ok();
    let ignored = settings.iter().flat_map(Settings::ignored);
    let findings = ignored.map(|ignored| {
        let text = format!("`{}` has no effect: {}", ignored.name, ignored.why);
        properties.finding(&ignored.name, document, Complaint::from(text))
    });
    findings.collect()
}
