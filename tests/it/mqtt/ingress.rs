//! What `statefun.mqtt.v1/ingress` makes of publications, and what operators see.

use std::path::Path;

use serde_json::Value;
use stateful_functions::runtime::Runtime;

use super::broker::Broker;
use crate::faults::hidden_attempts::{get, listed, started};
use crate::runtime::{SAMPLES, Started, text};
use crate::support::destination::Destination;
use crate::support::until::until;

fn module(broker: &Broker, topics: &str) -> String {
    let url = broker.url();
    format!(
        "{SAMPLES}---
kind: statefun.mqtt.v1/ingress
spec:
  id: test/in
  url: {url}
  addressId: 2
  topics: {topics}
"
    )
}

const COUNTERS: &str =
    "[{topic: counters/+, valueType: statefun/json, targets: [statefun.samples/counter]}]";

/// The same, with a data folder.
async fn on(data: &Path, module: &str) -> Started {
    let builder = Runtime::builder().data(data);
    started(builder, module).await
}

/// Waits until a counter has this total.
async fn total(started: &Started, id: &str, expected: u64) {
    until(&format!("a total of {expected}"), async || {
        let plain = [("content-type", "text/plain")];
        let path = format!("/call/statefun.samples/counter/{id}");
        let answer = started.post(&path, &plain, "0").await;
        (text(&answer) == expected.to_string()).then_some(())
    })
    .await;
}

/// Waits until the ingress is as `wanted`.
async fn shown(started: &Started, wanted: impl Fn(&Value) -> bool) -> Value {
    let is_ours = |entry: &Value| entry["ingress"] == "test/in" && wanted(entry);
    listed(started, "ingresses", is_ours).await
}

async fn subscribed(started: &Started) {
    let has = |entry: &Value| entry["splits"].to_string().contains("subscriptions");
    shown(started, has).await;
}

#[tokio::test]
async fn a_level_of_the_topic_is_the_id_and_the_payload_the_value() {
    let Some(broker) = Broker::start("a level of the topic is the id").await else {
        return;
    };
    let started = started(Runtime::builder(), &module(&broker, COUNTERS)).await;
    subscribed(&started).await;
    for qos in 0..3 {
        broker.publish("counters/a", qos, &["1", "2"]);
    }
    broker.publish("counters/b", 1, &["40"]);
    broker.publish("others/a", 1, &["1000"]);
    total(&started, "a", 9).await;
    total(&started, "b", 40).await;
}

#[tokio::test]
async fn what_is_published_while_the_runtime_is_away_comes_later_and_once() {
    let Some(broker) = Broker::start("published while the runtime is away").await else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let module = module(&broker, COUNTERS);
    let mut expected = 0;
    for round in 0..4 {
        let started = on(data.path(), &module).await;
        if round == 0 {
            subscribed(&started).await;
        }
        total(&started, "a", expected).await;
        started.runtime.shutdown().await;
        broker.publish("counters/a", 1, &["1"; 30]);
        expected += 30;
    }
    let started = on(data.path(), &module).await;
    total(&started, "a", expected).await;
}

#[tokio::test]
async fn a_broker_that_is_away_is_shown_and_waited_for_at_the_start_and_later() {
    let Some(broker) = Broker::start("a broker that is away").await else {
        return;
    };
    broker.stop();
    let started = started(Runtime::builder(), &module(&broker, COUNTERS)).await;
    let is_away = |entry: &Value| {
        let told = entry["last_failure"].as_str().unwrap_or_default();
        told.contains(&format!("broker 127.0.0.1:{}", broker.port))
    };
    shown(&started, is_away).await;
    broker.restart().await;
    subscribed(&started).await;
    shown(&started, |entry| entry["last_failure"].is_null()).await;
    broker.publish("counters/a", 1, &["1"]);
    total(&started, "a", 1).await;
    broker.stop();
    shown(&started, is_away).await;
    broker.restart().await;
    broker.publish("counters/a", 1, &["1"; 5]);
    total(&started, "a", 6).await;
    shown(&started, |entry| entry["last_failure"].is_null()).await;
}

#[tokio::test]
async fn a_broker_that_has_lost_the_session_is_subscribed_to_again() {
    let Some(broker) = Broker::start("a broker that has lost the session").await else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let started = on(data.path(), &module(&broker, COUNTERS)).await;
    subscribed(&started).await;
    broker.publish("counters/a", 2, &["1"]);
    total(&started, "a", 1).await;
    broker.stop();
    std::fs::remove_file(broker.path("mosquitto.db")).unwrap();
    broker.restart().await;
    broker.logs("SUBACK to statefun-test-in", 2).await;
    broker.publish("counters/a", 2, &["1"]);
    total(&started, "a", 2).await;
}

