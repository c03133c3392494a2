//! The framing, encoding and size of answers.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use super::{ASYNC, Caller, NO_EFFECTS, OKHTTP, fine};
use crate::support::canned::{Answer, Canned, ok};

const OCTET_STREAM: &str = "content-type: application/octet-stream\r\n";

pub(super) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn encoded(encoding: &str, body: &[u8]) -> Answer {
    ok(
        &format!("{OCTET_STREAM}content-encoding: {encoding}\r\n"),
        body,
    )
}

fn chunked(chunks: &[&[u8]]) -> Answer {
    let mut bytes =
        format!("HTTP/1.1 200 OK\r\n{OCTET_STREAM}transfer-encoding: chunked\r\n\r\n").into_bytes();
    for chunk in chunks {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    Answer::Bytes(bytes)
}

#[tokio::test]
async fn sf_27_gzip_deflate_and_chunked_answers_and_closed_connections_are_read() {
    let closing = |headers: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 200 OK\r\n{OCTET_STREAM}{headers}\r\n");
        Answer::Last([head.as_bytes(), body].concat())
    };
    for transport in [ASYNC, OKHTTP] {
        let answers = vec![
            encoded("gzip", &gzip(NO_EFFECTS)),
            encoded("deflate", &deflate(NO_EFFECTS)),
            chunked(&[&NO_EFFECTS[..1], &NO_EFFECTS[1..]]),
            closing("connection: close\r\ncontent-length: 3\r\n", NO_EFFECTS),
            closing("connection: close\r\n", NO_EFFECTS),
            fine(),
        ];
        let count = answers.len();
        let server = Canned::start(answers).await;
        let caller = Caller::new(&server.url("/").to_string(), transport).await;
        for round in 1..=count {
            caller.send("a").await;
            caller.succeeds(round as u64).await;
        }
        assert_eq!(caller.failed_attempts().await, 0);
        let connections: Vec<_> = server
            .received()
            .iter()
            .map(|(connection, _)| *connection)
            .collect();
        assert_eq!(connections, [0, 0, 0, 0, 1, 2], "{transport}");
    }
}

#[tokio::test]
async fn sf_27_an_oversized_answer_is_a_failed_attempt_in_every_framing() {
    let large = vec![0; 1001];
    let announced = format!("HTTP/1.1 200 OK\r\n{OCTET_STREAM}content-length: 1001\r\n\r\n");
    let server = Canned::start([
        // The rest of it is never sent, and not waited for.
        Answer::Stall(announced.into()),
        chunked(&[&large[..500], &large[500..]]),
        encoded("gzip", &gzip(&large)),
        encoded("deflate", &deflate(&large)),
        fine(),
    ])
    .await;
    let transport = format!("{ASYNC}, payload_max_bytes: 1000");
    let caller = Caller::new(&server.url("/").to_string(), &transport).await;
    caller.send("a").await;
    caller.succeeds(1).await;
    assert_eq!(caller.failed_attempts().await, 4);
}

#[tokio::test]
async fn sf_27_answers_are_limited_to_32_mib_by_default() {
    for transport in [ASYNC, OKHTTP] {
        let limit = 32 << 20;
        let announced = format!(
            "HTTP/1.1 200 OK\r\n{OCTET_STREAM}content-length: {}\r\n\r\n",
            limit + 1
        );
        let server = Canned::always([Answer::Stall(announced.into())], fine()).await;
        let caller = Caller::new(
            &server.url("/").to_string(),
            &format!("{transport}, call: 5s"),
        )
        .await;
        caller.send("a").await;
        if transport == ASYNC {
            caller.succeeds(1).await;
            assert_eq!(caller.failed_attempts().await, 1);
        } else {
            let text = format!(
                "Unable to parse a Protobuf message: the response is larger than {limit} bytes (POST {})",
                server.url("/")
            );
            assert_eq!(caller.failure().await, text);
        }
    }
    // Exactly at the limit, padded with an unknown field.
    let mut largest = NO_EFFECTS.to_vec();
    let padding = (32_usize << 20) - NO_EFFECTS.len() - 1 - 4;
    largest.push(0x0A);
    prost::encoding::encode_varint(padding as u64, &mut largest);
    largest.resize(32 << 20, 0);
    let server = Canned::start([ok(OCTET_STREAM, &largest)]).await;
    let caller = Caller::new(&server.url("/").to_string(), ASYNC).await;
    caller.send("a").await;
    caller.succeeds(1).await;
    assert_eq!(server.received().len(), 1);
}
