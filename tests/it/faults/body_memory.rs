//! Kind: memory per connection. 150 connections with unfinished bodies of 8 MiB held 1.5 GB, even after they had closed. Now all arriving bodies share
//! a budget, and release what they held.

use std::time::Duration;

use stateful_functions::runtime::{Runtime, RuntimeConfig};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::runtime::{SAMPLES, Started, admin, text};
use crate::support::raw::RawMessage;
use crate::support::until::until;

const BUDGET: usize = 16 << 20;
const BODY: usize = 8 << 20;

async fn started() -> Started {
    let mut config = RuntimeConfig::default();
    config.server.max_body_memory_bytes = BUDGET;
    config.body_pause = Duration::from_secs(3);
    Started::with(Runtime::builder().config(config).admin(admin()), SAMPLES).await
}

async fn get(started: &Started, path: &str) -> (u16, String) {
    let answer = started
        .request(::http::Method::GET, "admin api", path, &[], "")
        .await;
    (answer.status.as_u16(), text(&answer).to_owned())
}

/// The metric `statefun_http_<name>`.
async fn metric(started: &Started, name: &str) -> usize {
    let (_, metrics) = get(started, "/metrics").await;
    let prefix = format!("statefun_http_{name} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&prefix));
    line.unwrap().parse().unwrap()
}

/// Begins to send a body; the connection.
async fn begun(address: &str) -> TcpStream {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /send/statefun.samples/counter/a HTTP/1.1\r\nhost: localhost\r\nstatefun-type: x/y\r\ncontent-length: {BODY}\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection
}

/// Sends three quarters of a body; what is answered.
async fn unfinished(address: String) -> u16 {
    let (mut reading, mut writing) = begun(&address).await.into_split();
    let most = vec![b'x'; BODY * 3 / 4];
    // It may be refused before all is sent.
    let (_sent, answer) = tokio::join!(writing.write_all(&most), RawMessage::read(&mut reading));
    answer.unwrap().status()
}

#[tokio::test]
async fn unfinished_bodies_share_a_budget_and_release_it_when_they_end() {
    let started = started().await;
    let address = started.address("http ingress");
    assert_eq!(metric(&started, "body_bytes_limit").await, BUDGET);
    let mut senders = JoinSet::new();
    for _ in 0..40 {
        senders.spawn(unfinished(address.clone()));
    }
    let (mut answers, mut most, mut told) = (Vec::new(), 0, None);
    until("an answer to each body", async || {
        most = most.max(metric(&started, "body_bytes").await);
        let (status, health) = get(&started, "/health").await;
        if status == 503 {
            told = Some(health);
        }
        while let Some(answer) = senders.try_join_next() {
            answers.push(answer.unwrap());
        }
        senders.is_empty().then_some(())
    })
    .await;
    answers.sort_unstable();
    let refused = answers.iter().filter(|status| **status == 503).count();
    assert!(
        answers.iter().all(|status| [408, 503].contains(status)),
        "{answers:?}"
    );
    assert!(refused >= 32 && most <= BUDGET, "{answers:?} {most}");
    assert!(told.is_some_and(|told| told.contains("memory for request bodies")));
    assert_eq!(metric(&started, "body_bytes").await, 0);
    assert_eq!(get(&started, "/health").await.0, 200);
    let mut whole = begun(&address).await;
    whole.write_all(&vec![b'x'; BODY]).await.unwrap();
    assert_eq!(RawMessage::read(&mut whole).await.unwrap().status(), 202);
}

#[tokio::test]
async fn small_requests_are_served_while_the_budget_is_used_up() {
    let started = started().await;
    let address = started.address("http ingress");
    let mut crowd = Vec::new();
    for _ in 0..8 {
        let mut connection = begun(&address).await;
        connection.write_all(&vec![b'x'; 3 << 20]).await.unwrap();
        crowd.push(connection);
    }
    until("a budget that is used up", async || {
        (metric(&started, "body_bytes").await >= BUDGET).then_some(())
    })
    .await;
    for _ in 0..20 {
        let answer = started
            .post("/call/statefun.samples/counter/a", &[], "0")
            .await;
        assert_eq!((answer.status.as_u16(), text(&answer)), (200, "0"));
    }
    drop(crowd);
    until("memory that is given back", async || {
        (metric(&started, "body_bytes").await == 0).then_some(())
    })
    .await;
}
