//! Translates the settings of Java's client, which module files use, to those of librdkafka.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::jaas;
use crate::module::Properties;

/// Which client the settings are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Consumer,
    Producer,
}

/// The translated settings of a module file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Translated {
    /// Settings for librdkafka, by name.
    pub(super) settings: BTreeMap<String, String>,
    /// The names in the module file of those that have another one there.
    pub(super) given_as: BTreeMap<String, String>,
    /// Settings that no client can use, with the reason.
    pub(super) refused: Vec<Refused>,
    /// Settings without an effect.
    pub(super) ignored: Vec<Ignored>,
    /// `max.poll.records`: the most records of a batch.
    pub(super) max_poll_records: Option<usize>,
    /// `flink.partition-discovery.interval-millis`: the interval of checks for new partitions.
    pub(super) discovery: Option<Duration>,
}

/// A setting that has no effect, or another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ignored {
    pub(super) name: String,
    /// What operators read about it.
    pub(super) told: String,
}

impl Ignored {
    pub(super) fn new(name: &str, why: &str) -> Self {
        let told = format!("`{name}` has no effect: {why}");
        let name = name.to_owned();
        Self { name, told }
    }
}

/// A setting that the client refuses, or several that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    /// Its name in the module file; `None` for several.
    pub(super) name: Option<String>,
    pub(super) why: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "property `{name}`: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

/// Settings with another name in librdkafka.
const RENAMED: &[(Direction, &str, &str)] = &[
    (
        Direction::Consumer,
        "fetch.max.wait.ms",
        "fetch.wait.max.ms",
    ),
    (
        Direction::Consumer,
        "request.timeout.ms",
        "socket.timeout.ms",
    ),
    (Direction::Producer, "max.request.size", "message.max.bytes"),
    (
        Direction::Producer,
        "compression.gzip.level",
        "compression.level",
    ),
    (
        Direction::Producer,
        "compression.lz4.level",
        "compression.level",
    ),
    (
        Direction::Producer,
        "compression.zstd.level",
        "compression.level",
    ),
];

/// The mechanisms of SASL that the client has.
const MECHANISMS: &[&str] = &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

pub(super) const NO_COUNTERPART: &str = "it has no counterpart here";
const NO_MEMBER: &str = "the ingress assigns partitions itself and is not a member of its group";
const BY_POSITION: &str = "offsets are committed once they are durable";
const OF_JAVA: &str = "it names or configures Java classes";

/// Java's settings that have no effect here.
const IGNORED: &[(&str, &str)] = &[
    ("auto.commit.interval.ms", BY_POSITION),
    ("auto.include.jmx.reporter", OF_JAVA),
    (
        "auto.offset.reset",
        "the field autoOffsetResetPosition takes precedence",
    ),
    ("default.api.timeout.ms", NO_COUNTERPART),
    ("enable.auto.commit", BY_POSITION),
    ("exclude.internal.topics", NO_COUNTERPART),
    ("group.instance.id", NO_MEMBER),
    ("group.protocol", NO_MEMBER),
    ("group.remote.assignor", NO_MEMBER),
    ("heartbeat.interval.ms", NO_MEMBER),
    ("interceptor.classes", OF_JAVA),
    ("key.deserializer", OF_JAVA),
    ("key.serializer", OF_JAVA),
    ("max.block.ms", NO_COUNTERPART),
    ("max.poll.interval.ms", NO_MEMBER),
    ("metadata.max.idle.ms", NO_COUNTERPART),
    ("metric.reporters", OF_JAVA),
    ("metrics.num.samples", OF_JAVA),
    ("metrics.recording.level", OF_JAVA),
    ("metrics.sample.window.ms", OF_JAVA),
    ("partition.assignment.strategy", NO_MEMBER),
    ("partitioner.adaptive.partitioning.enable", NO_COUNTERPART),
    ("partitioner.availability.timeout.ms", NO_COUNTERPART),
    ("security.providers", OF_JAVA),
    ("session.timeout.ms", NO_MEMBER),
    ("ssl.enabled.protocols", NO_COUNTERPART),
    ("ssl.engine.factory.class", OF_JAVA),
    ("ssl.keymanager.algorithm", OF_JAVA),
    ("ssl.protocol", NO_COUNTERPART),
    ("ssl.provider", OF_JAVA),
    ("ssl.secure.random.implementation", OF_JAVA),
    ("ssl.trustmanager.algorithm", OF_JAVA),
    ("value.deserializer", OF_JAVA),
    ("value.serializer", OF_JAVA),
];

