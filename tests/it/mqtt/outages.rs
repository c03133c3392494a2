//! From MQTT to MQTT while broker and runtime come and go: nothing is lost, and nobody has to do anything.

use std::collections::BTreeSet;

use super::broker::Broker;
use crate::support::installed::Installed;

const ROUNDS: usize = 8;
/// Publications of a round.
const STEP: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_publication_leaves_though_broker_and_runtime_go_away_again_and_again_under_load() {
    let Some(broker) = Broker::start("mqtt outages").await else {
        return;
    };
    let url = broker.url();
    let module = format!(
        "kind: statefun.mqtt.v1/ingress
spec:
  id: test/in
  url: {url}
  clientId: in
  qos: 2
  topics: [{{topic: in/#, valueType: statefun/json, targets: [pipelines/p]}}]
---
kind: statefun.pipelines.v1/pipeline
spec:
  name: p
  stages: [{{kafka-export: {{egress: test/out, topic: out}}}}]
---
kind: statefun.mqtt.v1/egress
spec: {{id: test/out, url: '{url}', clientId: out, qos: 1}}
"
    );
    let installed = Installed::with(&module);
    broker.make_session("reader", "out", 2);
    broker.stop();
    // The broker is away when it starts.
    let mut runtime = installed.run();
    broker.restart().await;
    broker.logs("SUBACK to in", 1).await;
    let mut count = 0;
    for round in 0..ROUNDS {
        let texts: Vec<String> = (count..count + STEP).map(|n| n.to_string()).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        broker.publish("in/a", 2, &texts);
        count += STEP;
        if round % 2 == 0 {
            runtime.kill();
        }
        broker.stop();
        if round % 2 == 0 {
            runtime = installed.run();
        }
        broker.restart().await;
    }
    let mut left: BTreeSet<usize> = (0..count).collect();
    while !left.is_empty() {
        let taken = broker.take("reader", "out", 1);
        let number = taken[0].strip_prefix("out ").unwrap();
        left.remove(&number.parse().unwrap());
    }
    assert_eq!(runtime.terminate(), Some(0));
}
