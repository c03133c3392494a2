//! Answers: status, headers and text.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use stateful_functions::transport::http::HandlerService;
use tokio::io::AsyncWriteExt;
use tower_service::Service;

use super::{Server, ask, post, rest, status, text};
use crate::support::functions::{call, call_without_values, effects, functions, missing};

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
