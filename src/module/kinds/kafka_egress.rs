//! `io.statefun.kafka.v1/egress`: records to topics, which functions name in each record.

use std::time::Duration;

use crate::document::{Complaint, Fields};

use super::super::draft::{Binding, Draft};
use super::super::{Egress, EgressTarget, coerce};
use super::properties::{self, Properties};
use super::{Spec, needs_connector};

pub(super) const KIND: &str = "io.statefun.kafka.v1/egress";
pub(super) const INSTEAD: &str = "give its id to a statefun.stdout.v1/egress or statefun.file.v1/egress, which shows its records";

/// Writes records to Kafka topics.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KafkaEgress {
    /// `host:port`, or several with commas.
    pub address: String,
    /// What happens to records when the runtime fails. Default at least once.
    pub delivery_semantic: DeliverySemantic,
    /// Further settings of the producer; the fields above go before them.
    pub properties: Properties,
}

impl KafkaEgress {
    #[cfg(all(test, feature = "kafka"))]
    pub(crate) fn of_tests(delivery_semantic: DeliverySemantic, properties: Properties) -> Self {
        Self {
            address: "localhost:9092".to_owned(),
            delivery_semantic,
            properties,
        }
    }
}

/// What happens to records when the runtime fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliverySemantic {
    /// They may be lost or written again.
    None,
    /// They may be written again.
    AtLeastOnce,
    /// They are written in transactions.
    ExactlyOnce {
        /// How long a transaction may stay open; above zero.
        transaction_timeout: Duration,
    },
}

pub(super) fn read(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let fields = spec.fields;
    let id = coerce::name(&fields, "id");
    let address = fields.needed("address", coerce::text);
    let semantic = read_semantic(&fields);
    let properties = properties::read(&fields, "properties");
    let (location, at) = (fields.location().clone(), fields.at());
    if let (Some(id), false) = (&id, cfg!(feature = "kafka")) {
        let instead = format!("build with the feature `kafka`, {INSTEAD}");
        needs_connector(KIND, id, &fields, &instead, draft);
    }
    fields.finish();
    let (Some(id), Some(address)) = (id, address) else {
        return;
    };
    draft.bind(Binding::Egress(id.clone()), at);
    draft.module.egresses.push(Egress {
        location,
        id,
        target: EgressTarget::Kafka(KafkaEgress {
            address,
            delivery_semantic: semantic.unwrap_or(DeliverySemantic::AtLeastOnce),
            properties,
        }),
    });
}

fn read_semantic(fields: &Fields<'_>) -> Option<DeliverySemantic> {
    let semantic = coerce::mapping_at(fields, "deliverySemantic")?;
    let kind = coerce::text_of_any(&semantic, "type")?;
    let read = match kind.as_str() {
        "at-least-once" => Some(DeliverySemantic::AtLeastOnce),
        "none" => Some(DeliverySemantic::None),
        "exactly-once" => transaction_timeout(&semantic).map(|transaction_timeout| {
            DeliverySemantic::ExactlyOnce {
                transaction_timeout,
            }
        }),
        other => {
            let text = format!(
                "Invalid delivery semantic type: {other}; valid types are [at-least-once, exactly-once, none]"
            );
            semantic.fault("type", text);
            None
        }
    };
    // They count for one of the types only, and are no slips of the pen with the others.
    let _ = (
        semantic.given("transactionTimeout"),
        semantic.given("transactionTimeoutMillis"),
    );
    semantic.finish();
    read
}

/// The old field goes before the new one.
fn transaction_timeout(fields: &Fields<'_>) -> Option<Duration> {
    let checked = |timeout: Option<Duration>| {
        timeout.filter(|timeout| !timeout.is_zero()).ok_or_else(|| {
            Complaint::with_remedy(
                "Transaction timeout durations must be larger than 0 when using exactly-once producer semantics.",
                "write transactionTimeout: 15min, for instance",
            )
        })
    };
    if fields.has("transactionTimeoutMillis") {
        return fields.value("transactionTimeoutMillis", |node| {
            let millis = u64::try_from(coerce::long(node)).ok();
            checked(millis.map(Duration::from_millis))
        });
    }
    fields.needed("transactionTimeout", |node| {
        checked(Some(coerce::duration_of(&coerce::as_text(node))?))
    })
}
