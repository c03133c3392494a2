//! The handler served over HTTP, on real sockets.

mod answers;
mod bodies;
mod connections;

use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use stateful_functions::transport::http::{HandlerService, ServerLimits, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::functions::functions;
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
