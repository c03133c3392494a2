//! Connections: kept, limited, and finished.

use std::io;

use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use stateful_functions::transport::http::ServerLimits;
use stateful_functions::{FunctionSpec, StatefulFunctions, TypeName};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{SHORT, Server, ask, limits, post, rest, status};
use crate::support::functions::{Gate, call, effects, functions};
use crate::support::raw::RawMessage;

#[tokio::test]
async fn connections_are_kept_and_pipelined_requests_answered_in_order() {
    let server = Server::with_defaults().await;
    let mut connection = server.connect().await;
    let mixed = [
        post("", &call("counter")),
        post("", b"garbage"),
        post("", &call("counter")),
    ]
    .concat();
    connection.write_all(&mixed).await.unwrap();
    for expected in ["200 OK", "400 Bad Request", "200 OK"] {
        assert_eq!(
            status(&RawMessage::read(&mut connection).await.unwrap()),
            expected
        );
    }
    assert_eq!(
        status(&ask(&mut connection, &post("connection: close\r\n", b"")).await),
        "400 Bad Request"
    );
    assert_eq!(rest(&mut connection).await, "");
}

#[tokio::test]
async fn http2_is_served_to_clients_that_know_it() {
    let server = Server::with_defaults().await;
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let url = format!("http://{}/statefun", server.address);
    let calls = (0..20).map(|_| {
        let request = hyper::Request::post(&url)
            .body(Full::new(call("counter")))
            .unwrap();
        client.request(request)
    });
    for answer in futures_util::future::join_all(calls).await {
        let answer = answer.unwrap();
        assert_eq!(
            (answer.version(), answer.status().as_u16()),
            (hyper::Version::HTTP_2, 200)
        );
        assert_eq!(
            effects(&answer.into_body().collect().await.unwrap().to_bytes()),
            1
        );
    }
}

#[tokio::test]
async fn connections_without_a_complete_request_head_are_closed() {
    let server = Server::start(functions(), limits(|limits| limits.idle_timeout = SHORT)).await;
    for start in ["", "P", "PRI * HTTP/2.0\r\n", "POST / HTTP/1.1\r\nhost"] {
        let mut connection = server.connect().await;
        connection.write_all(start.as_bytes()).await.unwrap();
        assert_eq!(rest(&mut connection).await, "", "{start}");
    }
    let mut idle = server.connect().await;
    ask(&mut idle, &post("", b"")).await;
    assert_eq!(rest(&mut idle).await, "");
}

#[tokio::test]
async fn request_that_takes_long_outlives_the_idle_timeout() {
    let gate = Gate::new();
    let server = Server::start(gated(&gate), limits(|limits| limits.idle_timeout = SHORT)).await;
    let mut waiting = server.connect().await;
    waiting.write_all(&post("", &call("gate"))).await.unwrap();
    // Once a connection that came later has been closed twice over, the first one's time is over, too.
    for _ in 0..2 {
        assert_eq!(rest(&mut server.connect().await).await, "");
    }
    gate.open.add_permits(1);
    assert_eq!(
        status(&RawMessage::read(&mut waiting).await.unwrap()),
        "200 OK"
    );
}

fn gated(gate: &Gate) -> StatefulFunctions {
    functions()
        .with(FunctionSpec::new(TypeName::new("test/gate"), gate.clone()))
        .unwrap()
}

#[tokio::test]
async fn shutdown_finishes_requests_in_flight_and_nothing_else() {
    let gate = Gate::new();
    let server = Server::start(gated(&gate), ServerLimits::default()).await;
    let mut idle = server.connect().await;
    ask(&mut idle, &post("", b"")).await;
    let mut silent = server.connect().await;
    let mut busy = server.connect().await;
    busy.write_all(&post("", &call("gate"))).await.unwrap();
    gate.started.acquire().await.unwrap().forget();

    server.stop.send(()).unwrap();
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(rest(&mut silent).await, "");
    let refused = TcpStream::connect(server.address).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert!(!server.ended.is_finished());

    gate.open.add_permits(1);
    let answer = RawMessage::read(&mut busy).await.unwrap();
    assert_eq!(status(&answer), "200 OK");
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(rest(&mut busy).await, "");
    server.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn shutdown_ends_after_the_grace_period_whatever_is_in_flight() {
    let gate = Gate::new();
    let server = Server::start(gated(&gate), limits(|limits| limits.shutdown_grace = SHORT)).await;
    let mut stuck = server.connect().await;
    stuck.write_all(&post("", &call("gate"))).await.unwrap();
    gate.started.acquire().await.unwrap().forget();
    server.stop.send(()).unwrap();
    server.ended.await.unwrap().unwrap();
    assert_eq!(rest(&mut stuck).await, "");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_while_all_others_are_busy() {
    let gate = Gate::new();
    let server = Server::start(gated(&gate), limits(|limits| limits.max_connections = 1)).await;
    let mut first = server.connect().await;
    first.write_all(&post("", &call("gate"))).await.unwrap();
    gate.started.acquire().await.unwrap().forget();
    let mut second = server.connect().await;
    second.write_all(&post("", b"garbage")).await.unwrap();
    gate.open.add_permits(1);
    // It is answered before it makes room.
    assert_eq!(
        status(&RawMessage::read(&mut first).await.unwrap()),
        "200 OK"
    );
    assert_eq!(
        status(&RawMessage::read(&mut second).await.unwrap()),
        "400 Bad Request"
    );
    assert_eq!(rest(&mut first).await, "");
}

#[tokio::test]
async fn beyond_the_limit_the_connection_that_is_idle_longest_makes_room() {
    let server = Server::start(functions(), limits(|limits| limits.max_connections = 2)).await;
    let (mut oldest, mut older) = (server.connect().await, server.connect().await);
    for connection in [&mut oldest, &mut older] {
        ask(connection, &post("", &call("counter"))).await;
    }
    let mut newest = server.connect().await;
    for connection in [&mut newest, &mut older] {
        let answer = ask(connection, &post("", &call("counter"))).await;
        assert_eq!(status(&answer), "200 OK");
    }
    assert_eq!(rest(&mut oldest).await, "");
}

#[tokio::test]
async fn dropped_server_closes_its_connections() {
    let server = Server::with_defaults().await;
    let mut connection = server.connect().await;
    ask(&mut connection, &post("", b"")).await;
    server.ended.abort();
    assert!(server.ended.await.unwrap_err().is_cancelled());
    assert_eq!(rest(&mut connection).await, "");
}