#[tokio::test]
async fn topics_that_the_module_no_longer_names_are_left_and_retained_ones_do_not_come_again() {
    let Some(broker) = Broker::start("topics that the module no longer names").await else {
        return;
    };
    broker.publish_with("counters/kept", 1, &["5"], &["-r"]);
    let data = tempfile::tempdir().unwrap();
    let started = on(data.path(), &module(&broker, COUNTERS)).await;
    total(&started, "kept", 5).await;
    started.runtime.shutdown().await;
    let started = on(data.path(), &module(&broker, COUNTERS)).await;
    broker.publish("counters/a", 1, &["1"]);
    total(&started, "a", 1).await;
    // What is retained would have come before it.
    total(&started, "kept", 5).await;
    started.runtime.shutdown().await;
    let other = COUNTERS.replace("counters/+", "sums/+");
    let started = on(data.path(), &module(&broker, &other)).await;
    broker
        .logs("Received UNSUBSCRIBE from statefun-test-in", 1)
        .await;
    broker.logs("SUBACK to statefun-test-in", 2).await;
    broker.publish("counters/a", 1, &["100"]);
    broker.publish("sums/a", 1, &["1"]);
    total(&started, "a", 2).await;
}

/// The client closed the connection because of it, and the broker sent it again, before all others, for ever.
#[tokio::test]
async fn a_publication_that_is_too_large_is_set_aside_and_does_not_delay_those_behind_it() {
    let Some(broker) = Broker::start("a publication that is too large").await else {
        return;
    };
    let started = started(Runtime::builder(), &module(&broker, COUNTERS)).await;
    subscribed(&started).await;
    broker.publish_bytes("counters/large", 1, &vec![b'1'; (64 << 20) + 1]);
    broker.publish("counters/a", 1, &["1"]);
    total(&started, "a", 1).await;
    let letters = get(&started, "/api/dead-letters").await;
    let letters: Value = serde_json::from_str(&letters).unwrap();
    let letter = &letters["items"][0];
    assert_eq!(letter["origin"], "topic counters/large");
    let told = letter["error"]["message"].as_str().unwrap();
    assert!(told.contains("67108865 bytes, more than"), "{told}");
}

#[tokio::test]
async fn what_was_queued_for_a_topic_that_the_module_no_longer_names_is_a_dead_letter() {
    let Some(broker) = Broker::start("queued for a topic that is no longer named").await else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let started = on(data.path(), &module(&broker, COUNTERS)).await;
    subscribed(&started).await;
    started.runtime.shutdown().await;
    broker.publish("counters/a", 1, &["100"]);
    let other = COUNTERS.replace("counters/+", "sums/+");
    let started = on(data.path(), &module(&broker, &other)).await;
    shown(&started, |entry| entry["set_aside"] == 1).await;
    let letters: Value =
        serde_json::from_str(&get(&started, "/api/dead-letters?full=true").await).unwrap();
    let letter = &letters["items"][0];
    let told = |field: &Value| field.as_str().unwrap().to_owned();
    assert_eq!(letter["origin"], "topic counters/a");
    assert_eq!(letter["base64"], "MTAw");
    assert!(told(&letter["address"]).starts_with("test/in/"), "{letter}");
    let why = told(&letter["error"]["message"]);
    assert!(why.contains("the module named before"), "{why}");
    broker.publish("sums/a", 1, &["1"]);
    total(&started, "a", 1).await;
}

#[tokio::test]
async fn a_pipeline_takes_publications_as_json() {
    let Some(broker) = Broker::start("a pipeline takes publications").await else {
        return;
    };
    let destination = Destination::start().await;
    let topics = "[{topic: events/#, valueType: statefun/json, targets: [pipelines/large]}]";
    let module = format!(
        "{}---
kind: statefun.pipelines.v1/pipeline
spec:
  name: large
  stages:
    - filter: {{rule: {{'>': [{{var: n}}, 1]}}}}
    - http-export: {{url: '{}'}}
",
        module(&broker, topics),
        destination.url("/large"),
    );
    let started = started(Runtime::builder(), &module).await;
    subscribed(&started).await;
    broker.publish("events/x", 1, &[r#"{"n":1}"#, r#"{"n":2}"#]);
    destination.until(|received| !received.is_empty()).await;
    assert_eq!(destination.bodies(), [r#"{"n":2}"#]);
    let received = destination.received();
    assert_eq!(received[0].header("content-type"), Some("application/json"));
}
