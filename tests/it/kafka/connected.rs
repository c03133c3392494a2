//! `statefun check --connect` asks the cluster, says what fits and what does not, and changes nothing there.

use super::broker::{Version, secured, shared};
use super::client::Client;
use super::egress::{functions, module, order};
use crate::support::asked::{ask, has};
use crate::support::scene::Scene;

fn ingress(address: &str, topic: &str, properties: &str) -> String {
    format!(
        "kind: io.statefun.kafka.v1/ingress
spec:
  id: test/in
  address: {address}
  consumerGroupId: asked
  startupPosition: {{type: group-offsets}}
  topics: [{{topic: {topic}, valueType: io.statefun.types/string, targets: [statefun.samples/greeter]}}]
  properties: [{properties}]
---
kind: statefun.samples.v1/functions
spec: {{}}
---
"
    )
}

async fn says_what_fits_and_fences_nobody(version: Version) {
    let Some(broker) = shared("kafka check --connect", version) else {
        return;
    };
    let client = Client::of(broker);
    let topic = client.topic("asked", 3).await;
    let out = client.topic("asked-out", 1).await;
    let id = client.name("asked");
    let egress = |timeout: &str| {
        let semantic = format!("{{type: exactly-once, transactionTimeout: {timeout}}}");
        module(broker, &semantic, &format!("{{transactional.id: {id}}}"))
    };
    let data = tempfile::tempdir().unwrap();
    let scene = Scene::start_with(functions(), &egress("1min"), data.path()).await;
    order(&scene.runtime, &format!("{out} a before")).await;
    client.read(&out, 1).await;

    let (code, answers) = ask(
        &(ingress(&broker.address(), &topic, "") + &egress("1min")),
        &[],
    );
    assert_eq!(code, 0, "{answers:#?}");
    has(
        &answers,
        "fine",
        "spec.topics",
        &format!("the topic {topic} has 3 partitions and can be read"),
    );
    has(
        &answers,
        "fine",
        "spec.consumerGroupId",
        "the group asked can be read",
    );
    has(
        &answers,
        "fine",
        "spec.address",
        "the cluster answers, and has 1 broker",
    );
    has(
        &answers,
        "fine",
        "spec.deliverySemantic",
        &format!("which the group {id} keeps, can be read"),
    );
    has(
        &answers,
        "fine",
        "spec.deliverySemantic.transactionTimeout",
        "transactions of 900000 ms",
    );
    has(&answers, "unknown", "spec", "shows with the first record");

    // The runtime was not fenced.
    order(&scene.runtime, &format!("{out} a after")).await;
    client.read(&out, 2).await;
    scene.runtime.shutdown().await;

    let missing = client.name("missing");
    for _ in 0..2 {
        let (code, answers) = ask(
            &(ingress(&broker.address(), &missing, "") + &egress("16min")),
            &[],
        );
        assert_eq!(code, 1, "{answers:#?}");
        // Asking has not made it.
        has(
            &answers,
            "warning",
            "spec.topics",
            "does not exist: the ingress waits for it",
        );
        has(
            &answers,
            "fault",
            "spec.deliverySemantic.transactionTimeout",
            "900000 ms at most",
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_asks_a_cluster_3_9_and_fences_nobody() {
    says_what_fits_and_fences_nobody(Version::V39).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_asks_a_cluster_4_1_and_fences_nobody() {
    says_what_fits_and_fences_nobody(Version::V41).await;
}

#[test]
fn a_cluster_that_does_not_answer_is_a_fault_with_its_reason() {
    // Nobody listens on port 1.
    let (code, answers) = ask(&ingress("127.0.0.1:1", "any", ""), &[]);
    assert_eq!(code, 1, "{answers:#?}");
    has(&answers, "fault", "spec.address", "no broker answers");
    has(&answers, "fault", "spec.address", "Connection refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_may_not_be_read_is_a_fault() {
    let Some(broker) = secured("kafka check --connect rights", Version::V41) else {
        return;
    };
    let client = Client::of(&broker);
    let topic = client.topic("denied", 1).await;
    broker.grant(&["deny", "alice", "TOPIC", &topic, "READ"]);
    let login = "{security.protocol: SASL_PLAINTEXT}, {sasl.mechanism: PLAIN}, {sasl.jaas.config: 'org.apache.kafka.common.security.plain.PlainLoginModule required username=\"alice\" password=\"right-1\";'}";
    let address = format!("localhost:{}", broker.secured().sasl);
    let (code, answers) = ask(&ingress(&address, &topic, login), &[]);
    assert_eq!(code, 1, "{answers:#?}");
    has(&answers, "fault", "spec.topics", &topic);
    has(&answers, "fault", "spec.topics", "uthorization");
    let wrong = login.replace("right-1", "wrong-2");
    let (code, answers) = ask(&ingress(&address, &topic, &wrong), &[]);
    assert_eq!(code, 1, "{answers:#?}");
    has(&answers, "fault", "spec.address", "authentication");
}
