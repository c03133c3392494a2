//! What stands in a stream for what a function sent, what is sent again, and what is refused.

use serde_json::json;
use stateful_functions::runtime::Runtime;
use stateful_functions::{
    Address, BoxError, Context, EgressMessageBuilder, FunctionSpec, KinesisEgressMessage, Message,
    MessageBuilder, StatefulFunctions, TypeName, types,
};
use tempfile::TempDir;

use super::client::Client;
use super::front::{Front, error};
use super::ingress::folder;
use super::server::shared;
use crate::support::scene::Scene;
use crate::support::until::until;

const SENDER: TypeName = TypeName::new("test/sender");
const EGRESS: TypeName = TypeName::new("test/kinesis");

/// `<stream> <key> <hash> <text>` becomes a record; a hash `-` is none. `plain` is sent as it is, which no stream takes.
async fn send(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let order = message.require(&types::STRING)?;
    let words: Vec<&str> = order.splitn(4, ' ').collect();
    let [stream, key, hash, text] = words[..] else {
        context.send_egress(EgressMessageBuilder::to(EGRESS).value(order));
        return Ok(());
    };
    let mut record = KinesisEgressMessage::to(EGRESS)
        .stream(stream)
        .partition_key(key);
    if hash != "-" {
        record = record.explicit_hash_key(hash);
    }
    context.send_egress(record.value(text)?);
    Ok(())
}

fn functions() -> StatefulFunctions {
    let sender = FunctionSpec::new(SENDER, send);
    StatefulFunctions::new().with(sender).unwrap()
}

fn module(address: std::net::SocketAddr, max: u32) -> String {
    module_with(address, max, "")
}

/// The same, with further properties.
fn module_with(address: std::net::SocketAddr, max: u32, more: &str) -> String {
    format!(
        "kind: io.statefun.kinesis.v1/egress
spec:
  id: test/kinesis
  awsRegion: {{type: specific, id: us-east-1}}
  awsCredentials: {{type: basic, accessKeyId: a, secretAccessKey: b}}
  maxOutstandingRecords: {max}
  clientConfigProperties: [{{aws.endpoint: 'http://{address}/'}}{more}]
"
    )
}

async fn order(runtime: &Runtime, order: &str) {
    let target = Address::new(SENDER, "one");
    let message = MessageBuilder::to(target).value(order);
    runtime.send(&message).await.unwrap();
}

async fn started(module: &str) -> (Scene, TempDir) {
    let data = folder();
    let scene = Scene::start_with(functions(), module, data.path()).await;
    (scene, data)
}

