//! `io.statefun.kafka.v1/ingress`: records of topics become messages.

use std::collections::BTreeMap;

use crate::document::{Complaint, Fields, Finding, Location, Value};
use crate::sdk::TypeName;
use crate::time::Timestamp;

use super::super::Ingress;
use super::super::coerce;
use super::super::draft::{Binding, Draft};
use super::kafka_values::{self, Client};
use super::places::Places;
use super::properties::{self, Properties};
use super::routes::{self, Route};
use super::{Spec, kafka_servers, needs_connector, start};

pub(super) const KIND: &str = "io.statefun.kafka.v1/ingress";
const INSTEAD: &str = "feed its functions through a statefun.http.v1/ingress instead";

/// Takes records of Kafka topics; the key is the id.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KafkaIngress {
    /// The location of the document's `spec`.
    pub location: Location,
    /// Its name; positions are stored under it.
    pub id: TypeName,
    /// `host:port`, or several with commas: field `address` or property `bootstrap.servers`.
    pub address: String,
    /// Field `consumerGroupId` or property `group.id`.
    pub consumer_group_id: String,
    /// The topics, each once; not empty.
    pub topics: Vec<Route>,
    /// Where to go on when a stored position is gone. Default latest.
    pub auto_offset_reset: OffsetReset,
    /// Where to begin when there is no position yet. Default latest.
    pub startup_position: KafkaStart,
    /// Further settings of the consumer; the fields above go before them.
    pub properties: Properties,
    /// The locations of its fields.
    pub places: Places,
}

impl KafkaIngress {
    /// What Kafka's clients refuse about the values, without asking a cluster.
    pub fn faults(&self) -> Vec<Finding> {
        let mut faults = kafka_servers::faults(&self.address, &self.places);
        faults.extend(kafka_values::faults(&self.properties, Client::Consumer));
        faults
    }
}

/// Where to go on when a position is gone from a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetReset {
    /// At the oldest record.
    Earliest,
    /// Behind the newest record.
    Latest,
}

/// Where to begin in topics that were never read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KafkaStart {
    /// Where the consumer group has committed.
    GroupOffsets,
    /// At the oldest record.
    Earliest,
    /// Behind the newest record.
    Latest,
    /// At these offsets; partitions that are not named begin where the consumer group has committed.
    Offsets(BTreeMap<TopicPartition, i64>),
    /// At the first record that is not older.
    Date(Timestamp),
}

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: String,
    /// Counted from 0.
    pub partition: u32,
}

pub(super) fn read(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let fields = spec.fields;
    let id = coerce::name(&fields, "id");
    let address = fields.value("address", coerce::text);
    let group = fields.value("consumerGroupId", coerce::text);
    let empty = "Routing config for routable Kafka ingress cannot be empty.";
    let topics = routes::read(&fields, "topics", "topic", empty, draft);
    let reset = fields.value("autoOffsetResetPosition", |node| match &node.value {
        Value::Null => Err("it has no value; leave it out, or write earliest or latest".into()),
        Value::List(_) | Value::Map(_) => offset_reset(node.kind()),
        _ => offset_reset(&coerce::as_text(node)),
    });
    let start = read_start(&fields);
    let properties = properties::read(&fields, "properties");
    let address = or_property(
        &fields,
        "address",
        address,
        &properties,
        "bootstrap.servers",
    );
    let group = or_property(&fields, "consumerGroupId", group, &properties, "group.id");
    let mut places = Places::of(&fields);
    places.note(&fields, "topics");
    places.note(&fields, "consumerGroupId");
    match fields.has("address") {
        true => places.note(&fields, "address"),
        false => {
            let Finding { location, path, .. } = properties.finding("bootstrap.servers", "");
            places.put("address", location, path);
        }
    }
    let (location, at) = (fields.location().clone(), fields.at());
    if let (Some(id), false) = (&id, cfg!(feature = "kafka")) {
        let feature = kafka_values::feature(&properties);
        let instead = format!("build with the feature `{feature}`, {INSTEAD}");
        needs_connector(KIND, id, &fields, &instead, draft);
    }
    fields.finish();
    let (Some(id), Some(address), Some(group)) = (id, address, group) else {
        return;
    };
    draft.bind(Binding::Ingress(id.clone()), at);
    draft.module.ingresses.push(Ingress::Kafka(KafkaIngress {
        location,
        id,
        address,
        consumer_group_id: group,
        topics,
        auto_offset_reset: reset.unwrap_or(OffsetReset::Latest),
        startup_position: start.unwrap_or(KafkaStart::Latest),
        properties,
        places,
    }));
}