/// Fields of the document, which take precedence over properties of the same name.
const FIELDS: &[&str] = &["bootstrap.servers", "group.id", "transaction.timeout.ms"];

/// Translates `properties` for librdkafka. Names that Java does not have are passed on as librdkafka's own.
pub(super) fn translate(properties: &Properties, direction: Direction) -> Translated {
    let mut all = Translated::default();
    for (name, value) in properties.iter() {
        if FIELDS.contains(&name) {
            continue;
        }
        // As Java's client does.
        one(&mut all, direction, name, value.trim());
    }
    stores(&mut all, properties);
    mechanism(&mut all, properties);
    bounds(&mut all.settings);
    all
}

fn one(all: &mut Translated, direction: Direction, name: &str, value: &str) {
    if let Some((_, why)) = IGNORED.iter().find(|(ignored, _)| *ignored == name) {
        return all.ignore(name, why);
    }
    let renamed = RENAMED.iter();
    let mut renamed = renamed.filter(|(of, java, _)| *of == direction && *java == name);
    if let Some((_, _, native)) = renamed.next() {
        return all.set_as(name, native, value);
    }
    match name {
        // A value that is not a number is a fault of the document.
        "max.poll.records" => all.max_poll_records = value.parse().ok(),
        "flink.partition-discovery.interval-millis" => match value.parse::<i64>() {
            Ok(millis) if millis > 0 => {
                all.discovery = Some(Duration::from_millis(millis.unsigned_abs()));
            }
            _ => all.ignore(name, "checks for new partitions cannot be switched off"),
        },
        _ if name.starts_with("flink.") => all.ignore(name, NO_COUNTERPART),
        "receive.buffer.bytes" => {
            all.set_as(name, "socket.receive.buffer.bytes", os_default(value))
        }
        "send.buffer.bytes" => all.set_as(name, "socket.send.buffer.bytes", os_default(value)),
        "buffer.memory" => {
            let kbytes = value.parse::<u64>().map(|bytes| (bytes / 1024).max(1));
            let kbytes = kbytes.map_or_else(|_| value.to_owned(), |kbytes| kbytes.to_string());
            all.set_as(name, "queue.buffering.max.kbytes", kbytes);
        }
        // Java: never.
        "connections.max.idle.ms" if value == "-1" => all.set(name, "0"),
        // Java: all addresses, or the first one; librdkafka has all.
        "client.dns.lookup" if value == "default" => {}
        "security.protocol" => all.set(name, value.to_ascii_lowercase()),
        "sasl.mechanism" if !MECHANISMS.contains(&value) => {
            let why = format!("this client has the mechanisms {}", MECHANISMS.join(", "));
            all.refuse(name, why);
        }
        "sasl.mechanism" => all.set_as(name, "sasl.mechanisms", value),
        "sasl.jaas.config" => match jaas::credentials(value) {
            Some((user, password)) => {
                all.set_as(name, "sasl.username", user);
                all.set_as(name, "sasl.password", password);
            }
            None => all.refuse(name, jaas::EXPECTED),
        },
        "ssl.endpoint.identification.algorithm" => {
            let algorithm = match value {
                "" => "none".to_owned(),
                algorithm => algorithm.to_ascii_lowercase(),
            };
            all.set(name, algorithm);
        }
        "ssl.cipher.suites" => all.set(name, value.replace(',', ":")),
        "partitioner.class" => match value.rsplit('.').next() {
            Some("DefaultPartitioner" | "UniformStickyPartitioner") => {}
            _ => all.ignore(
                name,
                "records go to the partitions of Java's default partitioner",
            ),
        },
        "partitioner.ignore.keys" => {
            if value.eq_ignore_ascii_case("true") {
                all.set_as(name, "partitioner", "random");
            }
        }
        // Both are read together below.
        _ if name.starts_with("ssl.truststore.") || name.starts_with("ssl.keystore.") => {}
        _ => all.set(name, value),
    }
}

