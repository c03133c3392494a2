//! Sources and sinks with listeners: what operators see, and what they share.

use http::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::runtime::{Started, text};
use crate::support::raw::RawMessage;

#[tokio::test]
async fn listening_ingresses_are_shown_as_sources_with_their_counts() {
    let started = Started::with_all_listeners().await;
    let key = ("idempotency-key", "first");
    for _ in 0..2 {
        let path = "/send/statefun.samples/counter/a";
        assert_eq!(started.post(path, &[key], "5").await.status, 202);
    }
    for (path, status) in [
        ("/call/statefun.samples/counter/a", 200),
        ("/send/statefun.samples/missing/a", 404),
    ] {
        assert_eq!(started.post(path, &[], "5").await.status, status);
    }
    let queues = started
        .request(Method::GET, "admin api", "/api/queues", &[], "")
        .await;
    let queues: Value = serde_json::from_slice(&queues.body).unwrap();
    let of = |ingress: &str, brought: u64| json!({"ingress": ingress, "brought": brought, "set_aside": 0, "splits": [], "failed_attempts": 0, "last_failure": null});
    assert_eq!(
        queues["ingresses"],
        json!([
            of("statefun.http/ingress", 2),
            of("io.statefun.playground/ingress", 0)
        ]),
        "a repeated key counts once, and what was refused not at all"
    );
}

#[tokio::test]
async fn the_playground_egress_shares_its_connection_slots_with_the_ingresses() {
    let started = Started::with_all_listeners().await;
    let mut open = Vec::new();
    for (count, (line, listener)) in (1..).zip([
        ("POST /send/statefun.samples/counter/a", "http ingress"),
        ("POST /statefun.samples/counter/a", "playground ingress"),
        ("GET /a", "playground egress"),
    ]) {
        let mut connection = TcpStream::connect(started.address(listener)).await.unwrap();
        let request = format!("{line} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\n5");
        connection.write_all(request.as_bytes()).await.unwrap();
        RawMessage::read(&mut connection).await.unwrap();
        let metrics = started
            .request(Method::GET, "admin api", "/metrics", &[], "")
            .await;
        let wanted = format!("statefun_http_connections {count}\n");
        assert!(
            text(&metrics).contains(&wanted),
            "{listener}: {}",
            text(&metrics)
        );
        open.push(connection);
    }
}
