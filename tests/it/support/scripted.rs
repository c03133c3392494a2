//! A function server that answers from a script, by address and call number, and records every request.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use prost::Message as _;
use stateful_functions::protocol::reqreply::to_function::{InvocationBatchRequest, Request};
use stateful_functions::protocol::reqreply::{Address, FromFunction, ToFunction};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::raw::RawMessage;
use super::reply::Reply;

/// What is done with one request: bytes that are written, and what follows.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    bytes: Vec<u8>,
    then: Then,
    is_held: bool,
}

#[derive(Debug, Clone, Copy)]
enum Then {
    /// The connection stays open.
    Keep,
    Close,
    /// The connection ends with a reset.
    Reset,
    /// Nothing more happens on the connection.
    Stall,
}

impl Step {
    fn new(bytes: Vec<u8>, then: Then) -> Self {
        Self {
            bytes,
            then,
            is_held: false,
        }
    }

    /// An answer as a function server gives it.
    pub(crate) fn reply(reply: Reply) -> Self {
        let response = Some(reply.0);
        let body = FromFunction { response }.encode_to_vec();
        Self::body("application/octet-stream", &body)
    }

    /// A 200 with this content type, none if it is empty, and this body.
    pub(crate) fn body(content_type: &str, body: &[u8]) -> Self {
        let header = match content_type {
            "" => String::new(),
            content_type => format!("content-type: {content_type}\r\n"),
        };
        Self::answer("200 OK", &header, body)
    }

    /// An answer with this status line and these headers, each ended by `\r\n`.
    pub(crate) fn answer(status: &str, headers: &str, body: &[u8]) -> Self {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n");
        Self::new([head.as_bytes(), body].concat(), Then::Keep)
    }

    /// A status with nothing else.
    pub(crate) fn status(status: &str) -> Self {
        Self::answer(status, "", b"")
    }

    /// The beginning of an answer, and then a reset; of no answer at all, if `bytes` is empty.
    pub(crate) fn reset_after(bytes: &str) -> Self {
        Self::new(bytes.into(), Then::Reset)
    }

    /// The beginning of an answer, and then the end of the connection.
    pub(crate) fn close_after(bytes: &str) -> Self {
        Self::new(bytes.into(), Then::Close)
    }

    /// These bytes, as they are.
    pub(crate) fn raw(bytes: Vec<u8>) -> Self {
        Self::new(bytes, Then::Keep)
    }

    /// No answer, ever.
    pub(crate) fn hang() -> Self {
        Self::new(Vec::new(), Then::Stall)
    }

    /// The same, and then the end of the connection.
    pub(crate) fn closing(mut self) -> Self {
        self.then = Then::Close;
        self
    }

    /// The same, once it is released.
    pub(crate) fn held(mut self) -> Self {
        self.is_held = true;
        self
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) raw: RawMessage,
    pub(crate) batch: InvocationBatchRequest,
}

/// The server; it ends with its executor.
#[derive(Clone)]
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    /// How often steps were released, by address.
    released: watch::Sender<HashMap<String, usize>>,
}

#[derive(Default)]
struct Shared {
    scripts: HashMap<String, Vec<Step>>,
    seen: HashMap<String, Vec<Seen>>,
    held: HashMap<String, usize>,
}

impl Scripted {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            shared: Arc::default(),
            released: watch::Sender::default(),
        };
        let running = server.clone();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                socket.set_nodelay(true).unwrap();
                let server = running.clone();
                tokio::spawn(async move { server.converse(socket).await });
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// What the requests of `address` get, one after the other; later ones an answer without effects.
    pub(crate) fn script(&self, address: &str, steps: impl IntoIterator<Item = Step>) {
        let steps = steps.into_iter().collect();
        self.shared().scripts.insert(address.to_owned(), steps);
    }

    /// What came for `address` so far.
    pub(crate) fn seen(&self, address: &str) -> Vec<Seen> {
        let shared = self.shared();
        shared.seen.get(address).cloned().unwrap_or_default()
    }

    /// Releases one held step of `address`, the current or the next one.
    pub(crate) fn release(&self, address: &str) {
        self.released
            .send_modify(|released| *released.entry(address.to_owned()).or_default() += 1);
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }

    async fn converse(&self, mut socket: TcpStream) {
        while let Some(raw) = RawMessage::read(&mut socket).await {
            let (address, step) = self.take(raw);
            if step.is_held {
                self.await_release(&address).await;
            }
            // Who asked may have given up.
            if socket.write_all(&step.bytes).await.is_err() {
                return;
            }
            match step.then {
                Then::Keep => {}
                Then::Close => return,
                Then::Reset => return socket.set_zero_linger().unwrap(),
                Then::Stall => std::future::pending().await,
            }
        }
    }

    fn take(&self, raw: RawMessage) -> (String, Step) {
        let at = Instant::now();
        let Some(Request::Invocation(batch)) = ToFunction::decode(&raw.body[..]).unwrap().request
        else {
            panic!("no batch: {raw:?}");
        };
        let address = text(&batch.target.clone().unwrap());
        let mut shared = self.shared();
        let seen = shared.seen.entry(address.clone()).or_default();
        let number = seen.len();
        seen.push(Seen { at, raw, batch });
        let script = shared.scripts.get(&address);
        let step = script.and_then(|script| script.get(number)).cloned();
        (address, step.unwrap_or_else(|| Step::reply(Reply::new())))
    }

    async fn await_release(&self, address: &str) {
        let number = {
            let mut shared = self.shared();
            let held = shared.held.entry(address.to_owned()).or_default();
            *held += 1;
            *held
        };
        let mut released = self.released.subscribe();
        let enough =
            |released: &HashMap<String, usize>| released.get(address).copied() >= Some(number);
        released.wait_for(enough).await.unwrap();
    }
}

/// `<namespace>/<type>/<id>`.
pub(crate) fn text(address: &Address) -> String {
    format!("{}/{}/{}", address.namespace, address.r#type, address.id)
}
