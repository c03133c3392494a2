//! The handler served over HTTP, on real sockets.

use std::future::IntoFuture;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use stateful_functions::transport::http::{HandlerService, ServerLimits, serve};
use stateful_functions::{FunctionSpec, StatefulFunctions, TypeName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower_service::Service;

use crate::support::functions::{Gate, call, call_without_values, effects, functions, missing};
use crate::support::raw::RawMessage;

/// Short, because a test waits for it to pass.
const SHORT: Duration = Duration::from_millis(20);

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<io::Result<()>>,
}

impl Server {
    async fn start(service: impl Into<HandlerService>, limits: ServerLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = serve(listener, service)
            .with_limits(limits)
            .with_graceful_shutdown(async { drop(stopped.await) });
        let ended = tokio::spawn(server.into_future());
        Self {
            address,
            stop,
            ended,
        }
    }

    /// The test functions with default limits.
    async fn with_defaults() -> Self {
        Self::start(functions(), ServerLimits::default()).await
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// One request on a connection of its own.
    async fn ask(&self, request: &[u8]) -> RawMessage {
        ask(&mut self.connect().await, request).await
    }
}

fn limits(change: impl FnOnce(&mut ServerLimits)) -> ServerLimits {
    let mut limits = ServerLimits::default();
    change(&mut limits);
    limits
}

async fn ask(connection: &mut TcpStream, request: &[u8]) -> RawMessage {
    connection.write_all(request).await.unwrap();
    RawMessage::read(connection).await.unwrap()
}

/// The bytes of a `POST` with further headers, each ended by `\r\n`.
fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /statefun HTTP/1.1\r\nhost: x\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Status and body, of an answer with text only.
fn text(answer: &RawMessage) -> (&str, &str) {
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    (status(answer), std::str::from_utf8(&answer.body).unwrap())
}

fn status(answer: &RawMessage) -> &str {
    answer
        .head
        .lines()
        .next()
        .unwrap()
        .strip_prefix("HTTP/1.1 ")
        .unwrap()
}

/// Reads to the end of the connection.
async fn rest(connection: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    connection.read_to_end(&mut rest).await.unwrap();
    String::from_utf8(rest).unwrap()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn sf_06_valid_requests_are_answered_200_and_exactly_octet_stream() {
    let server = Server::with_defaults().await;
    for (headers, body) in [
        (
            "content-type: application/octet-stream\r\n",
            call("counter"),
        ),
        ("", call("counter")),
        ("", call_without_values("counter")),
    ] {
        let answer = server.ask(&post(headers, &body)).await;
        assert_eq!(status(&answer), "200 OK");
        let types: Vec<&str> = answer
            .head
            .lines()
            .filter(|line| line.starts_with("content-type"))
            .collect();
        assert_eq!(types, ["content-type: application/octet-stream"]);
        assert_eq!(answer.header("transfer-encoding"), None);
    }
    assert_eq!(
        effects(&server.ask(&post("", &call("counter"))).await.body),
        1
    );
    let incomplete = server.ask(&post("", &call_without_values("counter"))).await;
    assert_eq!(missing(&incomplete.body), ["seen"]);
}

#[tokio::test]
async fn sf_21_faulty_requests_have_a_status_and_a_line() {
    let server = Server::with_defaults().await;
    let unknown = server.ask(&post("", &call("nobody"))).await;
    let (status, line) = text(&unknown);
    assert_eq!(status, "500 Internal Server Error");
    for name in ["test/nobody", "test/broken", "test/counter", "test/swollen"] {
        assert!(line.contains(name), "{line}");
    }

    let get = server
        .ask(b"GET /statefun HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    assert_eq!(
        text(&get),
        ("405 Method Not Allowed", "functions are called with POST")
    );
    assert_eq!(get.header("allow"), Some("POST"));

    let foreign = server
        .ask(&post("content-type: application/json\r\n", b"{}"))
        .await;
    let line = "the content-type of a request is application/octet-stream, or absent";
    assert_eq!(text(&foreign), ("415 Unsupported Media Type", line));

    let garbage = server.ask(&post("", b"garbage")).await;
    assert_eq!(text(&garbage).0, "400 Bad Request");
}

#[tokio::test]
async fn failing_function_is_500_with_one_line_and_the_next_request_works() {
    let server = Server::with_defaults().await;
    let mut connection = server.connect().await;
    let failed = ask(&mut connection, &post("", &call("broken"))).await;
    let (status, line) = text(&failed);
    assert_eq!(status, "500 Internal Server Error");
    assert!(
        line.contains("test/broken") && line.contains("first line second line"),
        "{line}"
    );
    assert_eq!(
        self::status(&ask(&mut connection, &post("", &call("counter"))).await),
        "200 OK"
    );
}

#[tokio::test]
async fn health_answers_get_and_head() {
    let server = Server::with_defaults().await;
    let get = server.ask(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(text(&get), ("200 OK", "ok"));
    let mut connection = server.connect().await;
    connection
        .write_all(b"HEAD /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let head = rest(&mut connection).await;
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
}

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
async fn compressed_requests_are_read() {
    let server = Server::with_defaults().await;
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(&call("counter")).unwrap();
    for (encoding, body) in [
        ("gzip", gzip(&call("counter"))),
        ("deflate", zlib.finish().unwrap()),
    ] {
        let answer = server
            .ask(&post(&format!("content-encoding: {encoding}\r\n"), &body))
            .await;
        assert_eq!((status(&answer), effects(&answer.body)), ("200 OK", 1));
    }
    let unknown = server.ask(&post("content-encoding: br\r\n", b"x")).await;
    let line =
        "the content-encoding of the request is not supported; send gzip, deflate or identity";
    assert_eq!(text(&unknown), ("415 Unsupported Media Type", line));
    let plain = server
        .ask(&post("content-encoding: gzip\r\n", &call("counter")))
        .await;
    assert_eq!(text(&plain).0, "400 Bad Request");
}

#[tokio::test]
async fn bodies_beyond_the_limit_are_413_in_every_framing() {
    let service = HandlerService::from(functions()).with_max_body_bytes(1000);
    let server = Server::start(service, ServerLimits::default()).await;
    let chunked = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("3e9\r\n{}\r\n0\r\n\r\n", "x".repeat(1001));
    for request in [
        // Refused on its word: the body never comes.
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\n\r\n".to_vec(),
        [chunked, &chunk].concat().into_bytes(),
        post("content-encoding: gzip\r\n", &gzip(&[0; 1001])),
    ] {
        let answer = server.ask(&request).await;
        let line = "the request body is larger than 1000 bytes";
        assert_eq!(text(&answer), ("413 Payload Too Large", line));
    }
    assert_eq!(
        status(&server.ask(&post("", &call("counter"))).await),
        "200 OK"
    );
}

#[tokio::test]
async fn chunked_requests_and_expect_continue_are_served() {
    let server = Server::with_defaults().await;
    let mut connection = server.connect().await;
    let head =
        b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(status(&ask(&mut connection, head).await), "100 Continue");
    let mut body = Vec::new();
    for byte in call("counter") {
        body.extend([b"1\r\n".as_slice(), &[byte], b"\r\n"].concat());
    }
    body.extend(b"0\r\n\r\n");
    let answer = ask(&mut connection, &body).await;
    assert_eq!((status(&answer), effects(&answer.body)), ("200 OK", 1));
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

#[tokio::test]
async fn body_that_does_not_come_is_408() {
    let service = HandlerService::from(functions()).with_body_timeout(SHORT);
    let server = Server::start(service, ServerLimits::default()).await;
    let answer = server
        .ask(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab")
        .await;
    let line = "the request body took longer than 20ms";
    assert_eq!(text(&answer), ("408 Request Timeout", line));
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

#[tokio::test]
async fn the_service_works_in_a_custom_server() {
    let mut service = HandlerService::from(functions());
    std::future::poll_fn(|cx| Service::<hyper::Request<Full<Bytes>>>::poll_ready(&mut service, cx))
        .await
        .unwrap();
    let request = || {
        hyper::Request::post("/any")
            .body(Full::new(call("counter")))
            .unwrap()
    };
    let by_tower = Service::call(&mut service, request()).await.unwrap();
    let by_hyper = hyper::service::Service::call(&service, request())
        .await
        .unwrap();
    for answer in [by_tower, by_hyper] {
        assert_eq!(answer.headers()["content-type"], "application/octet-stream");
        assert_eq!(
            effects(&answer.into_body().collect().await.unwrap().to_bytes()),
            1
        );
    }
}

#[tokio::test]
async fn reply_that_statefun_refuses_is_sent_with_a_warning() {
    let written = Written::default();
    let writer = written.clone();
    let log = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(log);
    let mut service = HandlerService::from(functions());
    let request = hyper::Request::post("/")
        .body(Full::new(call("swollen")))
        .unwrap();
    let answer = service.call(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.into_body().collect().await.unwrap().to_bytes().len() > 33 * 1024 * 1024);
    let log = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    assert!(
        log.contains("WARN") && log.contains("StateFun refuses a reply of this size"),
        "{log}"
    );
}

/// What was logged.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut *self.0.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