/// Keys and certificate authorities: PEM, in a file or inline; PKCS#12 for the key.
fn stores(all: &mut Translated, properties: &Properties) {
    let get = |name| properties.get(name).map(str::trim);
    let is = |name, kind: &str| {
        let given = get(name).unwrap_or("JKS");
        given.eq_ignore_ascii_case(kind)
    };
    if let Some(certificates) = get("ssl.truststore.certificates") {
        all.set_as("ssl.truststore.certificates", "ssl.ca.pem", certificates);
    }
    if let Some(file) = get("ssl.truststore.location") {
        if is("ssl.truststore.type", "PEM") {
            all.set_as("ssl.truststore.location", "ssl.ca.location", file);
        } else {
            all.ignore(
                "ssl.truststore.location",
                "authorities are read from PEM; convert the file, and give ssl.truststore.type: PEM",
            );
        }
    }
    if let Some(chain) = get("ssl.keystore.certificate.chain") {
        all.set_as(
            "ssl.keystore.certificate.chain",
            "ssl.certificate.pem",
            chain,
        );
    }
    if let Some(key) = get("ssl.keystore.key") {
        all.set_as("ssl.keystore.key", "ssl.key.pem", key);
    }
    let Some(file) = get("ssl.keystore.location") else {
        return;
    };
    if is("ssl.keystore.type", "PEM") {
        all.set_as("ssl.keystore.location", "ssl.certificate.location", file);
        all.set_as("ssl.keystore.location", "ssl.key.location", file);
    } else if is("ssl.keystore.type", "PKCS12") {
        all.set("ssl.keystore.location", file);
        if let Some(password) = get("ssl.keystore.password") {
            all.set("ssl.keystore.password", password);
        }
    } else {
        all.ignore(
            "ssl.keystore.location",
            "keys are read from PKCS#12 or PEM; convert the file, and give ssl.keystore.type",
        );
    }
}

/// SASL needs a mechanism: Java's default is Kerberos.
fn mechanism(all: &mut Translated, properties: &Properties) {
    const PROTOCOL: &str = "security.protocol";
    let protocol = properties.get(PROTOCOL).unwrap_or_default().trim();
    let is_sasl = protocol.to_ascii_uppercase().starts_with("SASL");
    let is_given = ["sasl.mechanism", "sasl.mechanisms"]
        .iter()
        .any(|name| properties.get(name).is_some());
    if is_sasl && !is_given {
        let why = format!(
            "it needs the property `sasl.mechanism` with one of {}; the default, GSSAPI, is not in this client",
            MECHANISMS.join(", ")
        );
        all.refuse(PROTOCOL, why);
    }
}

/// Limits that depend on each other in librdkafka, but not in Java.
fn bounds(settings: &mut BTreeMap<String, String>) {
    const LARGEST_ANSWER: u64 = 100_000_000;
    const LARGEST_RECORD: u64 = 1_000_000;
    let number = |name: &str| {
        settings
            .get(name)
            .and_then(|value| value.parse::<u64>().ok())
    };
    let Some(fetch) = number("fetch.max.bytes") else {
        return;
    };
    let answer = number("receive.message.max.bytes").unwrap_or(LARGEST_ANSWER);
    let record = number("message.max.bytes").unwrap_or(LARGEST_RECORD);
    if answer < fetch + 512 {
        settings.insert(
            "receive.message.max.bytes".to_owned(),
            (fetch + 512).to_string(),
        );
    }
    if record > fetch {
        settings.insert("message.max.bytes".to_owned(), fetch.max(1_000).to_string());
    }
}

/// Java's -1 leaves the size to the system, as librdkafka's 0 does.
fn os_default(value: &str) -> &str {
    match value {
        "-1" => "0",
        given => given,
    }
}