fn offset_reset(text: &str) -> Result<OffsetReset, Complaint> {
    match text.to_ascii_lowercase().as_str() {
        "earliest" => Ok(OffsetReset::Earliest),
        "latest" => Ok(OffsetReset::Latest),
        _ => Err(format!(
            "Invalid autoOffsetResetPosition: {text}; valid values are [earliest, latest]"
        )
        .into()),
    }
}

/// The value of a field, or of the property that may stand for it.
fn or_property(
    fields: &Fields<'_>,
    key: &str,
    given: Option<String>,
    properties: &Properties,
    property: &str,
) -> Option<String> {
    if given.is_some() || fields.has(key) {
        return given;
    }
    let value = properties.get(property).map(str::to_owned);
    if value.is_none() {
        let what = if key == "address" {
            "Kafka address"
        } else {
            "consumer group id"
        };
        let complaint = Complaint::with_remedy(
            format!("Missing setting for {what}."),
            format!("give `{key}`, or the property `{property}`"),
        );
        fields.findings().fault(fields.finding(key, complaint));
    }
    value
}

fn read_start(fields: &Fields<'_>) -> Option<KafkaStart> {
    let (start, kind) = start::read(fields)?;
    let position = match kind.as_str() {
        "group-offsets" => Some(KafkaStart::GroupOffsets),
        "earliest" => Some(KafkaStart::Earliest),
        "latest" => Some(KafkaStart::Latest),
        "specific-offsets" => offsets(&start).map(KafkaStart::Offsets),
        "date" => start::date(&start).map(KafkaStart::Date),
        other => {
            let valid = "group-offsets, earliest, latest, specific-offsets, date";
            start::unknown(&start, other, valid);
            None
        }
    };
    start.finish();
    position
}

fn offsets(fields: &Fields<'_>) -> Option<BTreeMap<TopicPartition, i64>> {
    const KEY: &str = "offsets";
    if !fields.has(KEY) {
        fields.missing(KEY);
        return None;
    }
    let mut offsets = BTreeMap::new();
    let mut all = true;
    for pair in properties::pairs(fields, KEY)? {
        let partition = match topic_partition(pair.key) {
            Ok(partition) => partition,
            Err(complaint) => {
                fields.fault_below(pair.value, &pair.path, complaint);
                all = false;
                continue;
            }
        };
        let offset = coerce::long(pair.value);
        let written = coerce::as_text(pair.value);
        if written != offset.to_string() {
            let text = format!("`{written}` is not a whole number; StateFun reads it as {offset}");
            fields.warn_below(pair.value, &pair.path, text.into());
        }
        if offsets.insert(partition, offset).is_some() {
            let text = format!("`{}` occurs again; this one counts", pair.key);
            fields.warn_below(pair.value, &pair.path, text.into());
        }
    }
    if offsets.is_empty() && all {
        fields.fault(KEY, "Provided specific offsets must not be empty.");
        return None;
    }
    all.then_some(offsets)
}

fn topic_partition(text: &str) -> Result<TopicPartition, Complaint> {
    let (topic, partition) = match text.rsplit_once('/') {
        Some((topic, partition)) if !topic.is_empty() && !partition.is_empty() => {
            (topic, partition)
        }
        _ => {
            let text = format!("{text} does not conform to the <topic>/<partition_id> format");
            return Err(Complaint::with_remedy(text, "write it as `topic/0`"));
        }
    };
    let number = partition.parse::<i32>().ok();
    match number.and_then(|number| u32::try_from(number).ok()) {
        Some(partition) => Ok(TopicPartition {
            topic: topic.to_owned(),
            partition,
        }),
        None => Err(format!(
            "Invalid topic partition definition: {text}; partition id is expected to be an integer with value between 0 and {}",
            i32::MAX
        )
        .into()),
    }
}
