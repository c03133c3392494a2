//! An HTTP destination controlled by the test: it answers, hangs, resets, or is down.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::raw::RawMessage;

/// What it does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reaction {
    /// Answers with this status, these headers (each a line, ended by `\r\n`) and this body.
    Answer(u16, &'static str, Vec<u8>),
    /// Sends these bytes and closes the connection.
    Raw(&'static [u8]),
    /// Reads the request and never answers.
    Hang,
    /// Reads the request and resets the connection.
    Reset,
}

impl Reaction {
    pub(crate) const fn status(status: u16) -> Self {
        Self::Answer(status, "", Vec::new())
    }
}

type React = Arc<dyn Fn(&RawMessage) -> Reaction + Send + Sync>;

/// The destination. Its port stays its own while it is down.
pub(crate) struct Destination {
    address: SocketAddr,
    react: Arc<Mutex<React>>,
    received: Arc<Mutex<Vec<RawMessage>>>,
    news: Arc<Notify>,
    running: Option<JoinHandle<()>>,
}

impl Destination {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut destination = Self {
            address: listener.local_addr().unwrap(),
            react: Arc::new(Mutex::new(Arc::new(|_| Reaction::status(200)))),
            received: Arc::default(),
            news: Arc::default(),
            running: None,
        };
        destination.serve(listener);
        destination
    }

    fn serve(&mut self, listener: TcpListener) {
        let talk = Talk {
            react: Arc::clone(&self.react),
            received: Arc::clone(&self.received),
            news: Arc::clone(&self.news),
        };
        self.running = Some(tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new(); // dropped with the listener
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                socket.set_nodelay(true).unwrap();
                connections.spawn(talk.clone().converse(socket));
            }
        }));
    }

    /// Closes listener and connections: from here on it refuses.
    pub(crate) async fn go_down(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
            let _ = running.await;
        }
    }

    /// Is there again.
    pub(crate) async fn come_up(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serve(listener);
    }

    /// Reacts like this to every request from here on.
    pub(crate) fn react(&self, reaction: Reaction) {
        self.react_with(move |_| reaction.clone());
    }

    pub(crate) fn react_with(
        &self,
        react: impl Fn(&RawMessage) -> Reaction + Send + Sync + 'static,
    ) {
        *self.react.lock().unwrap() = Arc::new(react);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All requests so far, those that were not answered well included.
    pub(crate) fn received(&self) -> Vec<RawMessage> {
        self.received.lock().unwrap().clone()
    }

    /// The bodies of all requests so far, as text.
    pub(crate) fn bodies(&self) -> Vec<String> {
        let received = self.received();
        received
            .iter()
            .map(|request| String::from_utf8_lossy(&request.body).into_owned())
            .collect()
    }

    /// Waits until the requests so far are as they should be.
    pub(crate) async fn until(&self, are: impl Fn(&[RawMessage]) -> bool) {
        loop {
            let news = self.news.notified();
            if are(&self.received.lock().unwrap()) {
                return;
            }
            news.await;
        }
    }

    /// Takes the requests so far away.
    pub(crate) fn forget(&self) -> usize {
        std::mem::take(&mut *self.received.lock().unwrap()).len()
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

#[derive(Clone)]
struct Talk {
    react: Arc<Mutex<React>>,
    received: Arc<Mutex<Vec<RawMessage>>>,
    news: Arc<Notify>,
}

impl Talk {
    async fn converse(self, mut socket: TcpStream) {
        while let Some(request) = RawMessage::read(&mut socket).await {
            let react = Arc::clone(&self.react.lock().unwrap());
            let reaction = react(&request);
            self.received.lock().unwrap().push(request);
            self.news.notify_waiters();
            match reaction {
                Reaction::Answer(status, headers, body) => {
                    let length = body.len();
                    let head =
                        format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n");
                    let answer = [head.as_bytes(), &body].concat();
                    if socket.write_all(&answer).await.is_err() {
                        return;
                    }
                }
                Reaction::Raw(bytes) => {
                    let _ = socket.write_all(bytes).await;
                    return;
                }
                Reaction::Hang => std::future::pending::<()>().await,
                Reaction::Reset => {
                    socket.set_zero_linger().unwrap();
                    return;
                }
            }
        }
    }
}
