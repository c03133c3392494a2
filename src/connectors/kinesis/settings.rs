//! The settings of an ingress and an egress: fields and properties of their documents.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::service_url::service_url;
use crate::clock::Clock;
use crate::module::{
    AwsCredentials, AwsRegion, Finding, KinesisEgress, KinesisIngress, Properties,
};
use crate::runtime::Environment;
use crate::transport::http::client::Network;

/// The process around a connector.
#[derive(Debug, Clone)]
pub(crate) struct Dependencies {
    pub(crate) environment: Environment,
    pub(crate) network: Network,
    pub(crate) clock: Arc<dyn Clock>,
}

/// The settings of a client.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) region: AwsRegion,
    pub(super) credentials: AwsCredentials,
    /// The URL of the service, if a property names it.
    pub(super) endpoint: Option<String>,
    pub(super) request_timeout: Duration,
    pub(super) connect_timeout: Option<Duration>,
    /// Properties without effect.
    ignored: Vec<Ignored>,
}

/// A property without effect.
#[derive(Debug, Clone)]
struct Ignored {
    name: String,
    why: &'static str,
}

/// A property whose value is invalid.
#[derive(Debug)]
pub(super) struct Invalid {
    /// As it is given.
    pub(super) name: String,
    pub(super) why: String,
}

/// All properties whose values are invalid.
#[derive(Debug, thiserror::Error)]
pub(super) struct InvalidProperties(pub(super) Vec<Invalid>);

impl fmt::Display for InvalidProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, Invalid { name, why }) in self.0.iter().enumerate() {
            let separator = if n == 0 { "" } else { "; " };
            write!(f, "{separator}property `{name}`: {why}")?;
        }
        Ok(())
    }
}

/// The settings of an ingress.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) settings: Settings,
    /// The most records of an answer.
    pub(super) max_records: usize,
    /// The interval between two calls for the same shard.
    pub(super) interval: Duration,
    /// The interval of checks for new shards.
    pub(super) discovery: Duration,
}

/// The settings of an egress.
#[derive(Debug, Clone)]
pub(super) struct Writing {
    pub(super) settings: Settings,
    pub(super) limits: Limits,
}

/// The most that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Records of a call.
    pub(super) records: usize,
    /// Bytes of the keys and values of a call.
    pub(super) bytes: usize,
    /// The most that is packed into one record; `None`: records are sent one by one.
    pub(super) pack: Option<PackLimits>,
}

/// The most that is packed into one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PackLimits {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

impl Limits {
    /// Those of Kinesis.
    pub(super) const MAX: Self = Self {
        records: 500,
        bytes: 5 << 20,
        pack: None,
    };
}

impl PackLimits {
    /// The defaults of Amazon's producer.
    pub(super) const DEFAULT: Self = Self {
        records: usize::MAX,
        bytes: 51_200,
    };
}

const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Of Kinesis, and Flink's default.
const MAX_RECORDS: usize = 10_000;
/// Flink's default: Kinesis allows five calls a second for each shard.
const INTERVAL: Duration = Duration::from_millis(200);
const DISCOVERY: Duration = Duration::from_secs(10);

const POLLING: &str = "enhanced fan-out is not built in; shards are polled";
const SINGLE: &str = "records are written one by one, which every consumer can read, unless AggregationEnabled is true";
const VERIFIED: &str = "certificates are always verified; name your own authority in the environment variable SSL_CERT_FILE";
const FIELD: &str = "the field of the document decides";
const NO_COUNTERPART: &str = "there is no such setting here";

impl Reading {
    /// # Errors
    /// If values of properties are invalid; the error names all of them.
    pub(super) fn of(spec: &KinesisIngress) -> Result<Self, InvalidProperties> {
        let mut given = Given::of(&spec.client_properties);
        let max_records = given.number("flink.shard.getrecords.maxrecordcount", 1..=10_000);
        let interval = given.millis("flink.shard.getrecords.intervalmillis");
        let discovery = given.millis("flink.shard.discovery.intervalmillis");
        Ok(Self {
            max_records: max_records.unwrap_or(MAX_RECORDS),
            interval: interval.unwrap_or(INTERVAL),
            discovery: discovery.unwrap_or(DISCOVERY),
            settings: given.settings(&spec.region, &spec.credentials)?,
        })
    }
}

