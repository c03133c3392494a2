//! What users of Flink's Kinesis connector and of other clients have reported as lost, doubled or stuck for ever, tried here.

use serde_json::json;

use super::client::Client;
use super::front::{Front, error};
use super::ingress::{Ingress, folder};
use super::server::shared;
use crate::support::scene::Scene;
use crate::support::until::until;

/// Shards that were closed after their positions were stored were read again from their oldest record (FLINK-8484).
#[tokio::test(flavor = "multi_thread")]
async fn shards_that_are_closed_while_the_runtime_is_down_are_not_read_again() {
    let Some(server) = shared("kinesis closed shards") else {
        return;
    };
    let client = Client::of(server);
    let stream = client.stream("closed", 2).await;
    for (key, text) in [("a", "one"), ("b", "two"), ("c", "three")] {
        client.text(&stream, key, text).await;
    }
    let data = folder();
    let module = Ingress::of(&client, &stream).module();
    let scene = Scene::start(&module, data.path()).await;
    scene.arrive(&["one", "two", "three"]).await;
    scene.runtime.shutdown().await;
    client.merge(&stream).await;
    client.split(&stream, 0).await;
    client.text(&stream, "a", "four").await;
    let scene = Scene::start(&module, data.path()).await;
    scene.arrive(&["four"]).await;
    scene.runtime.shutdown().await;
    // Nor at a further start.
    client.text(&stream, "a", "five").await;
    let scene = Scene::start(&module, data.path()).await;
    scene.arrive(&["five"]).await;
    scene.runtime.shutdown().await;
}

/// Answers without records, and with a lag, are gaps of a shard and not its end.
#[tokio::test(flavor = "multi_thread")]
async fn empty_answers_in_the_middle_of_a_shard_do_not_end_the_reading() {
    let Some(server) = shared("kinesis empty answers") else {
        return;
    };
    let (client, front) = (Client::of(server), Front::start(server).await);
    let stream = client.stream("gaps", 1).await;
    client.text(&stream, "a", "one").await;
    let shard = client.shards(&stream).await.remove(0).id;
    let asked =
        json!({"StreamName": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
    let iterator = client.call("GetShardIterator", asked).await["ShardIterator"].clone();
    let gap = json!({"Records": [], "NextShardIterator": iterator, "MillisBehindLatest": 60_000});
    let gaps = std::iter::repeat_n((200, gap), 3).collect();
    front.faults().answers.insert("GetRecords", gaps);
    let data = folder();
    let module = Ingress::at(front.address, &stream).module();
    let scene = Scene::start(&module, data.path()).await;
    scene.arrive(&["one"]).await;
    scene.says("\"behind_ms\":0").await;
    scene.runtime.shutdown().await;
}

/// Errors of the service in single calls ended the job: internal failures, unavailability, a limit of the account, an answer of another form.
#[tokio::test(flavor = "multi_thread")]
async fn passing_errors_of_every_call_lose_nothing_and_need_nobody() {
    let Some(server) = shared("kinesis passing errors") else {
        return;
    };
    let (client, front) = (Client::of(server), Front::start(server).await);
    let stream = client.stream("errors", 1).await;
    client.text(&stream, "a", "one").await;
    let passing = || {
        [
            (500, json!({"__type": "InternalFailure"})),
            (503, json!({"message": "Service Unavailable"})),
            error("LimitExceededException", "Rate exceeded for the account"),
            error("KMSThrottlingException", "Rate exceeded"),
            (200, json!("no object")),
        ]
        .into()
    };
    for call in ["ListShards", "GetShardIterator", "GetRecords"] {
        front.faults().answers.insert(call, passing());
    }
    let data = folder();
    let module = Ingress::at(front.address, &stream).module();
    let scene = Scene::start(&module, data.path()).await;
    scene.arrive(&["one"]).await;
    until("all errors to have been told", async || {
        let faults = front.faults();
        let mut left = faults.answers.values();
        left.all(|answers| answers.is_empty()).then_some(())
    })
    .await;
    client.text(&stream, "a", "two").await;
    scene.arrive(&["one", "two"]).await;
    scene.says("\"last_failure\":null").await;
    scene.runtime.shutdown().await;
}
