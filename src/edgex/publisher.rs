//! The background publisher: code outside of pipelines publishes to the message bus.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Semaphore, watch};

use super::bus::{Bus, Publication, RESPONSES};
use super::functions::PublishError;
use super::message::MessageContext;
use crate::protocol::egress::KafkaProducerRecord;
use crate::runtime::handle::RuntimeHandle;
use crate::runtime::intake::{AddressKey, Incoming};
use crate::sdk::{
    Address, BoxError, Context, EgressMessageBuilder, FunctionSpec, Message, MessageBuilder,
    TypeName, types,
};

/// The function that sends what is published.
const PUBLISHER: TypeName = TypeName::new("edgex/publisher");

/// Publishes to the message bus from outside of pipelines: EdgeX's background publisher. Cheap to clone; each clone publishes the same way.
///
/// [`Application::add_background_publisher`](super::Application::add_background_publisher) makes one. Publications made before the service has started
/// wait for it.
#[derive(Clone)]
pub struct BackgroundPublisher(Arc<Shared>);

struct Shared {
    /// `None` for `Trigger.PublishTopic`.
    topic: Option<String>,
    room: Semaphore,
    link: watch::Sender<Option<Link>>,
}

/// A running service.
#[derive(Clone)]
struct Link {
    runtime: RuntimeHandle,
    bus: Bus,
    topic: String,
}

impl BackgroundPublisher {
    pub(super) fn new(topic: Option<String>, capacity: usize) -> Self {
        Self(Arc::new(Shared {
            topic,
            room: Semaphore::new(capacity.clamp(1, Semaphore::MAX_PERMITS)),
            link: watch::Sender::new(None),
        }))
    }

    pub(super) fn topic(&self) -> Option<&str> {
        self.0.topic.as_deref()
    }

    /// The service runs.
    pub(super) fn link(&self, runtime: RuntimeHandle, bus: Bus, default_topic: Option<&str>) {
        let Some(topic) = self.topic().or(default_topic) else {
            return; // refused when the configuration was read
        };
        let topic = topic.to_owned();
        self.0.link.send_replace(Some(Link {
            runtime,
            bus,
            topic,
        }));
    }

    /// Publishes `payload` under the content type and the correlation id of `context`, whose values fill in the placeholders of the topic. Returns once it is
    /// on disk: the broker gets it at least once, also if it is away now. Waits while as many publications are being stored as the capacity allows.
    ///
    /// # Errors
    /// If a placeholder has no value, or the runtime takes nothing. Nothing is published then.
    pub async fn publish(
        &self,
        payload: impl Into<Bytes>,
        context: &MessageContext,
    ) -> Result<(), PublishError> {
        let stopping = || PublishError::NotAccepted("the service has ended".to_owned());
        let _room = self.0.room.acquire().await.map_err(|_| stopping())?;
        let mut linked = self.0.link.subscribe();
        let link = linked.wait_for(Option::is_some).await;
        let link = link.map_err(|_| stopping())?.clone().ok_or_else(stopping)?;
        let topic = context.apply_values(&link.topic)?;
        let record = link.bus.record(Publication {
            topic: &topic,
            payload: payload.into(),
            content_type: context.content_type(),
            correlation_id: context.correlation_id(),
        });
        let record = record.map_err(PublishError::Data)?;
        let sent = send_record(&link.runtime, &topic, record).await;
        sent.map_err(PublishError::NotAccepted)
    }
}

/// Publishes a record; ready when it is on disk. Records with one `topic` stay in order.
pub(super) async fn send_record(
    runtime: &RuntimeHandle,
    topic: &str,
    record: KafkaProducerRecord,
) -> Result<(), String> {
    let target = Address::new(PUBLISHER, topic);
    let message = MessageBuilder::to(target).value_as(&types::KAFKA_RECORD, record);
    let message = message.map_err(|err| err.to_string())?;
    let incoming = Incoming {
        target: AddressKey::from(message.target()),
        argument: message.typed().raw().clone(),
        key: None,
    };
    let sent = runtime.send(incoming).await;
    sent.map_err(|refusal| refusal.to_string())
}

impl fmt::Debug for BackgroundPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackgroundPublisher")
            .field("topic", &self.0.topic)
            .finish_non_exhaustive()
    }
}

/// The function that sends what is published.
pub(super) fn function() -> FunctionSpec {
    FunctionSpec::new(PUBLISHER, send)
}

async fn send(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let record = message.require(&types::KAFKA_RECORD)?;
    let message = EgressMessageBuilder::to(RESPONSES).value_as(&types::KAFKA_RECORD, record)?;
    context.send_egress(message);
    Ok(())
}
