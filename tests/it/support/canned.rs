//! An HTTP/1.1 server that sends prepared bytes, and records its requests.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

use super::raw::RawMessage;

#[derive(Clone)]
pub(crate) enum Answer {
    /// Written as it is; the connection stays open.
    Bytes(Vec<u8>),
    /// Written as it is; then the connection is closed.
    Last(Vec<u8>),
    /// Written as it is; then nothing more is read or written.
    Stall(Vec<u8>),
}

/// A `200` with these headers (each a line, ended by `\r\n`) and this body.
pub(crate) fn ok(headers: &str, body: &[u8]) -> Answer {
    let head = format!(
        "HTTP/1.1 200 OK\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    Answer::Bytes([head.as_bytes(), body].concat())
}

#[derive(Clone)]
pub(crate) struct Canned {
    pub(crate) address: SocketAddr,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    /// What is answered when there is nothing else.
    last: Option<Answer>,
    /// Which connection, counted from 0, and what it sent.
    received: Arc<Mutex<Vec<(usize, RawMessage)>>>,
    arrived: Arc<Mutex<Vec<Instant>>>,
}

impl Canned {
    /// Each request, on whatever connection, gets the next answer.
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::start_with(answers, None).await
    }

    /// As [`start`](Self::start); further requests all get the same.
    pub(crate) async fn always(answers: impl IntoIterator<Item = Answer>, last: Answer) -> Self {
        Self::start_with(answers, Some(last)).await
    }

    async fn start_with(answers: impl IntoIterator<Item = Answer>, last: Option<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            last,
            received: Arc::default(),
            arrived: Arc::default(),
        };
        let running = server.clone();
        tokio::spawn(async move {
            for connection in 0.. {
                let (socket, _) = listener.accept().await.unwrap();
                let server = running.clone();
                tokio::spawn(async move { server.converse(connection, socket).await });
            }
        });
        server
    }

    pub(crate) fn url(&self, path: &str) -> http::Uri {
        format!("http://{}{path}", self.address).parse().unwrap()
    }

    pub(crate) fn received(&self) -> Vec<(usize, RawMessage)> {
        self.received.lock().unwrap().clone()
    }

    /// When each request had come.
    pub(crate) fn arrived(&self) -> Vec<Instant> {
        self.arrived.lock().unwrap().clone()
    }

    pub(crate) async fn converse(
        &self,
        connection: usize,
        mut socket: impl AsyncRead + AsyncWrite + Unpin,
    ) {
        while let Some(request) = RawMessage::read(&mut socket).await {
            self.arrived.lock().unwrap().push(Instant::now());
            self.received.lock().unwrap().push((connection, request));
            let answer = self.answers.lock().unwrap().pop_front();
            let answer = answer.or_else(|| self.last.clone());
            match answer.expect("an answer for each request") {
                Answer::Bytes(bytes) => socket.write_all(&bytes).await.unwrap(),
                Answer::Last(bytes) => {
                    socket.write_all(&bytes).await.unwrap();
                    return;
                }
                Answer::Stall(bytes) => {
                    socket.write_all(&bytes).await.unwrap();
                    std::future::pending().await
                }
            }
        }
    }
}
