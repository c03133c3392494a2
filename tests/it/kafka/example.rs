//! The example runs with the command that its first lines name.

use std::path::Path;
use std::process::{Child, Command};

use super::broker::{Version, own};
use super::client::{Client, Reader};
use crate::support::until::until;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_counts_orders_from_topic_to_topic() {
    let Some(broker) = own("kafka example", Version::V41) else {
        return;
    };
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(source.join("examples/kafka/main.rs")).unwrap();
    let command = "cargo run --features kafka --example kafka -- localhost:9092";
    assert!(text.contains(command), "the example names another command");
    let address = broker.address();
    // What this test was built with: other features would build everything again.
    let features = match cfg!(feature = "kafka-tls") {
        true => "full,kafka-tls",
        false => "full,kafka",
    };
    let command = command.replace("--features kafka", &format!("--features {features}"));
    let command = command.replace("localhost:9092", &address);
    let words: Vec<&str> = command.split(' ').collect();
    let (["cargo", "run"], rest) = words.split_at(2) else {
        panic!("{command}");
    };
    // However long it takes to build it: only the run has to be prompt.
    let built = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--features", features])
        .args(["--example", "kafka"])
        .current_dir(source)
        .status();
    assert!(built.unwrap().success());
    let data = tempfile::tempdir().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--locked"]).args(rest).arg(data.path());
    let _running = Running(cargo.current_dir(source).spawn().unwrap());

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
