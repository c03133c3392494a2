//! Kind: listeners with different rules. The function handler decoded compressed bodies, refused an announced length at once and limited the time of a
//! body; the HTTP ingress did none of this: a pipeline got gzip bytes as JSON, `100 Continue` was sent for 100 MB at a limit of 8 MiB, and a
//! body that stayed incomplete kept its connection for ever. Now every listener uses the same reader.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use stateful_functions::runtime::{Runtime, RuntimeConfig};
use stateful_functions::transport::http::HandlerService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::runtime::{SAMPLES, Started, admin};
use crate::support::functions::{call, functions};
use crate::support::raw::{RawMessage, ask};
use crate::support::served::served;

/// Short, because a test waits for it to pass.
const SHORT: Duration = Duration::from_millis(50);

/// A server of each kind, and what asks it for something that has a body.
struct Servers {
    _started: Started,
    servers: Vec<Server>,
}

#[derive(Debug)]
struct Server {
    name: &'static str,
    address: String,
    /// The first line of a request, without the version.
    line: &'static str,
    /// What takes a body of text.
    content_type: &'static str,
}

impl Servers {
    async fn open(pause: Duration) -> Self {
        let mut config = RuntimeConfig::default();
        config.body_pause = pause;
        let builder = Runtime::builder().config(config).admin(admin());
        let module = format!(
            "{SAMPLES}---
kind: io.statefun.playground.v1/ingress
spec: {{port: 0, wrapText: true}}
"
        );
        let started = Started::with(builder, &module).await;
        let of = |name, listener, line, content_type| Server {
            name,
            address: started.address(listener),
            line,
            content_type,
        };
        let path = "POST /send/statefun.samples/counter/a";
        let mut servers = vec![
            of("ingress", "http ingress", path, "text/plain"),
            of(
                "admin",
                "admin api",
                "POST /api/send/statefun.samples/counter/a",
                "text/plain",
            ),
            of(
                "playground",
                "playground ingress",
                "POST /statefun.samples/counter/a",
                "text/plain",
            ),
        ];
        let service = HandlerService::from(functions()).with_body_pause(pause);
        servers.push(Server {
            name: "handler",
            address: served(service).await.to_string(),
            line: "POST /",
            content_type: "application/octet-stream",
        });
        Self {
            _started: started,
            servers,
        }
    }
}

impl Server {
    fn request(&self, headers: &str, body: &[u8]) -> Vec<u8> {
        let Self {
            line, content_type, ..
        } = self;
        let head = format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\n{headers}\r\n"
        );
        [head.as_bytes(), body].concat()
    }

    async fn ask(&self, headers: &str, body: &[u8]) -> RawMessage {
        let headers = format!("{headers}content-length: {}\r\n", body.len());
        ask(&self.address, &self.request(&headers, body)).await
    }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn compressed_bodies_are_decoded_by_every_listener() {
    let started = Started::ephemeral(SAMPLES).await;
    let address = started.address("http ingress");
    for (encoding, body) in [
        ("gzip", gzip(b"5")),
        ("deflate", deflate(b"5")),
        ("identity", b"5".to_vec()),
    ] {
        let head = format!(
            "POST /call/statefun.samples/counter/{encoding} HTTP/1.1\r\nhost: localhost\r\ncontent-encoding: {encoding}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let answer = ask(&address, &[head.as_bytes(), &body].concat()).await;
        assert_eq!((answer.status(), answer.text()), (200, "5"), "{encoding}");
    }
    for server in Servers::open(SHORT).await.servers.iter().take(3) {
        let answer = server.ask("content-encoding: gzip\r\n", &gzip(b"5")).await;
        assert!(answer.status() < 300, "{}: {}", server.name, answer.text());
    }
}

#[tokio::test]
async fn other_encodings_are_415_and_broken_ones_400_at_every_listener() {
    for server in Servers::open(SHORT).await.servers {
        let brotli = server.ask("content-encoding: br\r\n", b"5").await;
        assert_eq!(brotli.status(), 415, "{}", server.name);
        assert!(
            brotli.text().contains("gzip, deflate or identity"),
            "{}",
            brotli.text()
        );
        let broken = server.ask("content-encoding: gzip\r\n", b"5").await;
        assert_eq!(broken.status(), 400, "{}", server.name);
    }
}

#[tokio::test]
async fn an_announced_length_beyond_the_limit_is_refused_before_the_body_is_requested() {
    for server in Servers::open(SHORT).await.servers {
        let announced = "expect: 100-continue\r\ncontent-length: 100000000\r\n";
        let answer = ask(&server.address, &server.request(announced, b"")).await;
        assert_eq!(answer.status(), 413, "{}", server.name);
        let invited = "expect: 100-continue\r\ncontent-length: 1\r\n";
        let answer = ask(&server.address, &server.request(invited, b"")).await;
        assert_eq!(answer.status(), 100, "{}", server.name);
    }
}

#[tokio::test]
async fn a_client_that_still_sends_its_large_body_can_read_the_refusal() {
    for server in Servers::open(SHORT).await.servers {
        let large = server.request("content-length: 100000000\r\n", &vec![0; 4 << 20]);
        let answer = ask(&server.address, &large).await;
        assert_eq!(answer.status(), 413, "{}", server.name);
    }
}

#[tokio::test]
async fn a_body_that_stays_incomplete_is_408_and_ends_the_connection_at_every_listener() {
    for server in Servers::open(SHORT).await.servers {
        let mut connection = TcpStream::connect(&server.address).await.unwrap();
        let begun = server.request("content-length: 10\r\n", b"abc");
        connection.write_all(&begun).await.unwrap();
        let answer = RawMessage::read(&mut connection).await.unwrap();
        assert_eq!(answer.status(), 408, "{}", server.name);
        let mut rest = Vec::new();
        connection.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty(), "{}", server.name);
    }
}

#[tokio::test]
async fn an_unknown_expectation_is_417_at_every_listener() {
    for server in Servers::open(SHORT).await.servers {
        let answer = server.ask("expect: 200-ok\r\n", b"5").await;
        assert_eq!(answer.status(), 417, "{}", server.name);
    }
}

/// A script such as `printf … | nc` sends its request, closes that side, and waits. Its connection was closed without an answer.
#[tokio::test]
async fn a_client_that_closes_its_writing_side_gets_its_answer() {
    let servers = Servers::open(Duration::from_secs(10)).await;
    for server in &servers.servers {
        let body = match server.name {
            "handler" => call("counter").to_vec(),
            _ => b"1".to_vec(),
        };
        let length = format!("content-length: {}\r\n", body.len());
        let mut connection = TcpStream::connect(&server.address).await.unwrap();
        let request = server.request(&length, &body);
        connection.write_all(&request).await.unwrap();
        connection.shutdown().await.unwrap();
        let answer = RawMessage::read(&mut connection).await;
        let answer = answer.unwrap_or_else(|| panic!("no answer from the {}", server.name));
        assert!(matches!(answer.status(), 200 | 202), "{answer:?}");
        let mut rest = Vec::new();
        connection.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"", "{}", server.name);
    }
}
