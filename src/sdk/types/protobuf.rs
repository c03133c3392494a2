//! Protobuf messages, as `prost` generates them.

use bytes::Bytes;
use prost::{Message, Name};

use super::Type;
use crate::protocol::egress::{KafkaProducerRecord, KinesisEgressRecord};
use crate::sdk::{BoxError, TypeName};

/// A record for Kafka, as [`KafkaEgressMessage`](crate::KafkaEgressMessage) builds it.
pub const KAFKA_RECORD: Type<KafkaProducerRecord> =
    protobuf_as("type.googleapis.com/io.statefun.sdk.egress.KafkaProducerRecord");
/// A record for Kinesis, as [`KinesisEgressMessage`](crate::KinesisEgressMessage) builds it.
pub const KINESIS_RECORD: Type<KinesisEgressRecord> =
    protobuf_as("type.googleapis.com/io.statefun.sdk.egress.KinesisEgressRecord");

/// The message `M` under the name `type.googleapis.com/<full name>`, as the official SDKs name it.
///
/// `M` knows its full name if it was generated with `prost_build::Config::enable_type_names`.
pub fn protobuf<M: Message + Default + Name>() -> Type<M> {
    let name = TypeName::from_wire("type.googleapis.com", &M::full_name());
    Type::sharing(name, encode, decode)
}

/// The message `M` under your own type name.
pub const fn protobuf_as<M: Message + Default>(name: &'static str) -> Type<M> {
    Type::sharing(TypeName::new(name), encode, decode)
}

fn encode<M: Message>(message: &M, out: &mut Vec<u8>) -> Result<(), BoxError> {
    Ok(message.encode(out)?)
}

fn decode<M: Message + Default>(bytes: Bytes) -> Result<M, BoxError> {
    Ok(M::decode(bytes)?)
}