impl Writing {
    /// # Errors
    /// If values of properties are invalid; the error names all of them.
    pub(super) fn of(spec: &KinesisEgress) -> Result<Self, InvalidProperties> {
        let mut given = Given::of(&spec.client_properties);
        let records = given.number("collectionMaxCount", 1..=Limits::MAX.records);
        let bytes = given.number("collectionMaxSize", 1..=Limits::MAX.bytes);
        let pack = given.pack();
        let port = given.number("kinesisPort", 1..=65_535_u16);
        let host = given.endpoint("kinesisEndpoint", |host| match port {
            Some(port) => format!("https://{host}:{port}/"),
            None => format!("https://{host}/"),
        });
        let mut settings = given.settings(&spec.region, &spec.credentials)?;
        settings.endpoint = settings.endpoint.or(host);
        let limits = Limits {
            records: records.unwrap_or(Limits::MAX.records),
            bytes: bytes.unwrap_or(Limits::MAX.bytes),
            pack,
        };
        Ok(Self { settings, limits })
    }
}

impl Settings {
    /// The properties without effect, with their places.
    pub(super) fn idle(&self, properties: &Properties) -> Vec<Finding> {
        let findings = self.ignored.iter().map(|Ignored { name, why }| {
            properties.finding(name, format!("`{name}` has no effect: {why}"))
        });
        findings.collect()
    }
}

/// The properties of a document.
struct Given<'a> {
    /// Those that were not looked at yet.
    left: Vec<(&'a str, &'a str)>,
    invalid: Vec<Invalid>,
}

impl<'a> Given<'a> {
    fn of(properties: &'a Properties) -> Self {
        Self {
            left: properties.iter().collect(),
            invalid: Vec::new(),
        }
    }

    /// Takes the property `name`, with its name as it is given. The case of the first letter does not matter, as in StateFun.
    fn take(&mut self, name: &str) -> Option<(&'a str, &'a str)> {
        let mut given = self.left.iter();
        let at = given.position(|(given, _)| lowered(given) == name)?;
        Some(self.left.remove(at))
    }

    fn refuse(&mut self, name: &str, why: String) {
        let name = name.to_owned();
        self.invalid.push(Invalid { name, why });
    }

    fn number<T: FromStr + PartialOrd + fmt::Display>(
        &mut self,
        name: &str,
        range: std::ops::RangeInclusive<T>,
    ) -> Option<T> {
        let (name, text) = self.take(name)?;
        let number = text.trim().parse().ok();
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            let why = format!("expected a number from {least} to {most}, found `{text}`");
            self.refuse(name, why);
        }
        number
    }

    fn flag(&mut self, name: &str) -> Option<bool> {
        let (name, text) = self.take(name)?;
        match text.trim().to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                self.refuse(name, format!("expected true or false, found `{text}`"));
                None
            }
        }
    }

    /// What is packed into one record, if the producer is told to.
    fn pack(&mut self) -> Option<PackLimits> {
        if self.flag("aggregationEnabled") != Some(true) {
            return None;
        }
        let PackLimits { records, bytes } = PackLimits::DEFAULT;
        let most = self.number("aggregationMaxCount", 1..=u64::MAX);
        let most = most.map_or(records, |most| usize::try_from(most).unwrap_or(records));
        Some(PackLimits {
            records: most,
            bytes: self
                .number("aggregationMaxSize", 64..=1_048_576)
                .unwrap_or(bytes),
        })
    }

    fn millis(&mut self, name: &str) -> Option<Duration> {
        let millis = self.number(name, 1..=86_400_000_u64)?;
        Some(Duration::from_millis(millis))
    }

    /// The URL that `to_url` makes of the property `name`.
    fn endpoint(&mut self, name: &str, to_url: impl FnOnce(&str) -> String) -> Option<String> {
        let (name, text) = self.take(name)?;
        let url = to_url(text);
        if let Err(why) = service_url(&url) {
            self.refuse(name, why.to_string());
        }
        Some(url)
    }

    /// What both directions have in common; nothing may be taken afterwards.
    fn settings(
        mut self,
        region: &AwsRegion,
        credentials: &AwsCredentials,
    ) -> Result<Settings, InvalidProperties> {
        let endpoint = self.endpoint("aws.endpoint", str::to_owned);
        let mut request = self.millis("requestTimeout");
        for name in ["clientExecutionTimeout", "socketTimeout"] {
            let other = self.millis(name);
            request = request.or(other);
        }
        let mut connect = self.millis("connectionTimeout");
        let other = self.millis("connectTimeout");
        connect = connect.or(other);
        if !self.invalid.is_empty() {
            return Err(InvalidProperties(self.invalid));
        }
        let ignored = self.left.iter().map(|(name, value)| Ignored {
            name: (*name).to_owned(),
            why: why(&lowered(name), value),
        });
        Ok(Settings {
            region: region.clone(),
            credentials: credentials.clone(),
            endpoint,
            request_timeout: request.unwrap_or(REQUEST_TIMEOUT),
            connect_timeout: connect,
            ignored: ignored.collect(),
        })
    }
}

