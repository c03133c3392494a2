//! What stands in a topic for what a function sent, and what is refused.

use std::time::Duration;

use stateful_functions::runtime::Runtime;
use stateful_functions::{
    Address, BoxError, Context, EgressMessageBuilder, FunctionSpec, KafkaEgressMessage, Message,
    MessageBuilder, StatefulFunctions, TypeName, types,
};
use tempfile::TempDir;

use super::broker::{Broker, Version, shared};
use super::client::{Client, Read};
use crate::support::scene::Scene;
use crate::support::until::until;

pub(super) const SENDER: TypeName = TypeName::new("test/sender");
const EGRESS: TypeName = TypeName::new("test/kafka");

/// `<topic> <key> <text>` becomes a record; a key `-` is none. `plain` is sent as it is, which no topic takes.
async fn send(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let order = message.require(&types::STRING)?;
    let words: Vec<&str> = order.splitn(3, ' ').collect();
    let [topic, key, text] = words[..] else {
        context.send_egress(EgressMessageBuilder::to(EGRESS).value(order));
        return Ok(());
    };
    let record = KafkaEgressMessage::to(EGRESS).topic(topic);
    let record = match key {
        "-" => record,
        key => record.key(key),
    };
    context.send_egress(record.value(text)?);
    Ok(())
}

pub(super) fn functions() -> StatefulFunctions {
    let sender = FunctionSpec::new(SENDER, send);
    StatefulFunctions::new().with(sender).unwrap()
}

pub(super) fn module(broker: &Broker, semantic: &str, properties: &str) -> String {
    let address = broker.address();
    format!(
        "kind: io.statefun.kafka.v1/egress
spec: {{id: test/kafka, address: '{address}', deliverySemantic: {semantic}, properties: [{properties}]}}
"
    )
}

pub(super) async fn order(runtime: &Runtime, order: &str) {
    let target = Address::new(SENDER, "one");
    runtime
        .send(&MessageBuilder::to(target).value(order))
        .await
        .unwrap();
}

pub(super) async fn started(module: &str) -> (Scene, TempDir) {
    let data = tempfile::tempdir().unwrap();
    let scene = Scene::start_with(functions(), module, data.path()).await;
    (scene, data)
}

fn record(key: Option<&str>, value: &str) -> Read {
    Read {
        key: key.map(str::to_owned),
        value: value.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_stand_in_their_topics_as_statefun_writes_them() {
    let Some(broker) = shared("kafka egress records", Version::V41) else {
        return;
    };
    let client = Client::of(broker);
    for (at, semantic) in [
        "{type: none}",
        "{type: at-least-once}",
        "{type: exactly-once, transactionTimeout: 1min}",
    ]
    .into_iter()
    .enumerate()
    {
        let topic = client.topic("records", 1).await;
        let id = format!("{{transactional.id: records-{at}}}");
        let (scene, _data) = started(&module(broker, semantic, &id)).await;
        for text in ["a ä", "- two", "b "] {
            order(&scene.runtime, &format!("{topic} {text}")).await;
        }
        let expected = [
            record(Some("a"), "ä"),
            record(None, "two"),
            record(Some("b"), ""),
        ];
        assert_eq!(client.read(&topic, 3).await, expected, "{semantic}");
        scene.runtime.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_goes_to_the_partition_that_java_chooses() {
    let Some(broker) = shared("kafka partitioner", Version::V41) else {
        return;
    };
    let client = Client::of(broker);
    let topic = client.topic("partitions", 10).await;
    let (scene, _data) = started(&module(broker, "{type: at-least-once}", "")).await;
    // murmur2 as Java's producer has it, from its own tests.
    for key in ["21", "foobar", "a-little-bit-long-string"] {
        order(&scene.runtime, &format!("{topic} {key} x")).await;
    }
    client.read(&topic, 3).await;
    let partition = |hash: i64| ((hash & 0x7fff_ffff) % 10) as i32;
    for (key, hash) in [
        ("21", -973_932_308_i64),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
    ] {
        let found = client.partition_of(&topic, key).await;
        assert_eq!(found, partition(hash), "{key}");
    }
    scene.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_its_topic_refuses_is_set_aside_and_holds_up_no_other() {
    let Some(broker) = shared("kafka refused records", Version::V39) else {
        return;
    };
    let client = Client::of(broker);
    for (at, semantic) in [
        "{type: at-least-once}",
        "{type: exactly-once, transactionTimeout: 1min}",
    ]
    .into_iter()
    .enumerate()
    {
        let small = client.name("small");
        client
            .make(&small, 1, &[("max.message.bytes", "2000")])
            .await;
        let properties = format!("{{transactional.id: refused-{at}}}");
        let (scene, data) = started(&module(broker, semantic, &properties)).await;
        order(&scene.runtime, &format!("{small} a one")).await;
        order(&scene.runtime, &format!("{small} a {}", "x".repeat(3_000))).await;
        order(&scene.runtime, "plain").await;
        order(&scene.runtime, &format!("{small} a two")).await;
        let expected = [record(Some("a"), "one"), record(Some("a"), "two")];
        assert_eq!(client.read(&small, 2).await, expected, "{semantic}");
        scene.says("\"set_aside\":2").await;
        scene.says("\"outbox\":0").await;
        scene.runtime.shutdown().await;
        drop(data);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_position_is_stored_with_the_records_and_is_no_more_than_one_offset() {
    let Some(broker) = shared("kafka egress position", Version::V41) else {
        return;
    };
    let client = Client::of(broker);
    let topic = client.topic("position", 1).await;
    let id = "{transactional.id: position}";
    let semantic = "{type: exactly-once, transactionTimeoutMillis: 60000}";
    let (scene, _data) = started(&module(broker, semantic, id)).await;
    for number in 0..5 {
        order(&scene.runtime, &format!("{topic} a {number}")).await;
    }
    client.read(&topic, 5).await;
    until("the count of delivered records", async || {
        (client.committed("position", "__consumer_offsets", 0) == Some(5)).then_some(())
    })
    .await;
    tokio::time::timeout(Duration::from_secs(30), scene.runtime.shutdown())
        .await
        .unwrap();
}
