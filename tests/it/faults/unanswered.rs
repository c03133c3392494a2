//! Kind: an effect without an answer. A client that closed its side after a whole request got no answer, and its message took effect: sent
//! again without a key it counted twice. HEAD, with which load balancers probe, was 405 at the admin API. A HEAD or a POST took a record off a topic of
//! the playground and threw it away.

use ::http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::runtime::{Started, text};
use crate::support::raw::ask;

#[tokio::test]
async fn a_client_that_closes_its_side_after_the_request_is_answered() {
    let started = Started::with_all_listeners().await;
    let address = started.address("http ingress");
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = "POST /call/statefun.samples/counter/a HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\ncontent-length: 1\r\n\r\n5";
    client.write_all(request.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n5"), "{answer}");
}

#[tokio::test]
async fn head_is_answered_like_get_without_the_body() {
    let started = Started::with_all_listeners().await;
    let admin = started.address("admin api");
    for path in [
        "/health",
        "/ready",
        "/api/queues",
        "/api/state",
        "/api/state/export",
    ] {
        let request =
            format!("HEAD {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let mut client = TcpStream::connect(&admin).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n"),
            "{path}: {answer}"
        );
        assert!(answer.ends_with("\r\n\r\n"), "{path}: {answer}");
    }
    let health = started
        .request(Method::HEAD, "admin api", "/health", &[], "")
        .await;
    let whole = started
        .request(Method::GET, "admin api", "/health", &[], "")
        .await;
    let length = whole.body.len().to_string();
    assert_eq!(health.headers["content-length"], length);
    let gone = started
        .request(Method::HEAD, "admin api", "/none", &[], "")
        .await;
    assert_eq!((gone.status.as_u16(), text(&gone)), (404, ""));
    let post = started
        .request(Method::HEAD, "admin api", "/api/state/import", &[], "")
        .await;
    assert_eq!(
        (post.status.as_u16(), &post.headers["allow"]),
        (405, &"POST".parse().unwrap())
    );
}

#[tokio::test]
async fn only_get_takes_a_record_off_a_topic() {
    let started = Started::with_all_listeners().await;
    let address = started.address("playground egress");
    for method in ["POST", "DELETE"] {
        let request =
            format!("{method} /a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
        let answer = ask(&address, request.as_bytes()).await;
        assert_eq!(answer.status(), 405, "{method}");
        assert!(
            answer.head.to_lowercase().contains("allow: get"),
            "{}",
            answer.head
        );
    }
    let head = started.request(Method::HEAD, "playground egress", "/a", &[], "");
    assert_eq!(head.await.status, 405);
    let get = started.request(Method::GET, "playground egress", "/a", &[], "");
    assert_eq!(get.await.status, 404);
}
