//! Where an ingress begins, what it does with records, and what it does when something is away.

use std::fmt::Write as _;

use tempfile::TempDir;

use super::broker::{Version, own, shared};
use super::client::Client;
use crate::support::scene::Scene;
use crate::support::until::until;

/// An ingress as a module file has it.
#[derive(Clone)]
pub(super) struct Ingress {
    pub(super) address: String,
    group: String,
    topics: Vec<String>,
    pub(super) start: &'static str,
    pub(super) reset: &'static str,
    pub(super) properties: Vec<String>,
    targets: &'static str,
}

impl Ingress {
    pub(super) fn of(client: &Client<'_>, topic: &str) -> Self {
        Self {
            address: client.broker.address(),
            group: client.name("group"),
            topics: vec![topic.to_owned()],
            start: "{type: earliest}",
            reset: "latest",
            properties: vec!["{flink.partition-discovery.interval-millis: 100}".to_owned()],
            targets: "[test/ledger]",
        }
    }

    pub(super) fn module(&self) -> String {
        let mut module = format!(
            "kind: io.statefun.kafka.v1/ingress
spec:
  id: test/in
  address: {}
  consumerGroupId: {}
  startupPosition: {}
  autoOffsetResetPosition: {}
  properties: [{}]
  topics:
",
            self.address,
            self.group,
            self.start,
            self.reset,
            self.properties.join(", ")
        );
        for topic in &self.topics {
            let targets = self.targets;
            writeln!(
                module,
                "    - {{topic: {topic}, valueType: io.statefun.types/string, targets: {targets}}}"
            )
            .unwrap();
        }
        module
    }
}

