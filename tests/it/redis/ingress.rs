//! What `statefun.redis.v1/ingress` takes in.

use stateful_functions::runtime::Runtime;

use super::server::{Server, to_stream};
use crate::faults::hidden_attempts::{get, listed, started};
use crate::support::until::until;

/// From stream `in`, or what `more` says, to stream `out`.
fn module(server: &Server, more: &str) -> String {
    let url = server.url();
    format!(
        "kind: statefun.redis.v1/ingress
spec:
  id: test/in
  url: {url}
{more}{}",
        to_stream(&url, "out")
    )
}

const STREAM: &str = "  startupPosition: earliest
  idField: key
  streams: [{stream: in, valueType: statefun/json, targets: [pipelines/p]}]
";

fn add(server: &Server, value: &str) {
    server.ask(&["XADD", "in", "*", "key", "a", "value", value]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_are_taken_in_from_the_beginning_and_acknowledged_once_they_are_on_disk() {
    let Some(server) = Server::start("redis ingress").await else {
        return;
    };
    add(&server, "1");
    let started = started(Runtime::builder(), &module(&server, STREAM)).await;
    add(&server, "2");
    server.holds("out", 2).await;
    let mut values = server.values("out");
    values.sort();
    assert_eq!(values, ["1", "2"]);
    server.has_acknowledged("in", "statefun-test-in").await;
    let entry = listed(&started, "ingresses", |entry| {
        entry["brought"] == 2 && entry["splits"][0]["behind"] == 0
    })
    .await;
    let split = &entry["splits"][0];
    assert_eq!(split["split"], "in");
    let last = server.ask(&["XREVRANGE", "in", "+", "-", "COUNT", "1"]);
    let position = split["position"].as_str().unwrap();
    assert!(last.contains(position), "{position} {last}");
    let metrics = get(&started, "/metrics").await;
    for line in [
        "statefun_ingress_pendingRecords{ingress=\"test/in\",split=\"in\"} 0",
        "statefun_ingress_numRecordsIn_total{ingress=\"test/in\"} 2",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}\n{metrics}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_start_only_what_comes_later_is_taken_in() {
    let Some(server) = Server::start("redis ingress, latest").await else {
        return;
    };
    add(&server, "1");
    let stream = "  streams: [{stream: in, valueType: statefun/json, targets: [pipelines/p]}]\n";
    let _started = started(Runtime::builder(), &module(&server, stream)).await;
    until("the group", async || {
        let groups = server.ask(&["XINFO", "GROUPS", "in"]);
        groups.contains("statefun-test-in").then_some(())
    })
    .await;
    add(&server, "2");
    server.holds("out", 1).await;
    assert_eq!(server.values("out"), ["2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_cannot_be_taken_is_set_aside_and_holds_up_nothing() {
    let Some(server) = Server::start("redis ingress, set aside").await else {
        return;
    };
    server.ask(&["XADD", "in", "*", "value", "no key"]);
    server.ask(&["XADD", "in", "*", "key", "a", "other", "no value"]);
    add(&server, "3");
    let started = started(Runtime::builder(), &module(&server, STREAM)).await;
    server.holds("out", 1).await;
    assert_eq!(server.values("out"), ["3"]);
    server.has_acknowledged("in", "statefun-test-in").await;
    let kept = get(&started, "/api/dead-letters").await;
    for text in [
        "the entry has no field `key`",
        "the entry has no field `value`",
        "stream in, entry ",
    ] {
        assert!(kept.contains(text), "{text} in {kept}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_is_shown_and_waited_for_at_the_start_and_later() {
    let Some(server) = Server::start("redis ingress, server away").await else {
        return;
    };
    server.stop();
    let started = started(Runtime::builder(), &module(&server, STREAM)).await;
    let told = |entry: &serde_json::Value| {
        let failure = entry["last_failure"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        entry["ingress"] == "test/in" && failure.contains("Redis 127.0.0.1:")
    };
    listed(&started, "ingresses", told).await;
    server.restart().await;
    add(&server, "1");
    server.holds("out", 1).await;
    server.stop();
    listed(&started, "ingresses", told).await;
    server.restart().await;
    add(&server, "2");
    server.holds("out", 2).await;
    assert_eq!(server.values("out"), ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_deleted_and_begins_with_lower_ids_is_read_again() {
    let Some(server) = Server::start("redis ingress, another stream").await else {
        return;
    };
    add(&server, "1");
    let _started = started(Runtime::builder(), &module(&server, STREAM)).await;
    server.holds("out", 1).await;
    server.has_acknowledged("in", "statefun-test-in").await;
    server.ask(&["DEL", "in"]);
    server.ask(&["XADD", "in", "1-1", "key", "a", "value", "2"]);
    server.holds("out", 2).await;
    assert_eq!(server.values("out"), ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_channels_and_of_patterns_are_taken_in_while_somebody_listens() {
    let Some(server) = Server::start("redis channels").await else {
        return;
    };
    server.ask(&["PUBLISH", "news", "lost"]);
    let channels = "  channels:
    - {channel: news, valueType: statefun/json, targets: [pipelines/p]}
    - {channel: 'edgex.*', valueType: statefun/json, targets: [pipelines/p]}
";
    let _started = started(Runtime::builder(), &module(&server, channels)).await;
    until("both subscriptions", async || {
        let names = server.ask(&["PUBSUB", "NUMSUB", "news"]);
        let patterns = server.ask(&["PUBSUB", "NUMPAT"]);
        (names.ends_with('1') && patterns == "1").then_some(())
    })
    .await;
    server.ask(&["PUBLISH", "news", "1"]);
    server.holds("out", 1).await;
    server.ask(&["PUBLISH", "edgex.events", "2"]);
    server.ask(&["PUBLISH", "other", "3"]);
    server.holds("out", 2).await;
    assert_eq!(server.values("out"), ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_messages_of_a_channel_than_are_read_ahead_all_come() {
    let Some(server) = Server::start("redis channels, a burst").await else {
        return;
    };
    let channels =
        "  channels: [{channel: news, valueType: statefun/json, targets: [pipelines/p]}]\n";
    let _started = started(Runtime::builder(), &module(&server, channels)).await;
    until("the subscription", async || {
        let names = server.ask(&["PUBSUB", "NUMSUB", "news"]);
        names.ends_with('1').then_some(())
    })
    .await;
    // Four megabytes; one is read ahead.
    let publish =
        "local x = string.rep('1', 1000); for _ = 1, 4000 do redis.call('PUBLISH', 'news', x) end";
    server.ask(&["EVAL", publish, "0"]);
    server.holds("out", 4000).await;
}
