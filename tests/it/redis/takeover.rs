//! Entries that another consumer of the group was handed out and left.

use stateful_functions::runtime::Runtime;

use super::server::{Server, to_stream};
use crate::faults::hidden_attempts::started;
use crate::support::installed::Installed;

const GROUP: &str = "statefun-test-in";

fn module(server: &Server, take_over_after: &str) -> String {
    let url = server.url();
    format!(
        "kind: statefun.redis.v1/ingress
spec:
  id: test/in
  url: {url}
  takeOverAfter: {take_over_after}
  streams: [{{stream: in, valueType: statefun/json, targets: [pipelines/p]}}]
{}",
        to_stream(&url, "out")
    )
}

/// Adds `count` entries, numbered from `first`, and hands them out to a consumer that never acknowledges them.
fn leave(server: &Server, consumer: &str, first: usize, count: usize) {
    for number in first..first + count {
        server.ask(&["XADD", "in", "*", "value", &number.to_string()]);
    }
    let count = count.to_string();
    let read = ["XREADGROUP", "GROUP", GROUP, consumer];
    server.ask(&[&read[..], &["COUNT", &count, "STREAMS", "in", ">"]].concat());
}

fn make_group(server: &Server) {
    server.ask(&["XGROUP", "CREATE", "in", GROUP, "0", "MKSTREAM"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_a_consumer_has_left_are_taken_over_and_acknowledged() {
    let Some(server) = Server::start("redis take-over").await else {
        return;
    };
    make_group(&server);
    leave(&server, "gone", 0, 3);
    let _started = started(Runtime::builder(), &module(&server, "1ms")).await;
    server.ask(&["XADD", "in", "*", "value", "3"]);
    server.holds("out", 4).await;
    server.has_acknowledged("in", GROUP).await;
    assert_eq!(server.numbers("out"), [0, 1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_of_a_consumer_that_may_come_back_are_left_to_it() {
    let Some(server) = Server::start("redis, no take-over").await else {
        return;
    };
    make_group(&server);
    leave(&server, "slow", 0, 3);
    let _started = started(Runtime::builder(), &module(&server, "1h")).await;
    server.ask(&["XADD", "in", "*", "value", "3"]);
    server.holds("out", 1).await;
    assert_eq!(server.numbers("out"), [3]);
    let pending = server.ask(&["XPENDING", "in", GROUP, "-", "+", "9", "slow"]);
    assert_eq!(pending.matches("slow").count(), 3, "{pending}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_before_the_position_are_taken_over_once_though_the_runtime_is_killed() {
    let Some(server) = Server::start("redis take-over and kills").await else {
        return;
    };
    make_group(&server);
    let installed = Installed::with(&module(&server, "1ms"));
    let mut count = 0;
    for round in 0..8 {
        leave(&server, &format!("gone-{round}"), count, 40);
        // These come after them, and may be read before.
        for number in count + 40..count + 60 {
            server.ask(&["XADD", "in", "*", "value", &number.to_string()]);
        }
        count += 60;
        let mut runtime = installed.run();
        server.holds("out", count - 30).await;
        runtime.kill();
    }
    let mut runtime = installed.run();
    server.holds("out", count).await;
    server.has_acknowledged("in", GROUP).await;
    assert_eq!(runtime.terminate(), Some(0));
    assert_eq!(server.numbers("out"), (0..count).collect::<Vec<_>>());
}
