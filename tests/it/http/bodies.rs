//! Bodies: compressed, in chunks, too large, and late.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use stateful_functions::transport::http::{HandlerService, ServerLimits};

use super::{SHORT, Server, ask, post, status, text};
use crate::support::functions::{call, effects, functions};

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
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
async fn body_that_does_not_come_is_408() {
    let service = HandlerService::from(functions()).with_body_timeout(SHORT);
    let server = Server::start(service, ServerLimits::default()).await;
    let answer = server
        .ask(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab")
        .await;
    let line = "the request body took longer than 20ms";
    assert_eq!(text(&answer), ("408 Request Timeout", line));
}
