//! Triggers of an application: a trait, and the source that runs one.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use super::message::{Answered, MessageContext, incoming};
use crate::pipeline::Record;
use crate::runtime::intake::Incoming;
use crate::runtime::{Inlet, IntakeError, Source};
use crate::sdk::{BoxError, TypeName};

/// A trigger of an application: EdgeX's custom trigger.
///
/// The runtime guarantees that `run` is called once the pipelines run, and again, with growing waits, whenever it returns an error. Operators see the error. When
/// the service stops, `run` is dropped where it waits, so that its variables are cleaned up.
///
/// The implementer acknowledges a message to its system once [`TriggerInlet::message_received`] has returned `Ok`, and never before: then the message is
/// on disk.
#[async_trait]
pub trait CustomTrigger: fmt::Debug + Send + 'static {
    /// Receives messages and gives them to the pipelines, until there are no more.
    async fn run(&mut self, inlet: &TriggerInlet) -> Result<(), BoxError>;
}

/// Where a trigger gives its messages. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TriggerInlet {
    inlet: Inlet,
    /// The default pipeline.
    entry: TypeName,
}

/// A message as a trigger receives it: EdgeX's message envelope.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TriggerMessage {
    /// The data.
    pub payload: Bytes,
    /// The content type of the data; empty for that of the context.
    pub content_type: String,
    /// Empty for that of the context.
    pub correlation_id: String,
    /// Chooses the pipelines for topics; may be empty.
    pub received_topic: String,
}

impl TriggerMessage {
    /// A message of this content type.
    pub fn new(payload: impl Into<Bytes>, content_type: impl Into<String>) -> Self {
        Self {
            payload: payload.into(),
            content_type: content_type.into(),
            ..Self::default()
        }
    }
}

/// The response of the default pipeline.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TriggerResponse {
    /// Empty if no function has set it.
    pub payload: Bytes,
    /// The content type of the payload.
    pub content_type: String,
}

/// Why a message has no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TriggerError {
    /// The message was not accepted: send it again later.
    #[error("the message was not accepted")]
    NotAccepted(#[source] IntakeError),
    /// The message is accepted, and has no response yet.
    #[error("no response in time; the message stays accepted")]
    Timeout,
    /// An export failed, and its data is kept for another attempt, as the delivery with this id.
    #[error("the data could not be sent; it is stored, and will be sent again")]
    Stored {
        /// The id of the delivery.
        id: String,
    },
    /// The data is not what the pipeline takes, or a function failed for good.
    #[error("{0}")]
    Refused(String),
}

impl TriggerInlet {
    /// Gives a message to the pipelines: to the default one, and to those whose topics match. `Ok` once it is on disk. Without a context one is built; a
    /// correlation id and a content type of the message go before those of the context.
    ///
    /// # Errors
    /// If the message is not accepted.
    pub async fn message_received(
        &self,
        context: Option<MessageContext>,
        message: TriggerMessage,
    ) -> Result<(), TriggerError> {
        let incoming = self.incoming(context, message)?;
        let sent = self.inlet.intake().send(incoming).await;
        sent.map_err(TriggerError::NotAccepted)
    }

    /// Like [`message_received`](Self::message_received), and waits for the response of the default pipeline.
    ///
    /// # Errors
    /// If the message is not accepted, or the pipeline does not succeed with it `within` this time.
    pub async fn call(
        &self,
        context: Option<MessageContext>,
        message: TriggerMessage,
        within: Duration,
    ) -> Result<TriggerResponse, TriggerError> {
        let incoming = self.incoming(context, message)?;
        let answer = self.inlet.intake().call(incoming, within).await;
        match answer {
            Err(IntakeError::Timeout { .. }) => Err(TriggerError::Timeout),
            Err(refusal) => Err(TriggerError::NotAccepted(refusal)),
            Ok(value) => match Answered::of(value) {
                Answered::Response { content_type, data } => Ok(TriggerResponse {
                    payload: data,
                    content_type,
                }),
                Answered::Stored { id } => Err(TriggerError::Stored { id }),
                Answered::Refused { text, .. } => Err(TriggerError::Refused(text)),
                Answered::Unreadable => {
                    let text = "the answer of the pipeline cannot be read";
                    Err(TriggerError::Refused(text.to_owned()))
                }
            },
        }
    }

    /// Ready when the service stops.
    pub async fn stopped(&self) {
        self.inlet.stopped().await;
    }

    fn incoming(
        &self,
        context: Option<MessageContext>,
        message: TriggerMessage,
    ) -> Result<Incoming, TriggerError> {
        let context = context.unwrap_or_default();
        let first = |own: String, built: &str| match own.is_empty() {
            true => built.to_owned(),
            false => own,
        };
        let mut id = first(message.correlation_id, context.correlation_id());
        if id.is_empty() {
            id = Uuid::new_v4().to_string();
        }
        let mut record = Record::new(message.payload)
            .with_content_type(first(message.content_type, context.content_type()))
            .with_correlation_id(id);
        if !message.received_topic.is_empty() {
            record.set_value("receivedtopic", message.received_topic);
        }
        for (key, value) in context.values() {
            record.set_value(key, value.as_str());
        }
        incoming(&self.entry, &record).map_err(TriggerError::Refused)
    }
}

/// The payload is not shown.
impl fmt::Debug for TriggerMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TriggerMessage")
            .field("payload_bytes", &self.payload.len())
            .field("content_type", &self.content_type)
            .field("correlation_id", &self.correlation_id)
            .field("received_topic", &self.received_topic)
            .finish()
    }
}

/// The payload is not shown.
impl fmt::Debug for TriggerResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TriggerResponse")
            .field("payload_bytes", &self.payload.len())
            .field("content_type", &self.content_type)
            .finish()
    }
}

/// Runs a trigger.
#[derive(Debug)]
pub(super) struct TriggerSource {
    pub(super) trigger: Box<dyn CustomTrigger>,
    pub(super) entry: TypeName,
}

#[async_trait]
impl Source for TriggerSource {
    async fn run(&mut self, inlet: &Inlet) -> Result<(), BoxError> {
        let inlet = TriggerInlet {
            inlet: inlet.clone(),
            entry: self.entry.clone(),
        };
        self.trigger.run(&inlet).await
    }
}
