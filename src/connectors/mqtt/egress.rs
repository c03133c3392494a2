//! `statefun.mqtt.v1/egress`: records are published; a batch is delivered when the broker has acknowledged all of it.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS};
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::timeout;

use super::client::{explain, options, prepare};
use super::ingress::level;
use crate::module::MqttEgress;
use crate::protocol::reqreply::TypedValue;
use crate::runtime::listener::stopped;
use crate::runtime::{EgressRecord, HttpListeners, Listener, Sink, SinkBatch, StartError, values};
use crate::sdk::{BoxError, TypeName, types};
use crate::transport::http::client::Network;

/// Records of a batch.
const BATCH: usize = 256;
/// Records that are published before the first acknowledgement. Brokers close the connection if there are more than they allow: mosquitto allows 20.
const IN_FLIGHT: u16 = 16;
/// How long the broker may take for its next acknowledgement.
const PATIENCE: Duration = Duration::from_secs(30);

/// Publishes records.
#[derive(Debug)]
pub(crate) struct MqttSink {
    name: TypeName,
    spec: MqttEgress,
    network: Network,
    options: Option<MqttOptions>,
    link: Mutex<Option<Link>>,
    /// A delivery wants the link, which is polled meanwhile so that it answers pings.
    wanted: Notify,
    /// There is a link to poll.
    opened: Notify,
}

impl MqttSink {
    pub(crate) fn new(name: TypeName, spec: MqttEgress, network: Network) -> Self {
        Self {
            name,
            spec,
            network,
            options: None,
            link: Mutex::default(),
            wanted: Notify::new(),
            opened: Notify::new(),
        }
    }

    /// A record as a publication, or why it can never be one.
    fn publication(&self, record: &EgressRecord) -> Result<Publication, String> {
        let (topic, payload) = match record.value_type_name == types::KAFKA_RECORD.name().as_str() {
            true => {
                let named = types::KAFKA_RECORD.decode(&record.value);
                let named = named.map_err(|why| format!("not a record with a topic: {why}"))?;
                (named.topic, named.value_bytes)
            }
            false => (String::new(), payload(record)),
        };
        let topic = match (topic.is_empty(), &self.spec.topic) {
            (false, _) => topic,
            (true, Some(topic)) => topic.clone(),
            (true, None) => {
                return Err("it names no topic, and neither does the egress (`topic`)".to_owned());
            }
        };
        let limit = self.spec.max_payload_bytes;
        if payload.len() > limit {
            return Err(format!(
                "its payload has {} bytes, more than {limit} (maxPayloadBytes)",
                payload.len()
            ));
        }
        if topic.contains(['+', '#', '\0']) || topic.len() > usize::from(u16::MAX) {
            return Err(format!("`{topic}` is not a topic that can be published to"));
        }
        Ok(Publication { topic, payload })
    }
}

/// The text of built-in types, and the bytes of all others.
fn payload(record: &EgressRecord) -> Bytes {
    let typed = TypedValue {
        typename: record.value_type_name.clone(),
        has_value: true,
        value: record.value.clone(),
    };
    match values::show(typed) {
        (_, Some(text), _) => text.into(),
        (_, None, bytes) => bytes,
    }
}

struct Publication {
    topic: String,
    payload: Bytes,
}

#[async_trait]
impl Sink for MqttSink {
    /// Checks the settings, without connecting to the broker.
    async fn open(&mut self, _listeners: &HttpListeners) -> Result<Option<Listener>, StartError> {
        let mut options = options(&self.spec.broker, &self.network)
            .map_err(|why| StartError::connector(format!("egress {}", self.name), why))?;
        // What is not acknowledged is in the outbox, so the broker need not keep anything.
        options.set_clean_session(true).set_inflight(IN_FLIGHT);
        self.options = Some(options);
        Ok(None)
    }

    async fn deliver(&self, batch: &SinkBatch) -> Result<(), BoxError> {
        let mut publications = Vec::with_capacity(batch.records().len());
        for (index, record) in batch.records().iter().enumerate() {
            match self.publication(record) {
                Ok(publication) => publications.push(publication),
                Err(why) => batch.set_aside(index, &why).await,
            }
        }
        if publications.is_empty() {
            return Ok(());
        }
        self.wanted.notify_one();
        let mut place = self.link.lock().await;
        // A link is put back only when it is known to be in order.
        let mut link = match place.take() {
            Some(link) => link,
            None => Link::open(self.options.clone().ok_or("the sink was not opened")?).await?,
        };
        let (qos, retain) = (level(self.spec.qos), self.spec.retain);
        link.publish(publications, qos, retain).await?;
        *place = Some(link);
        self.opened.notify_one();
        Ok(())
    }

    fn max_batch(&self) -> usize {
        BATCH
    }

    /// Answers the broker's pings between deliveries.
    async fn serve(&self, stop: watch::Receiver<bool>) {
        tokio::select! {
            () = stopped(stop) => {}
            () = self.idle() => {}
        }
    }
}

impl MqttSink {
    async fn idle(&self) {
        loop {
            let mut place = self.link.lock().await;
            let Some(mut link) = place.take() else {
                drop(place);
                self.opened.notified().await;
                continue;
            };
            let is_well = tokio::select! {
                event = link.events.poll() => event.is_ok(),
                () = self.wanted.notified() => true,
            };
            // The next delivery opens another one in place of a lost one.
            *place = is_well.then_some(link);
        }
    }
}

/// A connection to the broker.
struct Link {
    client: AsyncClient,
    events: EventLoop,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

impl Link {
    async fn open(options: MqttOptions) -> Result<Self, BoxError> {
        let (client, mut events) = AsyncClient::new(options, BATCH);
        prepare(&mut events);
        let mut link = Self { client, events };
        while !matches!(link.next().await?, Event::Incoming(Packet::ConnAck(_))) {}
        Ok(link)
    }

    async fn next(&mut self) -> Result<Event, BoxError> {
        match timeout(PATIENCE, self.events.poll()).await {
            Ok(Ok(event)) => Ok(event),
            Ok(Err(failure)) => Err(explain(&failure, &self.events.mqtt_options).into()),
            Err(_) => Err(format!(
                "the broker has acknowledged nothing for {} s",
                PATIENCE.as_secs()
            )
            .into()),
        }
    }

    /// Publishes a batch, and waits for all its acknowledgements.
    async fn publish(
        &mut self,
        publications: Vec<Publication>,
        qos: QoS,
        retain: bool,
    ) -> Result<(), BoxError> {
        let mut open = publications.len();
        for Publication { topic, payload } in publications {
            // The queue holds a batch.
            self.client
                .try_publish(topic, qos, retain, payload)
                .map_err(|_| "the client takes no publication")?;
        }
        while open > 0 {
            let event = self.next().await?;
            let is_one = match qos {
                QoS::AtMostOnce => matches!(event, Event::Outgoing(Outgoing::Publish(_))),
                QoS::AtLeastOnce => matches!(event, Event::Incoming(Packet::PubAck(_))),
                QoS::ExactlyOnce => matches!(event, Event::Incoming(Packet::PubComp(_))),
            };
            open -= usize::from(is_one);
        }
        Ok(())
    }
}
