//! `statefun.mqtt.v1/ingress`: publications become messages.
//!
//! A publication is acknowledged when its messages are on disk, in the order of arrival. The broker sends it again until then.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use rumqttc::{AsyncClient, MqttOptions, Publish, QoS, SubscribeFilter, SubscribeReasonCode};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tracing::{info, warn};

use super::client::{options, prepare};
use super::listen::{Change, Heard, Listening, Open, lock};
use super::session::{Session, Subscriptions};
use crate::module::{MqttId, MqttIngress, Route};
use crate::runtime::{
    Batch, HttpListeners, Inlet, IntakeError, Listener, Receipt, Source, StartError,
};
use crate::sdk::{Address, BoxError, MessageBuilder};
use crate::topic_filter::TopicFilter;
use crate::transport::http::client::Network;

/// Events of a batch.
const BATCH: usize = 256;
/// Larger publications are set aside.
const LARGEST: usize = 64 << 20;
/// This much of one is kept then.
const KEPT: usize = 64 << 10;
/// Requests that may wait for the client: an acknowledgement for each packet id, and some more.
const REQUESTS: usize = 70_000;

/// Why a publication is set aside that no target is named for.
const UNNAMED: &str = "the module names no filter that fits the topic; the broker had queued it for one that the module named before";

/// Makes the values of messages from publications, in place of their bytes.
pub(crate) trait Shape: fmt::Debug + Send + Sync + 'static {
    /// The value for a publication, or why there can be none: the publication is then set aside.
    fn value(&self, topic: &str, payload: &Bytes) -> Result<Bytes, String>;
}

/// Subscribes to topics.
#[derive(Debug)]
pub(crate) struct MqttSource {
    spec: MqttIngress,
    network: Network,
    options: Option<MqttOptions>,
    shape: Option<Arc<dyn Shape>>,
}

impl MqttSource {
    pub(crate) const fn new(spec: MqttIngress, network: Network) -> Self {
        Self {
            spec,
            network,
            options: None,
            shape: None,
        }
    }

    /// Has its messages made by `shape`; their type is that of the route.
    pub(crate) fn shaped(self, shape: impl Shape) -> Self {
        let shape: Arc<dyn Shape> = Arc::new(shape);
        Self {
            shape: Some(shape),
            ..self
        }
    }
}

#[async_trait]
impl Source for MqttSource {
    /// Checks the settings, without connecting to the broker.
    async fn open(&mut self, _listeners: &HttpListeners) -> Result<Option<Listener>, StartError> {
        let mut options = options(&self.spec.broker, &self.network).map_err(|why| {
            let what = format!("ingress {} ({})", self.spec.id, self.spec.location);
            StartError::connector(what, why)
        })?;
        options.set_clean_session(false).set_manual_acks(true);
        self.options = Some(options);
        Ok(None)
    }

    async fn run(&mut self, inlet: &Inlet) -> Result<(), BoxError> {
        let options = self.options.clone().ok_or("the source was not opened")?;
        let session = Session::read(inlet.positions()?)?;
        let open: Open = Open::default();
        lock(&open).extend(session.open());
        let (client, mut events) = AsyncClient::new(options, REQUESTS);
        prepare(&mut events);
        let (listening, heard) = Listening::new(events, open.clone());
        let filter = |route: &Route| (route.source.clone(), self.spec.qos);
        let reader = Reader {
            spec: &self.spec,
            shape: self.shape.as_deref(),
            routes: routes(&self.spec.topics)?,
            wanted: self.spec.topics.iter().map(filter).collect(),
            asked: Vec::new(),
            inlet,
            client,
            session,
            open,
            lost: None,
            connection: 0,
            staged: FuturesOrdered::new(),
        };
        tokio::select! {
            ended = reader.run(heard) => ended,
            () = listening.run() => Err("the client has ended".into()),
        }
    }
}

/// Publications of a batch and the number of their connection, once the batch is on disk.
type Staged = BoxFuture<'static, Result<(u64, Vec<Publish>), IntakeError>>;

/// One run of the source.
struct Reader<'a> {
    spec: &'a MqttIngress,
    shape: Option<&'a dyn Shape>,
    routes: Vec<(TopicFilter, &'a Route)>,
    wanted: Subscriptions,
    /// The filters of the subscriptions that are asked for and not answered.
    asked: Vec<SubscribeFilter>,
    inlet: &'a Inlet,
    client: AsyncClient,
    session: Session,
    open: Open,
    /// Why there is no connection, as it was last logged.
    lost: Option<String>,
    /// Counts connections: acknowledgements of an earlier one are no longer valid.
    connection: u64,
    staged: FuturesOrdered<Staged>,
}

