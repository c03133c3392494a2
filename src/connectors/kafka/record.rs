//! The records that functions send to a Kafka egress.

use bytes::Bytes;
use prost::Message as _;

use crate::protocol::egress::KafkaProducerRecord;
use crate::runtime::EgressRecord;
use crate::sdk::types::KAFKA_RECORD;

/// The topic and key of a record. As in StateFun an empty key means none, and there are no headers and no partition.
#[derive(Debug, PartialEq)]
pub(super) struct Outgoing {
    pub(super) topic: String,
    pub(super) key: Option<String>,
    pub(super) value: Bytes,
}

impl Outgoing {
    /// Reads a record. The error says why it is invalid; StateFun refuses it, too.
    pub(super) fn read(record: &EgressRecord) -> Result<Self, String> {
        let kind = KAFKA_RECORD;
        let expected = kind.name();
        let found = &record.value_type_name;
        if found != expected.as_str() {
            return Err(format!(
                "The generic Kafka egress expects only messages of type {expected}, found {found}"
            ));
        }
        let record = KafkaProducerRecord::decode(&*record.value)
            .map_err(|why| format!("Unable to unpack message as a {expected}: {why}"))?;
        if record.topic.is_empty() {
            return Err("the record names no topic".to_owned());
        }
        Ok(Self {
            topic: record.topic,
            key: Some(record.key).filter(|key| !key.is_empty()),
            value: record.value_bytes,
        })
    }
}
