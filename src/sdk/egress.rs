//! Messages to an egress, and the records of the Kafka and Kinesis egresses.

use std::borrow::Borrow;

use bytes::Bytes;

use super::types::{self, BuiltIn, KAFKA_RECORD, KINESIS_RECORD};
use super::{SdkError, Type, TypeName, TypedBytes};
use crate::protocol::egress::{KafkaProducerRecord, KinesisEgressRecord};

/// A value for an egress: it leaves the system through whatever the module file binds to that name.
///
/// ```
/// use stateful_functions::{EgressMessageBuilder, TypeName};
///
/// const GREETINGS: TypeName = TypeName::new("example/greetings");
/// let message = EgressMessageBuilder::to(GREETINGS).value("hello");
/// assert_eq!(message.egress(), &GREETINGS);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressMessage {
    egress: TypeName,
    typed: TypedBytes,
}

impl EgressMessage {
    pub(crate) const fn new(egress: TypeName, typed: TypedBytes) -> Self {
        Self { egress, typed }
    }

    /// The egress it goes to.
    pub const fn egress(&self) -> &TypeName {
        &self.egress
    }

    /// Whether the value is of type `ty`.
    pub fn is<T>(&self, ty: &Type<T>) -> bool {
        self.typed.is_of(ty.name().as_str())
    }

    /// The value as a `T`, or `None` when there is none. Kafka and Kinesis records are read with
    /// [`types::KAFKA_RECORD`](crate::types::KAFKA_RECORD) and [`types::KINESIS_RECORD`](crate::types::KINESIS_RECORD).
    ///
    /// # Errors
    /// If the value has another type, or its bytes are invalid for the type.
    pub fn get<T>(&self, ty: &Type<T>) -> Result<Option<T>, SdkError> {
        ty.read(&self.typed, || format!("message to egress {}", self.egress))
    }

    /// The value as a `T`; a message without a value is an error.
    ///
    /// # Errors
    /// See [`EgressMessage::get`]; also if there is no value.
    pub fn require<T>(&self, ty: &Type<T>) -> Result<T, SdkError> {
        self.get(ty)?.ok_or_else(|| SdkError::NoValue {
            expected: ty.name().clone(),
        })
    }

    /// The name of the value's type.
    pub fn value_type_name(&self) -> &str {
        self.typed.type_name()
    }

    /// The bytes of the value; `None` when there is none.
    pub fn raw_value(&self) -> Option<Bytes> {
        self.typed.has_value().then(|| self.typed.shared_value())
    }

    pub(crate) const fn typed(&self) -> &TypedBytes {
        &self.typed
    }
}

/// Makes an [`EgressMessage`] with a value of any type.
#[derive(Debug, Clone)]
#[must_use = "a message is made by one of the `value` methods"]
pub struct EgressMessageBuilder {
    egress: TypeName,
}

impl EgressMessageBuilder {
    /// A message to `egress`.
    pub const fn to(egress: TypeName) -> Self {
        Self { egress }
    }

    /// With a value of a built-in type.
    #[must_use]
    pub fn value<T: BuiltIn>(self, value: T) -> EgressMessage {
        EgressMessage::new(self.egress, types::typed(&value))
    }

    /// With a value of type `ty`, or a reference to one.
    ///
    /// # Errors
    /// If the type's encoder refuses the value.
    pub fn value_as<T>(
        self,
        ty: &Type<T>,
        value: impl Borrow<T>,
    ) -> Result<EgressMessage, SdkError> {
        Ok(EgressMessage::new(self.egress, ty.typed(value.borrow())?))
    }

    /// With bytes that are a value of type `type_name`: any text, unchecked.
    #[must_use]
    pub fn raw(self, type_name: &str, value: impl AsRef<[u8]>) -> EgressMessage {
        EgressMessage::new(self.egress, TypedBytes::of_bytes(type_name, value.as_ref()))
    }
}

/// Makes a record for a Kafka egress: topic and value are required, the key is optional.
///
/// Like every builder of messages it ends with `value` or `value_as`.
///
/// ```
/// use stateful_functions::{KafkaEgressMessage, TypeName};
///
/// let record = KafkaEgressMessage::to(TypeName::new("example/greetings"))
///     .topic("greetings")
///     .key("bob")
///     .value("hello")?;
/// # Ok::<(), stateful_functions::SdkError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "the record is made by `value` or `value_as`"]
pub struct KafkaEgressMessage {
    egress: TypeName,
    topic: String,
    key: String,
}

impl KafkaEgressMessage {
    /// A record for `egress`.
    pub const fn to(egress: TypeName) -> Self {
        Self {
            egress,
            topic: String::new(),
            key: String::new(),
        }
    }

    /// The topic it is written to.
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = topic.into();
        self
    }

    /// The record's key. An empty key counts as none.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }

    /// The record with this value: text as UTF-8, bytes as they are; a number as `7_i64.to_be_bytes()`.
    ///
    /// # Errors
    /// If there is no topic.
    pub fn value(self, value: impl AsRef<[u8]>) -> Result<EgressMessage, SdkError> {
        self.with(Bytes::copy_from_slice(value.as_ref()))
    }

    /// The record with the bytes of a value of type `ty`.
    ///
    /// # Errors
    /// If there is no topic, or the type's encoder refuses the value.
    pub fn value_as<T>(
        self,
        ty: &Type<T>,
        value: impl Borrow<T>,
    ) -> Result<EgressMessage, SdkError> {
        self.with(ty.encode(value.borrow())?)
    }

    fn with(self, value_bytes: Bytes) -> Result<EgressMessage, SdkError> {
        let record = KafkaProducerRecord {
            topic: needed(self.topic, "Kafka record", "a topic")?,
            key: self.key,
            value_bytes,
        };
        Ok(EgressMessage::new(
            self.egress,
            KAFKA_RECORD.typed(&record)?,
        ))
    }
}

