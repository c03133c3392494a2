//! The example runs with the command that its first lines name.

use super::client::Client;
use super::front::Front;
use super::server::shared;
use crate::support::example::Example;

#[tokio::test(flavor = "multi_thread")]
async fn the_example_counts_clicks_from_stream_to_stream() {
    let Some(server) = shared("kinesis example") else {
        return;
    };
    let (client, front) = (Client::of(server), Front::start(server).await);
    client.make("clicks", 1).await;
    client.make("counts", 1).await;
    let data = tempfile::tempdir().unwrap();
    let command = "cargo run --features kinesis --example kinesis -- http://localhost:4567";
    let address = format!("http://{}", front.address);
    let _example = Example::start("kinesis", command, &address, data.path());
    for user in ["amy", "bob", "amy"] {
        client.write("clicks", user, b"a click").await;
    }
    let records = client.await_records("counts", 3).await;
    let counts = records
        .iter()
        .map(|read| format!("{} {}", read.key, read.text()));
    let mut counts: Vec<String> = counts.collect();
    counts.sort();
    assert_eq!(counts, ["amy 1", "amy 2", "bob 1"]);
    assert_eq!(front.faults().keys, ["local"]);
}
