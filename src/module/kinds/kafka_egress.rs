//! `io.statefun.kafka.v1/egress`: records to topics, which functions name in each record.

use std::time::Duration;

use crate::document::{Complaint, Fields, Finding};
use crate::sdk::TypeName;

use super::super::draft::{Binding, Draft};
use super::super::{Egress, EgressTarget, coerce};
use super::kafka_values::{self, Client};
use super::places::Places;
use super::properties::{self, Properties};
use super::{Spec, kafka_servers, needs_connector};

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
    /// The locations of its fields.
    pub places: Places,
}

/// The longest timeout in milliseconds that Kafka's clients can hold.
const LONGEST_TIMEOUT: u128 = i32::MAX as u128;
/// The default of the brokers' `transaction.max.timeout.ms`.
const BROKERS_LONGEST: Duration = Duration::from_secs(15 * 60);

impl KafkaEgress {
    /// What Kafka's clients refuse about the values, without asking a cluster.
    pub fn faults(&self) -> Vec<Finding> {
        let mut faults = kafka_servers::faults(&self.address, &self.places);
        faults.extend(kafka_values::faults(&self.properties, Client::Producer));
        if let DeliverySemantic::ExactlyOnce {
            transaction_timeout,
        } = self.delivery_semantic
            && transaction_timeout.as_millis() > LONGEST_TIMEOUT
        {
            let complaint = Complaint::with_remedy(
                format!(
                    "the transaction timeout is longer than {LONGEST_TIMEOUT} ms, the most that Kafka's clients accept"
                ),
                "write transactionTimeout: 15min, for instance",
            );
            faults.push(self.places.finding(TIMEOUT, complaint));
        }
        faults
    }

    /// The `transactional.id` of the egress `id`; `None` unless it delivers exactly once.
    pub(crate) fn transactional_id(&self, id: &TypeName) -> Option<String> {
        let DeliverySemantic::ExactlyOnce { .. } = self.delivery_semantic else {
            return None;
        };
        let named = self.properties.get("transactional.id").map(str::to_owned);
        Some(named.unwrap_or_else(|| format!("statefun-{id}")))
    }

    /// What a cluster with default settings refuses.
    pub fn warnings(&self) -> Vec<Finding> {
        let DeliverySemantic::ExactlyOnce {
            transaction_timeout,
        } = self.delivery_semantic
        else {
            return Vec::new();
        };
        let is_long = transaction_timeout > BROKERS_LONGEST
            && transaction_timeout.as_millis() <= LONGEST_TIMEOUT;
        let complaint = Complaint::with_remedy(
            "the transaction timeout is longer than 15 minutes, the default of the brokers' transaction.max.timeout.ms: they refuse the egress unless that is raised",
            "shorten it, or raise transaction.max.timeout.ms at the brokers",
        );
        let warning = is_long.then(|| self.places.finding(TIMEOUT, complaint));
        warning.into_iter().collect()
    }

    #[cfg(all(test, feature = "kafka"))]
    pub(crate) fn of_tests(delivery_semantic: DeliverySemantic, properties: Properties) -> Self {
        Self {
            address: "localhost:9092".to_owned(),
            delivery_semantic,
            properties,
            places: Places::default(),
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
    let mut places = Places::of(&fields);
    places.note(&fields, "address");
    places.note(&fields, "deliverySemantic");
    let semantic = read_semantic(&fields, &mut places);
    let properties = properties::read(&fields, "properties");
    let (location, at) = (fields.location().clone(), fields.at());
    if let (Some(id), false) = (&id, cfg!(feature = "kafka")) {
        let feature = kafka_values::feature(&properties);
        let instead = format!("build with the feature `{feature}`, {INSTEAD}");
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
            places,
        }),
    });
}

/// The key of the timeout among the places.
const TIMEOUT: &str = "transactionTimeout";

fn read_semantic(fields: &Fields<'_>, places: &mut Places) -> Option<DeliverySemantic> {
    let semantic = coerce::mapping_at(fields, "deliverySemantic")?;
    for key in [TIMEOUT, "transactionTimeoutMillis"] {
        if semantic.has(key) {
            let Finding { location, path, .. } = semantic.finding(key, "");
            places.put(TIMEOUT, location, path);
        }
    }
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
    // They have an effect with one of the types only, and are not mistakes with the others.
    let _ = (
        semantic.given("transactionTimeout"),
        semantic.given("transactionTimeoutMillis"),
    );
    semantic.finish();
    read
}

/// The old field overrides the new one.
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
