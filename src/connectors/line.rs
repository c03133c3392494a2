//! A record as a line of text, for people and for tools that read JSON lines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::protocol::reqreply::TypedValue;
use crate::runtime::{EgressRecord, SinkBatch, values};
use crate::sdk::{TypeName, types};

/// The records of a batch, each as a line of JSON with its line feed.
pub(super) fn lines(batch: &SinkBatch) -> String {
    let mut text = String::new();
    for record in batch.records() {
        text.push_str(&line(batch.egress(), record));
        text.push('\n');
    }
    text
}

/// `{"egress", "id", "type", "value"}`. Built-in types are shown as text and JSON as it is, all else as `base64` in place of `value`. The line
/// of a record for Kafka or Kinesis has its parts, `topic` and `key` or `stream` and `partition_key`, and shows its value as text where it is UTF-8.
fn line(egress: &TypeName, record: &EgressRecord) -> String {
    let mut line = Map::new();
    let mut put = |name: &str, value: Value| drop(line.insert(name.to_owned(), value));
    put("egress", egress.as_str().into());
    put("id", record.id.as_str().into());
    put("type", record.value_type_name.as_str().into());
    match Parts::of(record) {
        Some(Parts { names, value }) => {
            for (name, part) in names.into_iter().filter(|(_, part)| !part.is_empty()) {
                put(name, part.into());
            }
            match std::str::from_utf8(&value) {
                Ok(text) => put("value", json(&value).unwrap_or_else(|| text.into())),
                Err(_) => put("base64", STANDARD.encode(&value).into()),
            }
        }
        None => {
            let (_, text, bytes) = values::show(TypedValue {
                typename: record.value_type_name.clone(),
                has_value: true,
                value: record.value.clone(),
            });
            match text.map(Value::from).or_else(|| json(&bytes)) {
                Some(value) => put("value", value),
                None => put("base64", STANDARD.encode(&bytes).into()),
            }
        }
    }
    Value::Object(line).to_string()
}

fn json(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok()
}

/// A record for Kafka or Kinesis, taken apart.
struct Parts {
    /// Empty parts are absent ones.
    names: Vec<(&'static str, String)>,
    value: Bytes,
}

impl Parts {
    /// `None` for records of other types, and for bytes that are not such a record.
    fn of(record: &EgressRecord) -> Option<Self> {
        let (names, value) = match &*record.value_type_name {
            name if name == types::KAFKA_RECORD.name().as_str() => {
                let kafka = types::KAFKA_RECORD.decode(&record.value).ok()?;
                let names = vec![("topic", kafka.topic), ("key", kafka.key)];
                (names, kafka.value_bytes)
            }
            name if name == types::KINESIS_RECORD.name().as_str() => {
                let kinesis = types::KINESIS_RECORD.decode(&record.value).ok()?;
                let names = vec![
                    ("stream", kinesis.stream),
                    ("partition_key", kinesis.partition_key),
                    ("explicit_hash_key", kinesis.explicit_hash_key),
                ];
                (names, kinesis.value_bytes)
            }
            _ => return None,
        };
        Some(Self { names, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdk::{
        EgressMessage, EgressMessageBuilder, KafkaEgressMessage, KinesisEgressMessage,
    };

    const OUT: TypeName = TypeName::new("example/out");

    fn shown(message: &EgressMessage) -> Value {
        let record = EgressRecord {
            id: "1".to_owned(),
            value_type_name: message.value_type_name().to_owned(),
            value: message.raw_value().unwrap(),
        };
        let line: Value = serde_json::from_str(&line(&OUT, &record)).unwrap();
        let parts = line.as_object().unwrap().clone().into_iter();
        parts
            .filter(|(name, _)| !["egress", "id", "type"].contains(&name.as_str()))
            .collect()
    }

    #[test]
    fn a_record_for_kafka_is_shown_with_topic_key_and_value() {
        let kafka = || KafkaEgressMessage::to(OUT).topic("orders");
        assert_eq!(
            shown(&kafka().key("bob").value(r#"{"item":"tea"}"#).unwrap()),
            serde_json::json!({"topic": "orders", "key": "bob", "value": {"item": "tea"}})
        );
        assert_eq!(
            shown(&kafka().value("welcome bob").unwrap()),
            serde_json::json!({"topic": "orders", "value": "welcome bob"})
        );
        assert_eq!(
            shown(&kafka().value([0, 255]).unwrap()),
            serde_json::json!({"topic": "orders", "base64": "AP8="})
        );
    }

    #[test]
    fn a_record_for_kinesis_is_shown_with_stream_partition_key_and_value() {
        let kinesis = KinesisEgressMessage::to(OUT).stream("s").partition_key("p");
        assert_eq!(
            shown(&kinesis.value("7").unwrap()),
            serde_json::json!({"stream": "s", "partition_key": "p", "value": 7})
        );
    }

    #[test]
    fn other_bytes_are_shown_as_json_or_base64() {
        let raw = |bytes: &[u8]| shown(&EgressMessageBuilder::to(OUT).raw("a/b", bytes));
        assert_eq!(raw(b"[1]"), serde_json::json!({"value": [1]}));
        assert_eq!(raw(b"hello"), serde_json::json!({"base64": "aGVsbG8="}));
        let text = EgressMessageBuilder::to(OUT).value("hello");
        assert_eq!(shown(&text), serde_json::json!({"value": "hello"}));
    }
}
