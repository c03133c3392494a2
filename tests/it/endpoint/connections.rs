//! The number and the lifetime of connections.

use std::time::{Duration, Instant};

use stateful_functions::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest};
use stateful_functions::{FunctionSpec, StatefulFunctions, TypeName};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use super::{ASYNC, Caller, NO_EFFECTS, OKHTTP, fine};
use crate::support::canned::Canned;
use crate::support::functions::Gate;
use crate::support::raw::RawMessage;
use crate::support::served::served;
use crate::support::until::until;

#[tokio::test]
async fn sf_28_a_connection_is_used_again() {
    for transport in [ASYNC, OKHTTP] {
        let server = Canned::always([], fine()).await;
        let caller = Caller::new(&server.url("/").to_string(), transport).await;
        for round in 1..=20 {
            caller.send("a").await;
            caller.succeeds(round).await;
        }
        assert!(
            server
                .received()
                .iter()
                .all(|(connection, _)| *connection == 0),
            "{transport}"
        );
    }
}

#[tokio::test]
async fn sf_28_no_more_connections_than_pool_size_are_used() {
    let gate = Gate::new();
    let functions = StatefulFunctions::new()
        .with(FunctionSpec::new(TypeName::new("example/f"), gate.clone()))
        .unwrap();
    let url = format!("http://{}/", served(functions).await);
    let caller = Caller::new(&url, &format!("{ASYNC}, pool_size: 2, connect: 10ms")).await;

    // Until its values are known, a type has one call out.
    gate.open.add_permits(1);
    caller.send("first").await;
    caller.succeeds(1).await;
    gate.started.acquire().await.unwrap().forget();

    for id in ["a", "b", "c", "d", "e"] {
        caller.send(id).await;
    }
    // The other three wait for a connection and get none.
    until("attempts without a connection", async || {
        (caller.failed_attempts().await >= 6).then_some(())
    })
    .await;
    assert_eq!(gate.started.available_permits(), 2);
    gate.open.add_permits(5);
    caller.succeeds(6).await;
}

/// Waits until the other end closes.
async fn closed(socket: &mut TcpStream) -> bool {
    let read = tokio::time::timeout(Duration::from_secs(60), socket.read_u8());
    read.await.is_ok_and(|read| read.is_err())
}

async fn answer(socket: &mut TcpStream) {
    use tokio::io::AsyncWriteExt;
    RawMessage::read(socket).await.unwrap();
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: 3\r\n\r\n";
    socket
        .write_all(&[head.as_bytes(), NO_EFFECTS].concat())
        .await
        .unwrap();
}

#[tokio::test]
async fn sf_28_an_idle_connection_is_closed_a_second_or_more_after_pool_ttl() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let caller = Caller::new(&url, &format!("{ASYNC}, pool_ttl: 1ms")).await;
    let begun = Instant::now();
    caller.send("a").await;
    let (mut socket, _) = listener.accept().await.unwrap();
    answer(&mut socket).await;
    assert!(closed(&mut socket).await);
    assert!(begun.elapsed() >= Duration::from_millis(1001));
}

#[tokio::test]
async fn sf_28_a_connection_in_use_finishes_its_exchange_before_it_is_too_old() {
    let mut config = HttpClientConfig::default();
    let age = Duration::from_millis(30);
    config.max_connection_age = Some(age..=age);
    let client = HttpClient::new(config).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: http::Uri = format!("http://{}/", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let call = || {
        client.send(
            HttpRequest::post(url.clone(), "in"),
            Duration::from_secs(60),
        )
    };
    let serve = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let opened = Instant::now();
        while opened.elapsed() < 2 * age {
            tokio::task::yield_now().await;
        }
        answer(&mut socket).await;
        socket
    };
    let (response, mut first) = tokio::join!(call(), serve);
    assert_eq!(&response.unwrap().body[..], NO_EFFECTS);
    assert!(closed(&mut first).await);
    let second = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        answer(&mut socket).await;
    };
    let (response, ()) = tokio::join!(call(), second);
    response.unwrap();
}

#[tokio::test]
async fn sf_28_an_idle_connection_is_closed_when_it_is_not_needed() {
    let mut config = HttpClientConfig::default();
    config.pool_idle_timeout = Duration::from_millis(20);
    let client = HttpClient::new(config).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: http::Uri = format!("http://{}/", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    for _ in 0..2 {
        let call = client.send(
            HttpRequest::post(url.clone(), "in"),
            Duration::from_secs(60),
        );
        let serve = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            answer(&mut socket).await;
            socket
        };
        let (response, mut socket) = tokio::join!(call, serve);
        response.unwrap();
        assert!(closed(&mut socket).await);
    }
}

#[tokio::test]
async fn sf_28_idle_connections_are_closed_with_their_client() {
    let client = HttpClient::new(HttpClientConfig::default()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: http::Uri = format!("http://{}/", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let serve = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        answer(&mut socket).await;
        socket
    };
    let call = client.send(HttpRequest::post(url, "in"), Duration::from_secs(60));
    let (response, mut socket) = tokio::join!(call, serve);
    response.unwrap();
    drop(client);
    assert!(closed(&mut socket).await);
}
