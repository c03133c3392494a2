//! The example runs with the command that its first lines name.

use super::broker::{Version, own};
use super::client::{Client, Reader};
use crate::support::example::Example;
use crate::support::until::until;

#[tokio::test(flavor = "multi_thread")]
async fn the_example_counts_orders_from_topic_to_topic() {
    let Some(broker) = own("kafka example", Version::V41) else {
        return;
    };
    let command = "cargo run --features kafka --example kafka -- localhost:9092";
    let data = tempfile::tempdir().unwrap();
    let _example = Example::start("kafka", command, &broker.address(), data.path());
    let client = Client::of(&broker);
    client.make("orders", 2, &[]).await;
    client.make("counts", 2, &[]).await;
    for customer in ["amy", "bob", "amy"] {
        client
            .write("orders", None, Some(customer), Some(b"an order"))
            .await;
    }
    let mut reader = Reader::of(&broker, "counts");
    let counts = until("the counts of three orders", async || {
        reader.read();
        let mut read: Vec<String> = reader
            .records
            .iter()
            .map(|read| format!("{} {}", read.key.as_deref().unwrap_or("-"), read.value))
            .collect();
        read.sort();
        (read.len() >= 3).then_some(read)
    })
    .await;
    assert_eq!(counts, ["amy 1", "amy 2", "bob 1"]);
}
