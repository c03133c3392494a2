//! From Redis to Redis while the runtime and the server are killed: each entry leaves once.

use stateful_functions::runtime::Runtime;

use super::server::{Server, to_stream};
use crate::faults::hidden_attempts::started;
use crate::support::installed::Installed;

/// How often the runtime is killed.
const ROUNDS: usize = 12;
/// Entries that are added in between.
const STEP: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_entry_of_a_stream_leaves_once_though_runtime_and_server_are_killed() {
    let Some(server) = Server::start("redis kills").await else {
        return;
    };
    let url = server.url();
    let module = format!(
        "kind: statefun.redis.v1/ingress
spec:
  id: test/in
  url: {url}
  startupPosition: earliest
  streams: [{{stream: in, valueType: statefun/json, targets: [pipelines/p]}}]
{}",
        to_stream(&url, "out")
    );
    let installed = Installed::with(&module);
    let mut runtime = installed.run();
    let mut count = 0;
    for round in 0..ROUNDS {
        for _ in 0..STEP {
            server.ask(&["XADD", "in", "*", "value", &count.to_string()]);
            count += 1;
        }
        // Some of the round have left then, and some have not.
        server.holds("out", count - STEP / 2).await;
        runtime.kill();
        if round % 4 == 3 {
            server.stop();
            server.restart().await;
        }
        runtime = installed.run();
    }
    server.holds("out", count).await;
    assert_eq!(runtime.terminate(), Some(0));
    assert_eq!(server.numbers("out"), (0..count).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_at_the_start_and_killed_again_and_again_under_load_loses_nothing() {
    let Some(server) = Server::start("redis killed under load").await else {
        return;
    };
    let url = server.url();
    let module = format!(
        "kind: statefun.redis.v1/ingress
spec:
  id: test/in
  url: {url}
  startupPosition: earliest
  streams: [{{stream: in, valueType: statefun/json, targets: [pipelines/p]}}]
{}",
        to_stream(&url, "out")
    );
    server.stop();
    let _started = started(Runtime::builder(), &module).await;
    let (step, mut count) = (2000, 0);
    for _ in 0..8 {
        server.restart().await;
        // In one go, so that the runtime has hardly begun with them when the server is killed.
        let add = "for n = 0, 1999 do redis.call('XADD', 'in', '*', 'value', ARGV[1] + n) end";
        server.ask(&["EVAL", add, "0", &count.to_string()]);
        count += step;
        server.holds("out", count - step / 2).await;
        server.stop();
    }
    server.restart().await;
    server.holds("out", count).await;
    server.has_acknowledged("in", "statefun-test-in").await;
    assert_eq!(server.numbers("out"), (0..count).collect::<Vec<_>>());
}
