//! What a broker says about a module, for `statefun check --connect`. The questions are asked under a client id of their own and in a session that ends with
//! them, so that no client loses its connection and nothing is kept at the broker.

use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Packet,
    SubscribeFilter, SubscribeReasonCode,
};
use tokio::time::timeout;
use uuid::Uuid;

use super::client::{explain, options, prepare};
use super::ingress::level;
use crate::module::{Finding, Location, MqttBroker, Route};
use crate::runtime::{Asking, SystemAnswer, Verdict};

/// Requests that may wait for the client.
const REQUESTS: usize = 10;

/// Asks the broker whether it takes the client, and subscriptions to `topics`.
pub(super) async fn ask(
    location: &Location,
    broker: &MqttBroker,
    topics: &[Route],
    asking: &Asking,
) -> Vec<SystemAnswer> {
    let broker = MqttBroker {
        client_id: client_id(),
        ..broker.clone()
    };
    // What is wrong with files is a finding.
    let Ok(mut options) = options(&broker, &asking.network) else {
        return Vec::new();
    };
    options.set_clean_session(true);
    let (client, mut events) = AsyncClient::new(options.clone(), REQUESTS);
    prepare(&mut events);
    let mut inquiry = Inquiry {
        location,
        client,
        events,
        options,
        answers: Vec::new(),
    };
    if timeout(asking.patience, inquiry.run(topics)).await.is_err() {
        let (host, port) = inquiry.options.broker_address();
        let patience = asking.patience;
        let text = format!("broker {host}:{port} does not answer within {patience:?}");
        inquiry.says(Verdict::Fault, "spec.url", text);
    }
    inquiry.answers
}

/// As long as MQTT 3.1.1 promises that each broker takes it.
fn client_id() -> String {
    let random = Uuid::new_v4().simple().to_string();
    format!("statefun-check-{}", random.get(..8).unwrap_or_default())
}

/// Questions on a connection, and the answers so far.
struct Inquiry<'a> {
    location: &'a Location,
    client: AsyncClient,
    events: EventLoop,
    options: MqttOptions,
    answers: Vec<SystemAnswer>,
}

impl Inquiry<'_> {
    async fn run(&mut self, topics: &[Route]) {
        let connected = self.hear(|packet| match packet {
            Packet::ConnAck(_) => Some(()),
            _ => None,
        });
        if let Err(failure) = connected.await {
            let verdict = match failure {
                // It may take the client id of the document.
                ConnectionError::ConnectionRefused(ConnectReturnCode::BadClientId) => {
                    Verdict::Unknown
                }
                _ => Verdict::Fault,
            };
            let text = explain(&failure, &self.options);
            return self.says(verdict, "spec.url", text);
        }
        let (host, port) = self.options.broker_address();
        let text = format!("broker {host}:{port} accepts the client");
        self.says(Verdict::Fine, "spec.url", text);
        if topics.is_empty() {
            let text = "whether topics may be published to, the broker does not tell";
            return self.says(Verdict::Unknown, "spec", text.to_owned());
        }
        self.subscribe(topics).await;
    }

    /// Subscribes to the topics, which lasts as long as the connection.
    async fn subscribe(&mut self, topics: &[Route]) {
        let filters = topics
            .iter()
            .map(|route| SubscribeFilter::new(route.source.clone(), level(0)));
        let answered = match self.client.subscribe_many(filters).await {
            Ok(()) => {
                let answered = self.hear(|packet| match packet {
                    Packet::SubAck(answer) => Some(answer.return_codes),
                    _ => None,
                });
                let answered = answered.await;
                answered.map_err(|failure| explain(&failure, &self.options))
            }
            Err(failure) => Err(failure.to_string()),
        };
        let codes = match answered {
            Ok(codes) => codes,
            Err(failure) => return self.says(Verdict::Fault, "spec.topics", failure),
        };
        for (route, code) in topics.iter().zip(codes) {
            let filter = &route.source;
            let (verdict, text) = match code {
                SubscribeReasonCode::Success(_) => (
                    Verdict::Fine,
                    format!("the broker takes a subscription to {filter}"),
                ),
                SubscribeReasonCode::Failure => (
                    Verdict::Fault,
                    format!("the broker refuses a subscription to {filter}"),
                ),
            };
            self.says(verdict, "spec.topics", text);
        }
    }

    /// Waits for a packet.
    async fn hear<T>(
        &mut self,
        wanted: impl Fn(Packet) -> Option<T>,
    ) -> Result<T, ConnectionError> {
        loop {
            if let Event::Incoming(packet) = self.events.poll().await?
                && let Some(heard) = wanted(packet)
            {
                return Ok(heard);
            }
        }
    }

    fn says(&mut self, verdict: Verdict, path: &str, text: String) {
        let finding = Finding::new(self.location.clone(), path, text);
        self.answers.push(SystemAnswer::new(verdict, finding));
    }
}