impl Reader<'_> {
    async fn run(mut self, mut heard: mpsc::Receiver<Heard>) -> Result<(), BoxError> {
        loop {
            tokio::select! {
                next = heard.recv() => {
                    let next = next.ok_or("the client has ended")?;
                    self.take_in(next, &mut heard).await?;
                }
                Some(durable) = self.staged.next(), if !self.staged.is_empty() => {
                    let (connection, publications) = durable?;
                    self.acknowledge(connection, &publications)?;
                }
            }
        }
    }

    /// Takes in an event, and those that have already come after it, as one batch.
    async fn take_in(
        &mut self,
        first: Heard,
        heard: &mut mpsc::Receiver<Heard>,
    ) -> Result<(), BoxError> {
        let mut gathered = Gathered::default();
        let mut event = first;
        let mut count = 1;
        let change = loop {
            match event {
                Heard::Published(publish, permit) => self.take(publish, permit, &mut gathered),
                Heard::Released(id) => {
                    self.session.released(id, &mut gathered.batch);
                    gathered.has_changes = true;
                }
                Heard::Acknowledged(id) => self.session.acknowledged(id),
                Heard::Connection(change) => break Some(change),
            }
            if count == BATCH {
                break None;
            }
            match heard.try_recv() {
                Ok(next) => event = next,
                Err(_) => break None,
            }
            count += 1;
        };
        self.bring(gathered).await?;
        match change {
            Some(change) => self.changed(change).await,
            None => Ok(()),
        }
    }

    async fn bring(&mut self, gathered: Gathered) -> Result<(), BoxError> {
        if !gathered.has_changes {
            return Ok(());
        }
        self.remember_open();
        let receipt = self.inlet.bring(gathered.batch).await?;
        drop(gathered.permits);
        self.acknowledge_later(receipt, gathered.publications);
        Ok(())
    }

    /// Turns a publication into messages for its targets.
    fn take(&mut self, publish: Publish, permit: OwnedSemaphorePermit, gathered: &mut Gathered) {
        let batch = &mut gathered.batch;
        if self.session.is_new(&publish, batch) {
            let topic = publish.topic.as_str();
            let mut routes = self.routes.iter();
            match routes.find(|(filter, _)| filter.matches(topic)) {
                Some(_) if publish.payload.len() > LARGEST => self.set_aside(&publish, batch),
                Some((_, route)) => self.send(route, &publish, batch),
                None => batch.set_aside(format!("topic {topic}"), UNNAMED, &publish.payload),
            }
        }
        gathered.permits.push(permit);
        gathered.publications.push(publish);
        gathered.has_changes = true;
    }

    /// Keeps the beginning of a publication that is too large to be a message.
    fn set_aside(&self, publish: &Publish, batch: &mut Batch) {
        let (topic, length) = (&publish.topic, publish.payload.len());
        let why = format!("its payload has {length} bytes, more than {LARGEST}");
        warn!(ingress = %self.spec.id, topic, %why, "a publication is set aside");
        let kept = publish.payload.get(..KEPT).unwrap_or(&publish.payload);
        batch.set_aside(format!("topic {topic}"), why, kept);
    }

    fn send(&self, route: &Route, publish: &Publish, batch: &mut Batch) {
        let id = addressed(self.spec.address_id, &publish.topic);
        let value = match self.shape {
            None => Ok(publish.payload.clone()),
            Some(shape) => shape.value(&publish.topic, &publish.payload),
        };
        let value = match value {
            Ok(value) => value,
            Err(why) => {
                let origin = format!("topic {}", publish.topic);
                return batch.set_aside(origin, why, &publish.payload);
            }
        };
        for target in &route.targets {
            let to = MessageBuilder::to(Address::new(target.clone(), id));
            batch.push(&to.raw(&route.value_type, &value));
        }
    }

    fn acknowledge_later(&mut self, receipt: Receipt, publications: Vec<Publish>) {
        let connection = self.connection;
        let staged = async move {
            receipt.durable().await?;
            Ok((connection, publications))
        };
        self.staged.push_back(Box::pin(staged));
    }

    fn acknowledge(&self, connection: u64, publications: &[Publish]) -> Result<(), BoxError> {
        if connection == self.connection {
            for publish in publications {
                // There is room for an acknowledgement of every packet id.
                self.client.try_ack(publish)?;
            }
        }
        Ok(())
    }

    async fn changed(&mut self, change: Change) -> Result<(), BoxError> {
        match change {
            Change::Connected { session_present } => self.connected(session_present).await,
            Change::Subscribed(answers) => self.subscribed(&answers).await,
            Change::Lost(failure) => {
                // It is tried again and again, for the same reason.
                if self.lost.as_ref() != Some(&failure) {
                    warn!(ingress = %self.spec.id, %failure, "no connection to the broker; will retry");
                }
                self.inlet.struggles(&failure);
                self.lost = Some(failure);
                Ok(())
            }
        }
    }

    async fn connected(&mut self, session_present: bool) -> Result<(), BoxError> {
        self.connection += 1;
        if !session_present {
            let mut batch = Batch::new();
            if self.session.is_lost(&mut batch) {
                warn!(
                    ingress = %self.spec.id,
                    "the broker does not know the session of this ingress any more: what was published since the last connection is not delivered"
                );
            }
            self.remember_open();
            _ = self.inlet.bring(batch).await?;
        }
        let (new, left) = self.session.changes(&self.wanted);
        for filter in left {
            info!(ingress = %self.spec.id, %filter, "leaves a topic that the module no longer names");
            self.client.try_unsubscribe(filter)?;
        }
        self.asked = new
            .into_iter()
            .map(|(filter, qos)| SubscribeFilter::new(filter, level(qos)))
            .collect();
        match self.asked.is_empty() {
            true => self.works().await,
            false => Ok(self.client.try_subscribe_many(self.asked.clone())?),
        }
    }

    async fn subscribed(&mut self, answers: &[SubscribeReasonCode]) -> Result<(), BoxError> {
        for (asked, answer) in self.asked.iter().zip(answers) {
            let filter = &asked.path;
            match answer {
                SubscribeReasonCode::Failure => {
                    return Err(format!("the broker refuses the subscription to `{filter}`").into());
                }
                SubscribeReasonCode::Success(qos) if *qos != asked.qos => {
                    let (asked, granted) = (asked.qos as u8, *qos as u8);
                    warn!(ingress = %self.spec.id, %filter, asked, granted, "the broker grants another QoS");
                }
                SubscribeReasonCode::Success(_) => {}
            }
        }
        self.works().await
    }

    /// Everything is subscribed to.
    async fn works(&mut self) -> Result<(), BoxError> {
        let mut batch = Batch::new();
        self.session.confirmed(&self.wanted, &mut batch);
        _ = self.inlet.bring(batch).await?;
        self.inlet.recovers();
        self.lost = None;
        let (host, port) = (&self.spec.broker.host, self.spec.broker.port);
        info!(ingress = %self.spec.id, broker = %format_args!("{host}:{port}"), "is subscribed");
        Ok(())
    }

    fn remember_open(&self) {
        let mut open = lock(&self.open);
        open.clear();
        open.extend(self.session.open());
    }
}

fn routes(topics: &[Route]) -> Result<Vec<(TopicFilter, &Route)>, BoxError> {
    let parsed = topics
        .iter()
        .map(|route| Ok((TopicFilter::parse(&route.source)?, route)));
    parsed.collect()
}

/// The id that a publication to `topic` is addressed to.
fn addressed(id: MqttId, topic: &str) -> &str {
    match id {
        MqttId::Level(level) => {
            let found = level
                .checked_sub(1)
                .and_then(|level| topic.split('/').nth(level));
            found.unwrap_or(topic)
        }
        _ => topic,
    }
}

/// Publications that have come, and what becomes of them.
#[derive(Default)]
struct Gathered {
    batch: Batch,
    publications: Vec<Publish>,
    permits: Vec<OwnedSemaphorePermit>,
    /// There is something to bring or to acknowledge.
    has_changes: bool,
}

pub(super) const fn level(qos: u8) -> QoS {
    match qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_topic_or_one_of_its_levels() {
        let topic = "edge/press-7/temperature";
        assert_eq!(addressed(MqttId::Topic, topic), topic);
        assert_eq!(addressed(MqttId::Level(2), topic), "press-7");
        assert_eq!(addressed(MqttId::Level(9), topic), topic);
    }
}
