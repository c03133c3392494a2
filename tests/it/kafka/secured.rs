//! TLS, SASL and rights: what connects, and what operators see when something does not fit. A build without `kafka-tls` tries SASL PLAIN alone.

use std::path::Path;

use serde_json::json;
use stateful_functions::{
    BoxError, Context, FunctionSpec, KafkaEgressMessage, Message, StatefulFunctions, TypeName,
    types,
};

use super::broker::{Broker, PASSWORD, Secured, USER, Version, secured};
use super::client::Client;
use crate::support::scene::Scene;
use crate::support::tls::DATA;
use crate::support::until::until;

const RELAY: TypeName = TypeName::new("test/relay");
const OUT: TypeName = TypeName::new("test/relayed");

/// `<topic> <text>` goes to that topic, with the id as key.
async fn relay(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let order = message.require(&types::STRING)?;
    let (topic, text) = order.split_once(' ').ok_or("no topic")?;
    let key = context.address().id().to_owned();
    let record = KafkaEgressMessage::to(OUT).topic(topic).key(key);
    context.send_egress(record.value(text)?);
    Ok(())
}

fn functions() -> StatefulFunctions {
    let relay = FunctionSpec::new(RELAY, relay);
    StatefulFunctions::new().with(relay).unwrap()
}

/// A module that relays the records of `topic`, both ways by `port`.
fn module(port: u16, topic: &str, properties: &str) -> String {
    format!(
        "kind: io.statefun.kafka.v1/ingress
spec:
  id: test/in
  address: localhost:{port}
  consumerGroupId: {topic}
  startupPosition: {{type: earliest}}
  topics: [{{topic: {topic}, valueType: io.statefun.types/string, targets: [test/relay]}}]
  properties:
{properties}
---
kind: io.statefun.kafka.v1/egress
spec:
  id: test/relayed
  address: localhost:{port}
  deliverySemantic: {{type: exactly-once, transactionTimeout: 1min}}
  properties:
    - transactional.id: {topic}
{properties}
"
    )
}

fn tls(authority: &str) -> String {
    format!(
        "    - ssl.truststore.type: PEM
    - ssl.truststore.location: {DATA}/{authority}.crt
"
    )
}

fn sasl(protocol: &str, mechanism: &str, password: &str) -> String {
    let login = match mechanism {
        "PLAIN" => "plain.PlainLoginModule",
        _ => "scram.ScramLoginModule",
    };
    format!(
        "    - security.protocol: {protocol}
    - sasl.mechanism: {mechanism}
    - sasl.jaas.config: 'org.apache.kafka.common.security.{login} required username=\"{USER}\" password=\"{password}\";'
"
    )
}

/// The ways to connect that this build has: port and properties.
fn ways(ports: Secured, folder: &Path) -> Vec<(&'static str, u16, String)> {
    let plain = (
        "PLAIN",
        ports.sasl,
        sasl("SASL_PLAINTEXT", "PLAIN", PASSWORD),
    );
    if !cfg!(feature = "kafka-tls") {
        return vec![plain];
    }
    let only_tls = format!("    - security.protocol: SSL\n{}", tls("authority"));
    // Key and certificate in one file, as Java's client reads them.
    let both = ["client.key", "client.crt"]
        .map(|name| std::fs::read_to_string(Path::new(DATA).join(name)).unwrap());
    let client = folder.join("client.pem");
    std::fs::write(&client, both.concat()).unwrap();
    let mutual = format!(
        "{only_tls}    - ssl.keystore.type: PEM\n    - ssl.keystore.location: {}\n",
        client.display()
    );
    let over_tls = |mechanism| sasl("SASL_SSL", mechanism, PASSWORD) + &tls("authority");
    vec![
        plain,
        ("TLS", ports.tls, only_tls),
        ("TLS with a certificate of the client", ports.tls, mutual),
        (
            "SCRAM-SHA-256",
            ports.sasl,
            sasl("SASL_PLAINTEXT", "SCRAM-SHA-256", PASSWORD),
        ),
        (
            "SCRAM-SHA-512 over TLS",
            ports.sasl_tls,
            over_tls("SCRAM-SHA-512"),
        ),
        ("PLAIN over TLS", ports.sasl_tls, over_tls("PLAIN")),
    ]
}

