//! Splits and merges under an ingress: a child is read after its parents, so the records of a key keep their order.

use std::time::Duration;

use stateful_functions::{Address, MessageBuilder, TypeName, types};

use super::client::Client;
use super::ingress::{Ingress, folder};
use super::server::shared;
use crate::support::scene::Scene;
use crate::support::until::until;

const PATIENCE: Duration = Duration::from_secs(60);
const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Writes a text for each key.
async fn write(client: &Client, stream: &str, round: u32) {
    for key in KEYS {
        client.text(stream, key, &format!("{key}{round:02}")).await;
    }
}

/// The ledger of each key gets the texts of so many rounds, in the order in which they were written.
async fn in_order(scene: &Scene, rounds: u32) {
    for key in KEYS {
        let lines = (0..rounds).map(|round| format!("{key}{round:02}\n"));
        let expected: String = lines.collect();
        let found = until(&format!("{rounds} texts of {key}"), async || {
            let address = Address::new(TypeName::new("test/ledger"), key);
            let read = MessageBuilder::to(address).value("read");
            let answer = scene.runtime.call(&read, PATIENCE).await.ok()?;
            let found = answer.require(&types::STRING).unwrap();
            (found.len() >= expected.len()).then_some(found)
        })
        .await;
        assert_eq!(found, expected);
    }
}

/// Reshards in the way that suits the number.
async fn reshard(client: &Client, stream: &str, round: u32) {
    match round % 3 {
        0 | 1 => client.split(stream, 0).await,
        _ => client.merge(stream).await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_resharded_before_it_is_read_is_read_in_order() {
    let Some(server) = shared("kinesis reshards before") else {
        return;
    };
    let client = Client::of(server);
    let stream = client.stream("history", 1).await;
    for round in 0..6 {
        write(&client, &stream, round).await;
        reshard(&client, &stream, round).await;
    }
    let data = folder();
    let scene = Scene::start(&Ingress::of(&client, &stream).module(), data.path()).await;
    in_order(&scene, 6).await;
    scene.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_resharded_while_it_is_read_and_while_the_runtime_is_down() {
    let Some(server) = shared("kinesis reshards") else {
        return;
    };
    let client = Client::of(server);
    let stream = client.stream("reshards", 2).await;
    let data = folder();
    let module = Ingress::of(&client, &stream).module();
    let mut scene = Scene::start(&module, data.path()).await;
    for round in 0..9 {
        write(&client, &stream, round).await;
        if round % 2 == 0 {
            in_order(&scene, round + 1).await;
            reshard(&client, &stream, round).await;
        } else {
            scene.runtime.shutdown().await;
            reshard(&client, &stream, round).await;
            scene = Scene::start(&module, data.path()).await;
        }
        in_order(&scene, round + 1).await;
    }
    // Only shards that are being read have positions.
    let open = client.shards(&stream).await;
    let open = open.iter().filter(|shard| shard.is_open).count();
    until("finished shards to be forgotten", async || {
        let queues: serde_json::Value =
            serde_json::from_str(&scene.ask("/api/queues").await).unwrap();
        let splits = queues["ingresses"][0]["splits"].as_array().unwrap().len();
        (splits == open).then_some(())
    })
    .await;
    scene.runtime.shutdown().await;
}