impl Translated {
    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.settings.insert(name.to_owned(), value.into());
    }

    /// Sets `name`, which the module file calls `given`.
    fn set_as(&mut self, given: &str, name: &str, value: impl Into<String>) {
        self.given_as.insert(name.to_owned(), given.to_owned());
        self.set(name, value);
    }

    fn refuse(&mut self, name: &str, why: impl Into<String>) {
        let (name, why) = (Some(name.to_owned()), why.into());
        self.refused.push(Refused { name, why });
    }

    /// Notes that a setting has no effect.
    pub(super) fn ignore(&mut self, name: &str, why: &str) {
        self.ignored.push(Ignored::new(name, why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(direction: Direction, pairs: &[(&str, &str)]) -> Translated {
        translate(&Properties::of_tests(pairs), direction)
    }

    fn settings(direction: Direction, pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        translated(direction, pairs).settings.into_iter().collect()
    }

    #[test]
    fn names_of_java_become_those_of_librdkafka() {
        for (direction, java, native) in [
            (
                Direction::Consumer,
                ("fetch.max.wait.ms", "7"),
                ("fetch.wait.max.ms", "7"),
            ),
            (
                Direction::Consumer,
                ("request.timeout.ms", "7"),
                ("socket.timeout.ms", "7"),
            ),
            (
                Direction::Producer,
                ("request.timeout.ms", "7"),
                ("request.timeout.ms", "7"),
            ),
            (
                Direction::Producer,
                ("max.request.size", "7"),
                ("message.max.bytes", "7"),
            ),
            (
                Direction::Producer,
                ("buffer.memory", "33554432"),
                ("queue.buffering.max.kbytes", "32768"),
            ),
            (
                Direction::Producer,
                ("receive.buffer.bytes", "-1"),
                ("socket.receive.buffer.bytes", "0"),
            ),
            (
                Direction::Consumer,
                ("security.protocol", "SASL_SSL"),
                ("security.protocol", "sasl_ssl"),
            ),
            (
                Direction::Consumer,
                ("sasl.mechanism", "PLAIN"),
                ("sasl.mechanisms", "PLAIN"),
            ),
            (
                Direction::Consumer,
                ("isolation.level", "read_committed"),
                ("isolation.level", "read_committed"),
            ),
            (
                Direction::Producer,
                ("linger.ms", "20"),
                ("linger.ms", "20"),
            ),
        ] {
            let native = vec![(native.0.to_owned(), native.1.to_owned())];
            assert_eq!(settings(direction, &[java]), native, "{java:?}");
        }
    }

    #[test]
    fn what_has_no_effect_is_named_and_fields_are_not() {
        let all = translated(
            Direction::Consumer,
            &[
                ("bootstrap.servers", "a:1"),
                ("group.id", "g"),
                ("enable.auto.commit", "true"),
                ("max.poll.records", "50"),
                ("flink.partition-discovery.interval-millis", "100"),
            ],
        );
        let names: Vec<_> = all.ignored.iter().map(|ignored| &*ignored.name).collect();
        assert_eq!(names, ["enable.auto.commit"]);
        assert_eq!(all.settings, BTreeMap::new());
        assert_eq!(all.max_poll_records, Some(50));
        assert_eq!(all.discovery, Some(Duration::from_millis(100)));
    }

    #[test]
    fn stores_of_java_are_taken_where_they_are_pem_or_pkcs12() {
        let pem = settings(
            Direction::Consumer,
            &[
                ("ssl.truststore.type", "PEM"),
                ("ssl.truststore.location", "ca.pem"),
            ],
        );
        assert_eq!(pem, [("ssl.ca.location".to_owned(), "ca.pem".to_owned())]);
        let pkcs12 = settings(
            Direction::Consumer,
            &[
                ("ssl.keystore.type", "pkcs12"),
                ("ssl.keystore.location", "k.p12"),
                ("ssl.keystore.password", "s"),
            ],
        );
        assert_eq!(
            pkcs12,
            [
                ("ssl.keystore.location".to_owned(), "k.p12".to_owned()),
                ("ssl.keystore.password".to_owned(), "s".to_owned())
            ]
        );
        let jks = translated(
            Direction::Consumer,
            &[("ssl.truststore.location", "ca.jks")],
        );
        assert_eq!(jks.ignored.len(), 1);
    }

    #[test]
    fn bounds_that_hang_on_each_other_follow() {
        let large = settings(Direction::Consumer, &[("fetch.max.bytes", "200000000")]);
        assert!(large.contains(&(
            "receive.message.max.bytes".to_owned(),
            "200000512".to_owned()
        )));
        let small = settings(Direction::Consumer, &[("fetch.max.bytes", "5000")]);
        assert!(small.contains(&("message.max.bytes".to_owned(), "5000".to_owned())));
    }
}