/// Writes an order into `topic`, and waits until the record stands in `out`.
async fn relays(client: &Client<'_>, topic: &str, out: &str, text: &str) {
    let order = types::STRING.encode(&format!("{out} {text}")).unwrap();
    client.write(topic, None, Some("k"), Some(&order)).await;
    let read = client.read(out, 1).await;
    assert_eq!(read[0].value, text);
}

async fn every_way_carries_records(version: Version) {
    let Some(broker) = secured("kafka tls and sasl", version) else {
        return;
    };
    let client = Client::of(&broker);
    let folder = tempfile::tempdir().unwrap();
    for (way, port, properties) in ways(broker.secured(), folder.path()) {
        let (topic, out) = (client.topic("in", 1).await, client.topic("out", 1).await);
        let data = tempfile::tempdir().unwrap();
        let module = module(port, &topic, &properties);
        let scene = Scene::start_with(functions(), &module, data.path()).await;
        relays(&client, &topic, &out, way).await;
        scene.runtime.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_and_sasl_carry_records_both_ways_on_3_9() {
    every_way_carries_records(Version::V39).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_and_sasl_carry_records_both_ways_on_4_1() {
    every_way_carries_records(Version::V41).await;
}

#[cfg(feature = "kafka-tls")]
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_reported_and_works_once_the_broker_accepts_it() {
    let Some(broker) = secured("kafka wrong password", Version::V41) else {
        return;
    };
    let client = Client::of(&broker);
    let (topic, out) = (client.topic("in", 1).await, client.topic("out", 1).await);
    let data = tempfile::tempdir().unwrap();
    let properties = sasl("SASL_PLAINTEXT", "SCRAM-SHA-256", "other-2");
    let module = module(broker.secured().sasl, &topic, &properties);
    let scene = Scene::start_with(functions(), &module, data.path()).await;
    scene.says("SASL authentication error").await;
    broker.grant(&["password", USER, "other-2"]);
    relays(&client, &topic, &out, "well again").await;
    scene.runtime.shutdown().await;
}

#[cfg(feature = "kafka-tls")]
#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_expired_certificates_are_reported() {
    let Some(broker) = secured("kafka certificates", Version::V41) else {
        return;
    };
    let client = Client::of(&broker);
    let ports = broker.secured();
    let topic = client.topic("in", 1).await;
    for (port, trusted) in [(ports.tls, "localhost"), (ports.expired, "expired")] {
        let data = tempfile::tempdir().unwrap();
        let properties = format!("    - security.protocol: SSL\n{}", tls(trusted));
        let module = module(port, &topic, &properties);
        let scene = Scene::start_with(functions(), &module, data.path()).await;
        scene.says("certificate verify failed").await;
        scene.runtime.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_may_not_be_read_is_reported_and_read_once_it_may() {
    let Some(broker) = secured("kafka right to read", Version::V41) else {
        return;
    };
    let client = Client::of(&broker);
    let (topic, out) = (client.topic("in", 1).await, client.topic("out", 1).await);
    broker.grant(&["deny", USER, "TOPIC", &topic, "READ"]);
    let scene = plain(&broker, &topic).await;
    scene.0.says("Topic authorization failed").await;
    broker.grant(&["allow", USER, "TOPIC", &topic, "READ"]);
    relays(&client, &topic, &out, "allowed").await;
    scene.0.runtime.shutdown().await;
}

async fn plain(broker: &Broker, topic: &str) -> (Scene, tempfile::TempDir) {
    let data = tempfile::tempdir().unwrap();
    let scene = Scene::start_with(functions(), &plain_module(broker, topic), data.path()).await;
    (scene, data)
}

fn plain_module(broker: &Broker, topic: &str) -> String {
    let properties = sasl("SASL_PLAINTEXT", "PLAIN", PASSWORD);
    module(broker.secured().sasl, topic, &properties)
}

/// What stands in `/api/set-aside`, once there are this many records.
async fn set_aside(scene: &Scene, many: usize) -> Vec<serde_json::Value> {
    until(&format!("{many} records set aside"), async || {
        let listed: serde_json::Value =
            serde_json::from_str(&scene.ask("/api/set-aside").await).unwrap();
        let items = listed["items"].as_array().unwrap().clone();
        (items.len() == many).then_some(items)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_may_not_be_written_are_kept_over_a_restart_and_sent_again_or_deleted_on_command()
 {
    let Some(broker) = secured("kafka right to write", Version::V41) else {
        return;
    };
    let client = Client::of(&broker);
    let (topic, out) = (client.topic("in", 1).await, client.topic("out", 1).await);
    let other = client.topic("other", 1).await;
    broker.grant(&["deny", USER, "TOPIC", &out, "WRITE"]);
    let (scene, data) = plain(&broker, &topic).await;
    for text in ["one", "two", "three"] {
        let order = types::STRING.encode(&format!("{out} {text}")).unwrap();
        client.write(&topic, None, Some("k"), Some(&order)).await;
    }
    // Other topics do not wait.
    relays(&client, &topic, &other, "passes").await;
    set_aside(&scene, 3).await;
    scene.runtime.shutdown().await;

    let module = plain_module(&broker, &topic);
    let scene = Scene::start_with(functions(), &module, data.path()).await;
    let kept = set_aside(&scene, 3).await;
    for record in &kept {
        let reason = record["reason"].as_str().unwrap();
        assert!(
            reason.contains(&out) && reason.contains("authorization"),
            "{reason}"
        );
        assert_eq!(record["egress"], "test/relayed");
    }
    let path = |at: usize| {
        format!(
            "/api/set-aside/test/relayed/{}",
            kept[at]["id"].as_str().unwrap()
        )
    };
    let one: serde_json::Value = serde_json::from_str(&scene.ask(&path(0)).await).unwrap();
    assert!(one["base64"].is_string(), "{one}");
    let command = json!({"actor": "alice", "reason": "a test"});
    let purged = scene.post(&format!("{}/purge", path(0)), &command).await;
    assert_eq!(purged, (200, json!({"purged": true})));
    let (status, again) = scene.post(&format!("{}/purge", path(0)), &command).await;
    assert_eq!(
        (status, &again["code"]),
        (404, &json!("set_aside.not_found"))
    );

    broker.grant(&["allow", USER, "TOPIC", &out, "WRITE"]);
    let redriven = scene.post(&format!("{}/redrive", path(1)), &command).await;
    assert_eq!(redriven, (200, json!({"redriven": 1})));
    let counted = json!({"actor": "alice", "reason": "a test", "dry_run": true});
    let (_, counted) = scene.post("/api/set-aside/redrive", &counted).await;
    assert_eq!(counted["redriven"], 1);
    let (_, redriven) = scene
        .post("/api/set-aside/redrive?egress=test/relayed", &command)
        .await;
    assert_eq!(redriven["redriven"], 1);
    let mut values: Vec<String> = client
        .read(&out, 2)
        .await
        .into_iter()
        .map(|read| read.value)
        .collect();
    values.sort();
    assert_eq!(values, ["three", "two"]);
    set_aside(&scene, 0).await;
    let queues: serde_json::Value = serde_json::from_str(&scene.ask("/api/queues").await).unwrap();
    let mut egresses = queues["egresses"].as_array().unwrap().iter();
    let counted = egresses
        .find(|egress| egress["egress"] == "test/relayed")
        .unwrap();
    assert_eq!(counted["set_aside"], 0);
    scene.runtime.shutdown().await;
}