/// Why a property has no effect.
fn why(name: &str, value: &str) -> &'static str {
    match name {
        "flink.stream.recordpublisher" if value.eq_ignore_ascii_case("POLLING") => {
            "shards are always polled"
        }
        "flink.stream.recordpublisher" => POLLING,
        "aggregationMaxCount" | "aggregationMaxSize" => SINGLE,
        "verifyCertificate" => VERIFIED,
        "aws.region" | "region" => FIELD,
        name if name.starts_with("flink.stream.initpos") => FIELD,
        name if name.starts_with("flink.stream.efo") => POLLING,
        name if name.starts_with("aws.credentials") => FIELD,
        _ => NO_COUNTERPART,
    }
}

fn lowered(name: &str) -> String {
    let mut characters = name.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::module::Places;

    fn writing(pairs: &[(&str, &str)]) -> Result<Writing, InvalidProperties> {
        Writing::of(&KinesisEgress {
            region: AwsRegion::Default,
            credentials: AwsCredentials::Default,
            max_outstanding_records: NonZeroU32::MIN,
            client_properties: Properties::of_tests(pairs),
            places: Places::default(),
        })
    }

    #[test]
    fn properties_of_the_producer_have_their_effect_or_are_named() {
        let writing = writing(&[
            ("CollectionMaxCount", "10"),
            ("RequestTimeout", "9000"),
            ("KinesisEndpoint", "localhost"),
            ("KinesisPort", "4567"),
            ("AggregationEnabled", "false"),
            ("AggregationMaxSize", "100"),
            ("ThreadingModel", "POOLED"),
        ])
        .unwrap();
        assert_eq!(
            (writing.limits.records, writing.limits.bytes),
            (10, 5 << 20)
        );
        let settings = writing.settings;
        assert_eq!(
            settings.endpoint.as_deref(),
            Some("https://localhost:4567/")
        );
        assert_eq!(settings.request_timeout, Duration::from_secs(9));
        let ignored: Vec<_> = settings
            .ignored
            .iter()
            .map(|ignored| &*ignored.name)
            .collect();
        assert_eq!(ignored, ["AggregationMaxSize", "ThreadingModel"]);
        assert_eq!(writing.limits.pack, None);
    }

    #[test]
    fn records_are_packed_if_a_property_asks_for_it() {
        let packs = |pairs: &[(&str, &str)]| writing(pairs).unwrap().limits.pack;
        assert_eq!(
            packs(&[("aggregationEnabled", "TRUE")]),
            Some(PackLimits::DEFAULT)
        );
        let given = [
            ("AggregationEnabled", "true"),
            ("AggregationMaxCount", "7"),
            ("AggregationMaxSize", "64"),
        ];
        let (records, bytes) = (7, 64);
        assert_eq!(packs(&given), Some(PackLimits { records, bytes }));
        let told = writing(&[("AggregationEnabled", "yes")]).unwrap_err();
        let expected = "property `AggregationEnabled`: expected true or false, found `yes`";
        assert_eq!(told.to_string(), expected);
    }

    #[test]
    fn all_invalid_values_are_named_at_once() {
        let told = |pairs: &[(&str, &str)]| writing(pairs).unwrap_err().to_string();
        assert_eq!(
            told(&[("collectionMaxCount", "501"), ("RequestTimeout", "soon")]),
            "property `collectionMaxCount`: expected a number from 1 to 500, found `501`; \
             property `RequestTimeout`: expected a number from 1 to 86400000, found `soon`"
        );
    }

    #[test]
    fn the_address_of_the_service_is_checked_before_the_start() {
        for (name, value) in [
            ("aws.endpoint", "localhost:4567"),
            ("aws.endpoint", "http://127.0.0.1:99999"),
            ("aws.endpoint", "http://127.0.0.1:0"),
            ("KinesisEndpoint", "no host"),
            ("KinesisEndpoint", "host:70000"),
        ] {
            let told = writing(&[(name, value)]).unwrap_err().to_string();
            assert!(told.starts_with(&format!("property `{name}`")), "{told}");
        }
    }
}
