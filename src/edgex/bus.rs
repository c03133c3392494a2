//! What a service publishes: topics below the prefix of its bus, payloads in envelopes.

use bytes::Bytes;

use super::configuration::{EnvelopeForm, with_prefix};
use super::envelope::{self, Enveloped, guessed};
use crate::protocol::egress::KafkaProducerRecord;
use crate::sdk::{EgressMessage, EgressMessageBuilder, TypeName, types};

/// The egress of what a service publishes.
pub(super) const RESPONSES: TypeName = TypeName::new("edgex/responses");
const UNKNOWN: &str = "application/octet-stream";

/// How a service publishes.
#[derive(Debug, Clone)]
pub(super) struct Bus {
    pub(super) prefix: String,
    /// `None` for the bytes themselves.
    pub(super) envelope: Option<EnvelopeForm>,
    /// The content type of a payload without one is guessed.
    pub(super) guesses: bool,
}

/// What is published.
pub(super) struct Publication<'a> {
    /// The topic, without the prefix.
    pub(super) topic: &'a str,
    pub(super) payload: Bytes,
    /// Empty if it is not known.
    pub(super) content_type: &'a str,
    pub(super) correlation_id: &'a str,
}

impl Bus {
    /// The record for the broker.
    pub(super) fn record(
        &self,
        publication: Publication<'_>,
    ) -> Result<KafkaProducerRecord, String> {
        let Publication {
            topic,
            payload,
            content_type,
            correlation_id,
        } = publication;
        let content_type = match content_type {
            "" if self.guesses => guessed(&payload),
            "" => UNKNOWN,
            known => known,
        };
        let value_bytes = match self.envelope {
            None => payload,
            Some(form) => {
                let message = Enveloped {
                    correlation_id: correlation_id.to_owned(),
                    content_type: content_type.to_owned(),
                    payload,
                };
                envelope::close(&message, form)?
            }
        };
        Ok(KafkaProducerRecord {
            key: String::new(),
            topic: with_prefix(&self.prefix, topic),
            value_bytes,
        })
    }

    /// The message that publishes.
    pub(super) fn message(&self, publication: Publication<'_>) -> Result<EgressMessage, String> {
        let record = self.record(publication)?;
        let message = EgressMessageBuilder::to(RESPONSES);
        let message = message.value_as(&types::KAFKA_RECORD, record);
        message.map_err(|err| err.to_string())
    }
}
