//! The suites of sources and sinks, on real brokers.

use async_trait::async_trait;
use stateful_functions::runtime::{Runtime, RuntimeBuilder};
use stateful_functions::testing::conformance::sink::SinkRig;
use stateful_functions::testing::conformance::source::SourceRig;
use stateful_functions::testing::conformance::{Guarantee, LedgerEntry, OUT, sink, source};
use stateful_functions::{EgressMessage, KafkaEgressMessage};

use super::broker::{Broker, Version, shared};
use super::client::{Client, Reader};
use crate::support::scene::with;

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

struct Ingress {
    client: Client<'static>,
    topic: String,
}

#[async_trait]
impl SourceRig for Ingress {
    fn bind(&self, builder: RuntimeBuilder) -> RuntimeBuilder {
        let (address, topic) = (self.client.broker.address(), &self.topic);
        let module = format!(
            "kind: io.statefun.kafka.v1/ingress
spec:
  id: conformance/in
  address: {address}
  consumerGroupId: {topic}
  startupPosition: {{type: earliest}}
  topics: [{{topic: {topic}, valueType: io.statefun.types/string, targets: [conformance/ledger]}}]
"
        );
        with(builder, &module)
    }

    /// Ledgers stay in their partitions, as a key does.
    async fn feed(&self, _runtime: &Runtime, record: &LedgerEntry) -> bool {
        let number: i32 = record.id.trim_start_matches("ledger-").parse().unwrap();
        self.client
            .text(&self.topic, number % 2, &record.id, &record.text)
            .await;
        true
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }
}

#[test]
fn the_kafka_ingress_is_a_source_that_is_exactly_once() {
    for (version, seed) in [(Version::V39, 1), (Version::V41, 2)] {
        let Some(broker) = shared("kafka ingress conformance", version) else {
            return;
        };
        let client = Client::of(broker);
        let topic = block_on(client.topic("conformance-in", 2));
        source::run(&Ingress { client, topic }, seed);
    }
}

struct Egress {
    broker: &'static Broker,
    /// In this way, and with this topic in it, a function names where a record goes.
    record: fn(&str) -> EgressMessage,
    topic: &'static str,
    id: String,
    guarantee: Guarantee,
}

#[async_trait]
impl SinkRig for Egress {
    fn bind(&self, builder: RuntimeBuilder) -> RuntimeBuilder {
        let semantic = match self.guarantee {
            Guarantee::ExactlyOnce => "{type: exactly-once, transactionTimeout: 1min}",
            Guarantee::AtLeastOnce => "{type: at-least-once}",
        };
        let (address, id) = (self.broker.address(), &self.id);
        let module = format!(
            "kind: io.statefun.kafka.v1/egress
spec:
  id: {OUT}
  address: {address}
  deliverySemantic: {semantic}
  properties: [{{transactional.id: {id}}}]
"
        );
        with(builder, &module)
    }

    fn record(&self) -> fn(&str) -> EgressMessage {
        self.record
    }

    async fn arrived(&self, _runtime: &Runtime) -> Vec<String> {
        let mut reader = Reader::of(self.broker, self.topic);
        reader.read();
        reader
            .records
            .into_iter()
            .map(|record| record.value)
            .collect()
    }

    fn guarantee(&self) -> Guarantee {
        self.guarantee
    }
}

const ONCE: &str = "conformance-exactly-once";
const AT_LEAST_ONCE: &str = "conformance-at-least-once";

fn to(topic: &str, text: &str) -> EgressMessage {
    let message = KafkaEgressMessage::to(OUT).topic(topic).key("one");
    message.value(text).unwrap()
}

#[test]
fn the_kafka_egress_with_transactions_is_a_sink_that_is_exactly_once() {
    for (version, seed) in [(Version::V39, 3), (Version::V41, 4)] {
        let Some(broker) = shared("kafka egress conformance", version) else {
            return;
        };
        block_on(Client::of(broker).make(ONCE, 1, &[]));
        let egress = Egress {
            broker,
            record: |text| to(ONCE, text),
            topic: ONCE,
            id: "conformance".to_owned(),
            guarantee: Guarantee::ExactlyOnce,
        };
        sink::run(&egress, seed);
    }
}

#[test]
fn the_kafka_egress_without_transactions_is_a_sink_that_is_at_least_once() {
    let Some(broker) = shared("kafka egress conformance", Version::V41) else {
        return;
    };
    block_on(Client::of(broker).make(AT_LEAST_ONCE, 1, &[]));
    let egress = Egress {
        broker,
        record: |text| to(AT_LEAST_ONCE, text),
        topic: AT_LEAST_ONCE,
        id: "unused".to_owned(),
        guarantee: Guarantee::AtLeastOnce,
    };
    sink::run(&egress, 5);
}
