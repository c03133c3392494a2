//! From Redis to Redis while the runtime and the server are killed: each entry leaves once.

use super::server::{Server, to_stream};
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
    let values = server.values("out").into_iter();
    let mut values: Vec<usize> = values.map(|value| value.parse().unwrap()).collect();
    values.sort_unstable();
    assert_eq!(values, (0..count).collect::<Vec<_>>());
}
