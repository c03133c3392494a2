//! A pipeline that survives an outage of its destination: `cargo run --features runtime --example pipeline_export`
//!
//! Low readings are dropped; the others get a site and are sent to a destination that is down at first. They
//! wait in the runtime's data folder until it is up.
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use stateful_functions::delivery::Policy;
use stateful_functions::delivery::engine::{Jitter, Retry};
use stateful_functions::pipeline::{HttpExport, Pipeline};
use stateful_functions::runtime::Runtime;
use stateful_functions::{Address, BoxError, MessageBuilder, StatefulFunctions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn pipeline(destination: SocketAddr) -> Result<Pipeline, BoxError> {
    let mut policy = Policy::default();
    policy.retry = Retry::Backoff {
        first: Duration::from_millis(100),
        factor: 2.0,
        max: Duration::from_secs(2),
        jitter: Jitter::Full,
    };
    let export = HttpExport::post(format!("http://{destination}/readings"));
    let pipeline = Pipeline::builder("readings")
        .filter(json!({">": [{"var": "celsius"}, 30]}))
        .set(json!({"site": "north"}))
        .http_export(export.order_key("device").retry(policy))
        .build()?;
    Ok(pipeline)
}

/// Sends four readings while the destination is down, and returns what arrives once it is up.
pub(crate) async fn run(data: &Path) -> Result<Vec<String>, BoxError> {
    let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?; // the listener is dropped: nothing listens there now
    let pipeline = pipeline(address)?;
    let mut functions = StatefulFunctions::new();
    for spec in pipeline.functions() {
        functions = functions.with(spec)?;
    }
    let runtime = Runtime::builder()
        .functions(functions)
        .data(data)
        .start()
        .await?;

    for celsius in [31, 12, 32, 33] {
        let reading = json!({"device": "d1", "celsius": celsius});
        let entry = Address::new(pipeline.entry().clone(), "d1");
        let message = MessageBuilder::to(entry).value(reading.to_string());
        runtime.send(&message).await?; // accepted: it is on disk
        println!("sent {reading}");
    }

    println!("the destination comes up");
    let arrived = receive(TcpListener::bind(address).await?, 3).await?;
    runtime.shutdown().await;
    Ok(arrived)
}

/// A destination: answers 200 to each request, and returns the bodies of the first few.
async fn receive(listener: TcpListener, count: usize) -> Result<Vec<String>, BoxError> {
    let mut bodies = Vec::new();
    while bodies.len() < count {
        let (mut socket, _) = listener.accept().await?;
        let mut request = vec![0; 64 * 1024];
        let length = socket.read(&mut request).await?;
        let request = String::from_utf8_lossy(request.get(..length).unwrap_or_default());
        if let Some((_, body)) = request.split_once("\r\n\r\n") {
            bodies.push(body.to_owned());
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        socket.write_all(answer).await?;
    }
    Ok(bodies)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().init();
    for reading in run(Path::new("target/pipeline-export-data")).await? {
        println!("arrived {reading}");
    }
    Ok(())
}