pub(super) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_startup_position_begins_where_it_says_and_counts_once() {
    let Some(broker) = shared("kafka startup positions", Version::V41) else {
        return;
    };
    let client = Client::of(broker);
    let topic = client.topic("start", 1).await;
    for (key, text) in [("a", "one"), ("b", "two")] {
        client.text(&topic, 0, key, text).await;
    }
    let offsets = format!("{{type: specific-offsets, offsets: [{topic}/0: 1]}}").leak();
    let (folders, mut scenes) = (
        [folder(), folder(), folder(), folder(), folder()],
        Vec::new(),
    );
    for ((start, data), expected) in [
        "{type: earliest}",
        "{type: latest}",
        "{type: group-offsets}",
        offsets,
        "{type: date, date: '2020-01-01 00:00:00.000 +0000'}",
    ]
    .into_iter()
    .zip(&folders)
    .zip([
        &["one", "two", "three"][..],
        &["three"],
        &["three"],
        &["two", "three"],
        &["one", "two", "three"],
    ]) {
        let mut ingress = Ingress::of(&client, &topic);
        ingress.start = start;
        let scene = Scene::start(&ingress.module(), data.path()).await;
        // Where it begins is there before the first record.
        scene.says(&format!("{topic}/0")).await;
        scenes.push((scene, ingress, data, expected));
    }
    client.text(&topic, 0, "a", "three").await;
    for (scene, mut ingress, data, expected) in scenes {
        scene.arrive(expected).await;
        scene.runtime.shutdown().await;
        // The next start continues at the stored offsets, whatever the module says.
        ingress.start = "{type: earliest}";
        let scene = Scene::start(&ingress.module(), data.path()).await;
        scene.says(&format!("{topic}/0")).await;
        until("its group to be told", async || {
            (client.committed(&ingress.group, &topic, 0) == Some(3)).then_some(())
        })
        .await;
        assert_eq!(scene.far_side.texts(), [""; 0]);
        scene.runtime.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_position_is_taken_and_what_was_read_is_committed_to_the_group() {
    let Some(broker) = shared("kafka group offsets", Version::V39) else {
        return;
    };
    let client = Client::of(broker);
    let topic = client.topic("group", 1).await;
    client.text(&topic, 0, "a", "one").await;
    let mut ingress = Ingress::of(&client, &topic);
    let data = folder();
    let scene = Scene::start(&ingress.module(), data.path()).await;
    scene.arrive(&["one"]).await;
    until("the group's offset", async || {
        (client.committed(&ingress.group, &topic, 0) == Some(1)).then_some(())
    })
    .await;
    scene.runtime.shutdown().await;
    client.text(&topic, 0, "a", "two").await;
    // Another folder knows only what the group knows.
    ingress.start = "{type: group-offsets}";
    let other = folder();
    let scene = Scene::start(&ingress.module(), other.path()).await;
    scene.arrive(&["two"]).await;
    scene.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_target_gets_a_record_and_an_empty_key_is_a_key() {
    let Some(broker) = shared("kafka targets", Version::V41) else {
        return;
    };
    let client = Client::of(broker);
    let topic = client.topic("targets", 1).await;
    client.text(&topic, 0, "", "one").await;
    let mut ingress = Ingress::of(&client, &topic);
    ingress.targets = "[test/ledger, test/ledger]";
    let data = folder();
    let scene = Scene::start(&ingress.module(), data.path()).await;
    scene.arrive(&["one", "one"]).await;
    scene.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_without_key_or_value_is_set_aside_and_does_not_delay_others() {
    let Some(broker) = shared("kafka records without key", Version::V41) else {
        return;
    };
    let client = Client::of(broker);
    let topic = client.topic("nothing", 1).await;
    client.text(&topic, 0, "a", "one").await;
    client.write(&topic, Some(0), None, Some(b"x")).await;
    client.write(&topic, Some(0), Some("a"), None).await;
    client.text(&topic, 0, "a", "two").await;
    let data = folder();
    let scene = Scene::start(&Ingress::of(&client, &topic).module(), data.path()).await;
    scene.arrive(&["one", "two"]).await;
    scene.says("\"set_aside\":2").await;
    scene.runtime.shutdown().await;
    // They are kept, and not read again.
    let scene = Scene::start(&Ingress::of(&client, &topic).module(), data.path()).await;
    scene.says("\"set_aside\":2").await;
    let letters = scene.ask("/api/dead-letters?full=true").await;
    let letters: serde_json::Value = serde_json::from_str(&letters).unwrap();
    let mut told: Vec<_> = letters["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|letter| {
            let text = |field: &serde_json::Value| field.as_str().unwrap().to_owned();
            let why = text(&letter["error"]["message"]);
            (text(&letter["origin"]), why, text(&letter["base64"]))
        })
        .collect();
    told.sort();
    let at = |rest: &str| format!("topic {topic}, partition 0, offset {rest}");
    let no_key =
        "The io.statefun.kafka.v1/ingress ingress requires a UTF-8 key set for each record.";
    let no_value = "the record has no value, which StateFun does not take either";
    assert_eq!(
        told,
        [
            (at("1"), no_key.to_owned(), "eA==".to_owned()),
            (at("2, key a"), no_value.to_owned(), String::new()),
        ]
    );
    assert_eq!(scene.far_side.texts(), [""; 0]);
    scene.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_added_are_read_from_their_first_record_on() {
    let Some(broker) = shared("kafka new partitions", Version::V41) else {
        return;
    };
    let client = Client::of(broker);
    let topic = client.topic("grows", 1).await;
    let mut ingress = Ingress::of(&client, &topic);
    ingress.start = "{type: latest}";
    let data = folder();
    let scene = Scene::start(&ingress.module(), data.path()).await;
    scene.says(&format!("{topic}/0")).await;
    client.grow(&topic, 3).await;
    client.text(&topic, 2, "a", "one").await;
    scene.arrive(&["one"]).await;
    scene.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_reported_delays_no_other_and_is_read_once_it_exists() {
    let Some(broker) = shared("kafka missing topic", Version::V41) else {
        return;
    };
    let client = Client::of(broker);
    let topic = client.topic("there", 1).await;
    let late = client.name("late");
    let mut ingress = Ingress::of(&client, &topic);
    ingress.topics.push(late.clone());
    ingress.start = "{type: latest}";
    ingress
        .properties
        .push("{allow.auto.create.topics: false}".to_owned());
    let data = folder();
    let scene = Scene::start(&ingress.module(), data.path()).await;
    scene
        .says(&format!("the topic {late} does not exist"))
        .await;
    client.text(&topic, 0, "a", "one").await;
    scene.arrive(&["one"]).await;
    // It is made while the runtime is away: all of it is new.
    scene.runtime.shutdown().await;
    client.make(&late, 1, &[]).await;
    client.text(&late, 0, "a", "two").await;
    let scene = Scene::start(&ingress.module(), data.path()).await;
    scene.arrive(&["two"]).await;
    scene.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_retention_took_the_position_it_goes_on_by_the_reset_position() {
    let Some(broker) = shared("kafka retention", Version::V39) else {
        return;
    };
    let client = Client::of(broker);
    for (reset, expected) in [("earliest", &["four", "five"][..]), ("latest", &["five"])] {
        let topic = client.topic("retention", 1).await;
        client.text(&topic, 0, "a", "one").await;
        let mut ingress = Ingress::of(&client, &topic);
        ingress.reset = reset;
        let data = folder();
        let scene = Scene::start(&ingress.module(), data.path()).await;
        scene.arrive(&["one"]).await;
        scene.runtime.shutdown().await;
        for text in ["two", "three", "four"] {
            client.text(&topic, 0, "a", text).await;
        }
        client.forget(&topic, 0, 3).await;
        let scene = Scene::start(&ingress.module(), data.path()).await;
        scene.says("\"position\":\"4\"").await;
        client.text(&topic, 0, "a", "five").await;
        scene.arrive(expected).await;
        scene.runtime.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_the_position_and_the_lag_of_each_partition_and_the_rate() {
    let Some(broker) = shared("kafka shown", Version::V41) else {
        return;
    };
    let client = Client::of(broker);
    let topic = client.topic("shown", 2).await;
    for text in ["one", "two", "three"] {
        client.text(&topic, 1, "a", text).await;
    }
    let data = folder();
    let scene = Scene::start(&Ingress::of(&client, &topic).module(), data.path()).await;
    scene.arrive(&["one", "two", "three"]).await;
    let queues = until("the lag", async || {
        let queues = scene.ask("/api/queues").await;
        let queues: serde_json::Value = serde_json::from_str(&queues).unwrap();
        let splits = queues["ingresses"][0]["splits"].as_array()?.clone();
        let is_known = splits.len() == 2 && splits.iter().all(|split| split["behind"] == 0);
        is_known.then_some(splits)
    })
    .await;
    for (partition, split) in queues.iter().enumerate() {
        assert_eq!(split["split"], format!("{topic}/{partition}"));
        assert_eq!(split["position"], ["0", "3"][partition]);
    }
    let metrics = scene.ask("/metrics").await;
    for line in [
        format!("statefun_ingress_pendingRecords{{ingress=\"test/in\",split=\"{topic}/1\"}} 0"),
        "statefun_ingress_numRecordsIn_total{ingress=\"test/in\"} 3".to_owned(),
        "statefun_ingress_numRecordsInErrors_total{ingress=\"test/in\"} 0".to_owned(),
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}\n{metrics}"
        );
    }
    scene.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_at_the_start_and_later_is_waited_for() {
    let Some(broker) = own("kafka broker away", Version::V41) else {
        return;
    };
    let client = Client::of(&broker);
    let topic = client.topic("away", 1).await;
    client.text(&topic, 0, "a", "one").await;
    broker.kill();
    let data = folder();
    let scene = Scene::start(&Ingress::of(&client, &topic).module(), data.path()).await;
    scene.says("no broker answers").await;
    broker.restart();
    scene.arrive(&["one"]).await;
    broker.kill();
    scene.says("Connection refused").await;
    broker.restart();
    client.text(&topic, 0, "a", "two").await;
    scene.arrive(&["one", "two"]).await;
    scene.runtime.shutdown().await;
}

#[tokio::test]
async fn a_property_whose_value_no_client_takes_stops_the_start_and_is_named() {
    let ingress = Ingress {
        address: "127.0.0.1:1".to_owned(),
        group: "g".to_owned(),
        topics: vec!["t".to_owned()],
        start: "{type: earliest}",
        reset: "latest",
        properties: vec![
            "{isolation.level: none}".to_owned(),
            "{no.such.thing: 1}".to_owned(),
        ],
        targets: "[test/ledger]",
    };
    let data = folder();
    let Err(failure) = Scene::try_start(&ingress.module(), data.path()).await else {
        panic!("it started");
    };
    let told = failure.to_string();
    assert!(told.contains("module.yaml:"), "{told}");
    assert!(told.contains("isolation.level"), "{told}");
}
