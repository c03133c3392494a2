//! A broker that is away for longer than every time limit of the clients: what would be an hour with their defaults, in seconds.

use serde_json::Value;

use super::broker::{Version, own};
use super::client::Client;
use super::egress::{functions, module, order};
use crate::support::scene::Scene;
use crate::support::until::until;

/// Waits until an attempt of the egress has failed after its limits. A commit that the broker left behind has a minute.
async fn fails(scene: &Scene) {
    until("a failed attempt", async || {
        let queues: Value = serde_json::from_str(&scene.ask("/api/queues").await).unwrap();
        let egresses = queues["egresses"].as_array().unwrap();
        let attempts = egresses
            .iter()
            .find(|egress| egress["egress"] == "test/kafka")?;
        (attempts["failed_attempts"].as_u64()? >= 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_longer_than_all_limits_loses_nothing_and_needs_nobody() {
    let Some(broker) = own("kafka long outage", Version::V41) else {
        return;
    };
    let client = Client::of(&broker);
    let mut all = Vec::new();
    for (semantic, properties) in [
        (
            "{type: at-least-once}",
            "{delivery.timeout.ms: 1000}, {request.timeout.ms: 500}",
        ),
        (
            "{type: exactly-once, transactionTimeout: 1s}",
            "{transactional.id: outage}, {delivery.timeout.ms: 1000}, {request.timeout.ms: 500}",
        ),
    ] {
        let topic = client.topic("outage", 1).await;
        let data = tempfile::tempdir().unwrap();
        let module = module(&broker, semantic, properties);
        let scene = Scene::start_with(functions(), &module, data.path()).await;
        order(&scene.runtime, &format!("{topic} a 0")).await;
        client.read(&topic, 1).await;
        all.push((semantic, scene, topic, data));
    }
    broker.kill();
    for (_, scene, topic, _) in &all {
        for number in 1..=20 {
            order(&scene.runtime, &format!("{topic} a {number}")).await;
        }
    }
    for (_, scene, ..) in &all {
        fails(scene).await;
    }
    tokio::task::block_in_place(|| broker.restart());
    let expected: Vec<String> = (0..=20).map(|number| number.to_string()).collect();
    for (semantic, scene, topic, _data) in all {
        scene.says("\"outbox\":0").await;
        let read = client.read(&topic, expected.len()).await;
        let mut values: Vec<String> = read.into_iter().map(|read| read.value).collect();
        if semantic.contains("at-least-once") {
            // Others may have arrived before the acknowledgement was lost.
            let mut seen = std::collections::HashSet::new();
            values.retain(|value| seen.insert(value.clone()));
        }
        assert_eq!(values, expected, "{semantic}");
        scene.says("\"set_aside\":0").await;
        scene.says("\"last_failure\":null").await;
        scene.runtime.shutdown().await;
    }
}
