//! A broker that is away from the start: the egress showed no failure for a minute, and SIGTERM did not end the process.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use stateful_functions::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest};

use crate::support::process::Process;
use crate::support::until::until;

/// Nobody listens on port 1.
const MODULE: &str = "\
kind: statefun.http.v1/ingress
spec: {listen: '127.0.0.1:0'}
---
kind: statefun.samples.v1/functions
spec: {}
---
kind: io.statefun.kafka.v1/egress
spec:
  id: statefun.samples/out
  address: 127.0.0.1:1
  deliverySemantic: {type: exactly-once, transactionTimeout: 15min}
";

async fn ask(request: HttpRequest) -> Value {
    let client = HttpClient::new(HttpClientConfig::default()).unwrap();
    let answer = client.send(request, Duration::from_secs(30)).await.unwrap();
    assert!(answer.status.is_success(), "{answer:?}");
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_egress_without_a_broker_shows_its_failure_and_does_not_keep_the_process_alive() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("module.yaml");
    std::fs::write(&module, MODULE).unwrap();
    let mut command = Process::command(&module, &folder.path().join("data"));
    command.env("STATEFUN_LOG", "warn").stderr(Stdio::piped());
    let mut process = Process::of(command);
    let ingress = process.url("http ingress");
    let url = format!("{ingress}/send/statefun.samples/reminder/x");
    let mut request = HttpRequest::post(url.parse().unwrap(), "in 1ms hi");
    let text = http::HeaderValue::from_static("text/plain");
    request.headers.insert("content-type", text);
    ask(request).await;
    let queues = format!("{}/api/queues", process.url("admin api"));
    until("the failure to be told", async || {
        let request = HttpRequest::new(http::Method::GET, queues.parse().unwrap());
        let failure = ask(request).await["egresses"][0]["last_failure"].to_string();
        failure.contains("no broker answers").then_some(())
    })
    .await;
    assert_eq!(process.terminate(), Some(0));
    let told = process.told();
    assert!(!told.contains("cut off"), "{told}");
}
