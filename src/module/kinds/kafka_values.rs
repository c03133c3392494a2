//! The values of Kafka's properties, as Java's client checks them when it is made.

use crate::document::{Complaint, Finding};

use super::properties::Properties;

/// Which client the properties are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    Consumer,
    Producer,
}

/// The type of a property.
#[derive(Debug, Clone, Copy)]
enum PropertyType {
    /// A whole number of 32 bits, not below this.
    Int(i64),
    /// A whole number of 64 bits, not below this.
    Long(i64),
    /// `true` or `false`.
    Bool,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// One of these, in any case.
    AnyCase(&'static [&'static str]),
}

use Client::{Consumer, Producer};
use PropertyType::{AnyCase, Bool, Int, Long, OneOf};

const BOTH: &[Client] = &[Consumer, Producer];
const OF_CONSUMER: &[Client] = &[Consumer];
const OF_PRODUCER: &[Client] = &[Producer];

/// Names in Java's client, their types, and which client has them.
const TYPES: &[(&str, PropertyType, &[Client])] = &[
    ("acks", OneOf(&["all", "-1", "0", "1"]), OF_PRODUCER),
    ("allow.auto.create.topics", Bool, OF_CONSUMER),
    ("auto.commit.interval.ms", Int(0), OF_CONSUMER),
    ("auto.include.jmx.reporter", Bool, BOTH),
    ("batch.size", Int(0), OF_PRODUCER),
    ("buffer.memory", Long(0), OF_PRODUCER),
    ("check.crcs", Bool, OF_CONSUMER),
    (
        "client.dns.lookup",
        OneOf(&[
            "default",
            "use_all_dns_ips",
            "resolve_canonical_bootstrap_servers_only",
        ]),
        BOTH,
    ),
    (
        "compression.type",
        OneOf(&["none", "gzip", "snappy", "lz4", "zstd"]),
        OF_PRODUCER,
    ),
    ("connections.max.idle.ms", Long(-1), BOTH),
    ("default.api.timeout.ms", Int(0), OF_CONSUMER),
    ("delivery.timeout.ms", Int(0), OF_PRODUCER),
    ("enable.auto.commit", Bool, OF_CONSUMER),
    ("enable.idempotence", Bool, OF_PRODUCER),
    ("exclude.internal.topics", Bool, OF_CONSUMER),
    ("fetch.max.bytes", Int(0), OF_CONSUMER),
    ("fetch.max.wait.ms", Int(0), OF_CONSUMER),
    ("fetch.min.bytes", Int(0), OF_CONSUMER),
    (
        "flink.partition-discovery.interval-millis",
        Long(i64::MIN),
        OF_CONSUMER,
    ),
    ("heartbeat.interval.ms", Int(i32::MIN as i64), OF_CONSUMER),
    (
        "isolation.level",
        OneOf(&["read_committed", "read_uncommitted"]),
        OF_CONSUMER,
    ),
    ("linger.ms", Long(0), OF_PRODUCER),
    ("max.block.ms", Long(0), OF_PRODUCER),
    ("max.in.flight.requests.per.connection", Int(1), OF_PRODUCER),
    ("max.partition.fetch.bytes", Int(0), OF_CONSUMER),
    ("max.poll.interval.ms", Int(1), OF_CONSUMER),
    ("max.poll.records", Int(1), OF_CONSUMER),
    ("max.request.size", Int(0), OF_PRODUCER),
    ("metadata.max.age.ms", Long(0), BOTH),
    ("metadata.max.idle.ms", Long(5000), OF_PRODUCER),
    ("metrics.num.samples", Int(1), BOTH),
    ("metrics.sample.window.ms", Long(0), BOTH),
    ("receive.buffer.bytes", Int(-1), BOTH),
    ("reconnect.backoff.max.ms", Long(0), BOTH),
    ("reconnect.backoff.ms", Long(0), BOTH),
    ("request.timeout.ms", Int(0), BOTH),
    ("retries", Int(0), OF_PRODUCER),
    ("retry.backoff.max.ms", Long(0), BOTH),
    ("retry.backoff.ms", Long(0), BOTH),
    (
        "security.protocol",
        AnyCase(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]),
        BOTH,
    ),
    ("send.buffer.bytes", Int(-1), BOTH),
    ("session.timeout.ms", Int(i32::MIN as i64), OF_CONSUMER),
];

/// The properties whose values Java's client refuses.
pub(super) fn faults(properties: &Properties, client: Client) -> Vec<Finding> {
    let faults = properties.iter().filter_map(|(name, value)| {
        let (_, kind, _) = TYPES
            .iter()
            .find(|(known, _, clients)| *known == name && clients.contains(&client))?;
        let why = kind.fault(value.trim())?;
        let text = format!("Invalid value for configuration {name}: {why}");
        Some(properties.finding(name, Complaint::from(text)))
    });
    faults.collect()
}

impl PropertyType {
    /// Why a value is refused.
    fn fault(self, value: &str) -> Option<String> {
        let number = |least: i64, most: i64| {
            let Ok(number) = value.parse::<i64>() else {
                return Some(format!("expected a whole number, found `{value}`"));
            };
            let text = match (number < least, number > most) {
                (true, _) => format!("`{value}` is less than {least}"),
                (_, true) => format!("`{value}` is more than {most}"),
                _ => return None,
            };
            Some(text)
        };
        let one_of = |names: &[&str]| {
            Some(format!(
                "expected one of {}, found `{value}`",
                names.join(", ")
            ))
        };
        match self {
            Int(least) => number(least, i32::MAX.into()),
            Long(least) => number(least, i64::MAX),
            Bool => {
                let is_bool = ["true", "false"]
                    .iter()
                    .any(|word| word.eq_ignore_ascii_case(value));
                (!is_bool).then(|| format!("expected true or false, found `{value}`"))
            }
            OneOf(names) if names.contains(&value) => None,
            AnyCase(names) if names.iter().any(|name| name.eq_ignore_ascii_case(value)) => None,
            OneOf(names) | AnyCase(names) => one_of(names),
        }
    }
}

/// The feature that a client with these properties needs.
pub(super) fn feature(properties: &Properties) -> &'static str {
    let protocol = properties.get("security.protocol").unwrap_or_default();
    let mechanism = properties.get("sasl.mechanism").unwrap_or_default();
    let is_tls = protocol.trim().to_ascii_uppercase().ends_with("SSL");
    match is_tls || mechanism.trim().starts_with("SCRAM") {
        true => "kafka-tls",
        false => "kafka",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_and_refused_as_by_javas_client() {
        for (kind, value, fault) in [
            (Int(0), "7", None),
            (
                Int(0),
                "banana",
                Some("expected a whole number, found `banana`"),
            ),
            (Int(0), "-1", Some("`-1` is less than 0")),
            (
                Int(0),
                "2147483648",
                Some("`2147483648` is more than 2147483647"),
            ),
            (Long(0), "2147483648", None),
            (Int(0), "1.5", Some("expected a whole number, found `1.5`")),
            (Bool, "TRUE", None),
            (Bool, "yes", Some("expected true or false, found `yes`")),
            (OneOf(&["all", "1"]), "1", None),
            (
                OneOf(&["all", "1"]),
                "ALL",
                Some("expected one of all, 1, found `ALL`"),
            ),
            (AnyCase(&["SSL"]), "ssl", None),
        ] {
            assert_eq!(kind.fault(value).as_deref(), fault, "{kind:?} {value}");
        }
    }
}