#[tokio::test(flavor = "multi_thread")]
async fn records_stand_in_their_streams_as_statefun_writes_them() {
    let Some(server) = shared("kinesis egress records") else {
        return;
    };
    let client = Client::of(server);
    let (one, two) = (client.stream("out", 2).await, client.stream("out", 1).await);
    let (scene, _data) = started(&module(server.address, 1000)).await;
    let last = u128::MAX;
    for text in [
        format!("{one} a 0 ä"),
        format!("{one} a {last} two"),
        format!("{two} b - three"),
    ] {
        order(&scene.runtime, &text).await;
    }
    let records = client.await_records(&one, 2).await;
    let found: Vec<_> = records
        .iter()
        .map(|record| (&*record.key, record.text(), &*record.shard))
        .collect();
    // The explicit hash key chooses the shard.
    let expected = [
        ("a", "ä".to_owned(), "shardId-000000000000"),
        ("a", "two".to_owned(), "shardId-000000000001"),
    ];
    assert_eq!(found, expected);
    let [record] = &client.await_records(&two, 1).await[..] else {
        panic!("one record");
    };
    assert_eq!((&*record.key, record.text()), ("b", "three".to_owned()));
    scene.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_no_stream_stores_is_set_aside_and_holds_up_no_other() {
    let Some(server) = shared("kinesis refused records") else {
        return;
    };
    let client = Client::of(server);
    let stream = client.stream("refuses", 1).await;
    let (scene, _data) = started(&module(server.address, 1000)).await;
    let large = "x".repeat((1 << 20) + 1);
    for text in [
        format!("{stream} a - one"),
        format!("{stream} a - {large}"),
        format!("{stream} {} - long key", "k".repeat(257)),
        format!("{stream} a x no hash"),
        "no/name a - no stream".to_owned(),
        "plain".to_owned(),
        format!("{stream} a - two"),
    ] {
        order(&scene.runtime, &text).await;
    }
    let texts: Vec<String> = client
        .await_records(&stream, 2)
        .await
        .iter()
        .map(|read| read.text())
        .collect();
    assert_eq!(texts, ["one", "two"]);
    scene.says("\"set_aside\":5").await;
    scene.says("\"outbox\":0").await;
    for words in [
        "the partition key has 257 characters",
        "`x` is not a number",
        "`no/name` is not a name of a stream",
        "The generic Kinesis egress expects only messages of type",
        "PutRecords: ValidationException",
    ] {
        until(words, async || {
            scene.ask("/api/queues").await.contains(words).then_some(())
        })
        .await;
    }
    scene.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_failures_and_throttling_keep_the_order_of_each_key() {
    let Some(server) = shared("kinesis partial failures") else {
        return;
    };
    let (client, front) = (Client::of(server), Front::start(server).await);
    let stream = client.stream("partial", 3).await;
    {
        let mut faults = front.faults();
        faults.refused = 35;
        faults.throttled = 15;
    }
    let (scene, _data) = started(&module(front.address, 40)).await;
    let keys = ["a", "b", "c", "d"];
    for number in 0..120 {
        let key = keys[number % 4];
        order(&scene.runtime, &format!("{stream} {key} - {number:03}")).await;
    }
    let records = client.await_records(&stream, 120).await;
    scene.says("\"outbox\":0").await;
    assert_eq!(
        client.read(&stream).await.len(),
        120,
        "each was stored once"
    );
    for (at, key) in keys.iter().enumerate() {
        let found = records.iter().filter(|read| read.key == *key);
        let found: Vec<String> = found.map(|read| read.text()).collect();
        let expected: Vec<String> = (at..120).step_by(4).map(|n| format!("{n:03}")).collect();
        assert_eq!(found, expected, "{key}");
    }
    scene.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_away_is_waited_for_and_does_not_hold_up_the_stop() {
    let Some(server) = shared("kinesis egress away") else {
        return;
    };
    let (client, front) = (Client::of(server), Front::start(server).await);
    let stream = client.stream("away", 1).await;
    front.faults().is_away = true;
    let (scene, data) = started(&module(front.address, 1000)).await;
    order(&scene.runtime, &format!("{stream} a - one")).await;
    scene.says("no answer from Kinesis").await;
    scene.runtime.shutdown().await;
    let scene = Scene::start_with(functions(), &module(front.address, 1000), data.path()).await;
    scene.says("no answer from Kinesis").await;
    front.faults().is_away = false;
    let records = client.await_records(&stream, 1).await;
    assert_eq!(records[0].text(), "one");
    scene.says("\"last_failure\":null").await;
    scene.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_created_soon_gets_its_records_and_one_that_is_not_holds_up_no_other() {
    let Some(server) = shared("kinesis egress missing stream") else {
        return;
    };
    let client = Client::of(server);
    let (late, never) = (client.name("late"), client.name("never"));
    let there = client.stream("there", 1).await;
    let (scene, _data) = started(&module(server.address, 1000)).await;
    order(&scene.runtime, &format!("{late} a - one")).await;
    scene.says("ResourceNotFoundException").await;
    client.make(&late, 1).await;
    let records = client.await_records(&late, 1).await;
    assert_eq!(records[0].text(), "one");
    scene.says("\"set_aside\":0").await;
    for text in [
        format!("{never} a - two"),
        format!("{there} a - three"),
        format!("{never} a - four"),
        format!("{there} a - five"),
    ] {
        order(&scene.runtime, &text).await;
    }
    let records = client.await_records(&there, 2).await;
    let texts: Vec<String> = records.iter().map(|read| read.text()).collect();
    assert_eq!(texts, ["three", "five"]);
    scene.says("\"set_aside\":2").await;
    // Once the stream is there, they are sent again.
    client.make(&never, 1).await;
    let why = json!({"actor": "me", "reason": "the stream is there"});
    let (status, told) = scene.post("/api/set-aside/redrive", &why).await;
    assert_eq!((status, &told["redriven"]), (200, &json!(2)), "{told}");
    let records = client.await_records(&never, 2).await;
    let mut texts: Vec<String> = records.iter().map(|read| read.text()).collect();
    texts.sort();
    assert_eq!(texts, ["four", "two"]);
    scene.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_access_is_shown_and_tried_again() {
    let Some(server) = shared("kinesis egress denied") else {
        return;
    };
    let (client, front) = (Client::of(server), Front::start(server).await);
    let stream = client.stream("denied", 1).await;
    let denied = error(
        "AccessDeniedException",
        "User is not authorized to perform: kinesis:PutRecords",
    );
    let denials = std::iter::repeat_n(denied, 4).collect();
    front.faults().answers.insert("PutRecords", denials);
    let (scene, _data) = started(&module(front.address, 1000)).await;
    order(&scene.runtime, &format!("{stream} a - one")).await;
    client.await_records(&stream, 1).await;
    assert!(front.count("PutRecords") >= 5);
    scene.says("\"set_aside\":0").await;
    scene.runtime.shutdown().await;
}

/// Waits until the egress has delivered everything and shows no failure.
async fn settled(scene: &Scene) {
    until("the egress to be settled", async || {
        let queues = scene.ask("/api/queues").await;
        let queues: serde_json::Value = serde_json::from_str(&queues).unwrap();
        let egresses = queues["egresses"].as_array()?;
        let ours = egresses
            .iter()
            .find(|one| one["egress"] == "test/kinesis")?;
        let is_settled = ours["outbox"] == 0 && ours["last_failure"].is_null();
        assert_eq!(ours["set_aside"], 0, "{ours}");
        is_settled.then_some(())
    })
    .await;
}

/// Values of the records of a stream, in their order.
async fn texts(client: &Client, stream: &str, count: usize) -> Vec<String> {
    let records = client.await_records(stream, count).await;
    records.iter().map(|read| read.text()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_may_not_be_written_delays_no_other_stream_in_later_batches() {
    let Some(server) = shared("kinesis egress denied stream") else {
        return;
    };
    let (client, front) = (Client::of(server), Front::start(server).await);
    let (denied, open) = (
        client.stream("denied", 1).await,
        client.stream("open", 1).await,
    );
    front.faults().denied = Some(denied.clone());
    let (scene, _data) = started(&module(front.address, 1000)).await;
    for number in 1..=5 {
        order(&scene.runtime, &format!("{denied} a - {number}")).await;
        order(&scene.runtime, &format!("{open} a - {number}")).await;
        // Each is in a later batch than the one before.
        texts(&client, &open, number).await;
    }
    scene.says("not authorized").await;
    scene.says("\"outbox\":5").await;
    front.faults().denied = None;
    let numbers = ["1", "2", "3", "4", "5"];
    assert_eq!(texts(&client, &denied, 5).await, numbers);
    assert_eq!(texts(&client, &open, 5).await, numbers);
    settled(&scene).await;
    scene.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_key_delays_no_other_key_in_later_batches_and_keeps_its_order() {
    let Some(server) = shared("kinesis egress throttled key") else {
        return;
    };
    let (client, front) = (Client::of(server), Front::start(server).await);
    let stream = client.stream("throttled-key", 1).await;
    front.faults().refused_key = Some("hot".to_owned());
    // There is room for three delayed records, and the fourth waits for them.
    let (scene, data) = started(&module(front.address, 3)).await;
    for number in 1..=3 {
        order(&scene.runtime, &format!("{stream} hot - {number}")).await;
        order(&scene.runtime, &format!("{stream} cold - {number}")).await;
        texts(&client, &stream, number).await;
    }
    order(&scene.runtime, &format!("{stream} hot - 4")).await;
    scene.says("\"outbox\":4").await;
    // What was delayed is delivered by the next start.
    scene.runtime.shutdown().await;
    assert_eq!(texts(&client, &stream, 3).await, ["1", "2", "3"]);
    let scene = Scene::start_with(functions(), &module(front.address, 3), data.path()).await;
    scene.says("\"outbox\":4").await;
    front.faults().refused_key = None;
    let expected = ["1", "2", "3", "1", "2", "3", "4"];
    assert_eq!(texts(&client, &stream, 7).await, expected);
    settled(&scene).await;
    scene.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_a_key_are_packed_if_a_property_asks_for_it_and_an_ingress_reads_them() {
    let Some(server) = shared("kinesis egress aggregation") else {
        return;
    };
    let (client, front) = (Client::of(server), Front::start(server).await);
    let stream = client.stream("packed", 2).await;
    front.faults().is_away = true;
    let properties = ", {AggregationEnabled: true}, {AggregationMaxCount: 16}";
    let (scene, _data) = started(&module_with(front.address, 1000, properties)).await;
    // As a value of StateFun's type for texts.
    let value = |number: u32| format!("\n\u{3}{number:03}");
    for number in 0..40 {
        order(&scene.runtime, &format!("{stream} hot - {}", value(number))).await;
    }
    scene.says("\"outbox\":40").await;
    front.faults().is_away = false;
    settled(&scene).await;
    scene.runtime.shutdown().await;
    let records = client.read(&stream).await;
    // One that was sent while the service was away, and the others in packs.
    assert!(records.len() <= 5, "{} records", records.len());
    let is_packed = |bytes: &[u8]| bytes.starts_with(&[0xf3, 0x89, 0x9a, 0xc2]);
    assert!(records.iter().any(|read| is_packed(&read.value)));
    let data = folder();
    let module = super::ingress::Ingress::of(&client, &stream).module();
    let scene = Scene::start(&module, data.path()).await;
    let expected: Vec<String> = (0..40).map(|number| format!("{number:03}")).collect();
    until("all records", async || {
        (scene.far_side.texts() == expected).then_some(())
    })
    .await;
    scene.runtime.shutdown().await;
}
