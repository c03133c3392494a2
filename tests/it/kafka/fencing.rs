//! Two processes under one `transactional.id`: the older one is fenced, reports it, and stops sending.

use super::broker::{Version, own, shared};
use super::client::Client;
use super::egress::{functions, module, order};
use crate::support::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_fences_the_first_which_says_so_and_sends_no_more() {
    for version in [Version::V39, Version::V41] {
        let Some(broker) = shared("kafka fencing", version) else {
            return;
        };
        let client = Client::of(broker);
        let topic = client.topic("fenced", 1).await;
        let module = module(
            broker,
            "{type: exactly-once, transactionTimeout: 1min}",
            "{transactional.id: fenced}",
        );
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = Scene::start_with(functions(), &module, one.path()).await;
        order(&first.runtime, &format!("{topic} a first")).await;
        client.read(&topic, 1).await;
        let second = Scene::start_with(functions(), &module, two.path()).await;
        order(&second.runtime, &format!("{topic} a second")).await;
        client.read(&topic, 2).await;
        order(&first.runtime, &format!("{topic} a late")).await;
        first
            .says("another process delivers under transactional.id fenced")
            .await;
        order(&second.runtime, &format!("{topic} a third")).await;
        let values: Vec<String> = client
            .read(&topic, 3)
            .await
            .into_iter()
            .map(|read| read.value)
            .collect();
        assert_eq!(values, ["first", "second", "third"]);
        first.runtime.shutdown().await;
        second.runtime.shutdown().await;
        // Started again, it has the egress: what it could not send is there.
        let again = Scene::start_with(functions(), &module, one.path()).await;
        let last = client.read(&topic, 4).await.pop().unwrap();
        assert_eq!(last.value, "late");
        again.runtime.shutdown().await;
    }
}

/// Both took the cluster's fence for a takeover by the other, although neither had the egress yet, and neither delivered.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_that_waited_for_a_broker_one_delivers() {
    let Some(broker) = own("kafka two processes wait", Version::V41) else {
        return;
    };
    let client = Client::of(&broker);
    let topic = client.topic("awaited", 1).await;
    let module = module(
        &broker,
        "{type: exactly-once, transactionTimeout: 1min}",
        "{transactional.id: awaited}",
    );
    broker.kill();
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Scene::start_with(functions(), &module, one.path()).await;
    let second = Scene::start_with(functions(), &module, two.path()).await;
    for (scene, text) in [(&first, "first"), (&second, "second")] {
        order(&scene.runtime, &format!("{topic} a {text}")).await;
        scene.says("no broker answers").await;
        let told = scene.ask("/api/queues").await;
        assert!(!told.contains("another process"), "{told}");
    }
    tokio::task::block_in_place(|| broker.restart());
    client.read(&topic, 1).await;
    first.runtime.shutdown().await;
    second.runtime.shutdown().await;
}