/// Makes a record for a Kinesis egress: stream, partition key and value are required.
///
/// Like every builder of messages it ends with `value` or `value_as`.
///
/// ```
/// use stateful_functions::{KinesisEgressMessage, TypeName};
///
/// let record = KinesisEgressMessage::to(TypeName::new("example/greetings"))
///     .stream("greetings")
///     .partition_key("bob")
///     .value("hello")?;
/// # Ok::<(), stateful_functions::SdkError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "the record is made by `value` or `value_as`"]
pub struct KinesisEgressMessage {
    egress: TypeName,
    stream: String,
    partition_key: String,
    explicit_hash_key: String,
}

impl KinesisEgressMessage {
    /// A record for `egress`.
    pub const fn to(egress: TypeName) -> Self {
        Self {
            egress,
            stream: String::new(),
            partition_key: String::new(),
            explicit_hash_key: String::new(),
        }
    }

    /// The stream it is written to.
    pub fn stream(mut self, stream: impl Into<String>) -> Self {
        self.stream = stream.into();
        self
    }

    /// Its hash decides the shard.
    pub fn partition_key(mut self, key: impl Into<String>) -> Self {
        self.partition_key = key.into();
        self
    }

    /// Decides the shard instead of the partition key's hash. An empty one counts as none.
    pub fn explicit_hash_key(mut self, key: impl Into<String>) -> Self {
        self.explicit_hash_key = key.into();
        self
    }

    /// The record with this data: text as UTF-8, or bytes as they are.
    ///
    /// # Errors
    /// If stream or partition key is missing.
    pub fn value(self, value: impl AsRef<[u8]>) -> Result<EgressMessage, SdkError> {
        self.with(Bytes::copy_from_slice(value.as_ref()))
    }

    /// The record with the bytes of a value of type `ty` as its data.
    ///
    /// # Errors
    /// If stream or partition key is missing, or the type's encoder refuses the value.
    pub fn value_as<T>(
        self,
        ty: &Type<T>,
        value: impl Borrow<T>,
    ) -> Result<EgressMessage, SdkError> {
        self.with(ty.encode(value.borrow())?)
    }

    fn with(self, value_bytes: Bytes) -> Result<EgressMessage, SdkError> {
        const RECORD: &str = "Kinesis record";
        let record = KinesisEgressRecord {
            stream: needed(self.stream, RECORD, "a stream")?,
            partition_key: needed(self.partition_key, RECORD, "a partition key")?,
            explicit_hash_key: self.explicit_hash_key,
            value_bytes,
        };
        Ok(EgressMessage::new(
            self.egress,
            KINESIS_RECORD.typed(&record)?,
        ))
    }
}

fn needed(part: String, record: &'static str, missing: &'static str) -> Result<String, SdkError> {
    if part.is_empty() {
        return Err(SdkError::EgressPartMissing { record, missing });
    }
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUT: TypeName = TypeName::new("example/out");

    #[test]
    fn sf_18_a_kafka_record_needs_a_topic_and_has_its_type_name() {
        let record = || KafkaEgressMessage::to(OUT).topic("t");
        let missing = KafkaEgressMessage::to(OUT).value("v").unwrap_err();
        assert_eq!(missing.to_string(), "a Kafka record needs a topic");
        let message = record().key("k").value("v").unwrap();
        assert_eq!(
            message.value_type_name(),
            "type.googleapis.com/io.statefun.sdk.egress.KafkaProducerRecord"
        );
        let read = message.require(&types::KAFKA_RECORD).unwrap();
        assert_eq!((&*read.topic, &*read.key), ("t", "k"));
        assert_eq!(read.value_bytes, "v");
        assert!(record().value("").is_ok(), "an empty value is one");
    }

    #[test]
    fn sf_18_a_kinesis_record_needs_stream_and_partition_key_and_has_its_type_name() {
        let whole = || KinesisEgressMessage::to(OUT).stream("s").partition_key("p");
        let missing = |record: KinesisEgressMessage| record.value("v").unwrap_err().to_string();
        assert_eq!(
            missing(whole().stream("")),
            "a Kinesis record needs a stream"
        );
        assert_eq!(
            missing(whole().partition_key("")),
            "a Kinesis record needs a partition key"
        );
        let message = whole().explicit_hash_key("7").value("v").unwrap();
        assert_eq!(
            message.value_type_name(),
            "type.googleapis.com/io.statefun.sdk.egress.KinesisEgressRecord"
        );
        let read = message.require(&types::KINESIS_RECORD).unwrap();
        assert_eq!(
            (
                &*read.stream,
                &*read.partition_key,
                &*read.explicit_hash_key
            ),
            ("s", "p", "7")
        );
    }
}
