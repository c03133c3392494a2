//! `io.statefun.playground.v1/egress`: `GET /<topic>` takes one record off a topic.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::HeaderValue;
use http::{Request, StatusCode};
use hyper::body::Incoming as Body;
use hyper::service::service_fn;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tracing::{error, warn};

use super::{OpenEgress, Outbox, OutboxRecord};
use crate::module::PlaygroundEgress;
use crate::protocol::reqreply::TypedValue;
use crate::runtime::core::MessageId;
use crate::runtime::error::StartError;
use crate::runtime::ingress::playground::with_status_header;
use crate::runtime::ingress::{Listener, listen, stopped};
use crate::runtime::respond::{self, Answer};
use crate::transport::http::{ServerLimits, serve_connections};

/// Type of the records: JSON `{"topic", "payload"}`.
const EGRESS_RECORD: &str = "io.statefun.playground/EgressRecord";
/// Records that are held for readers; the rest waits in the outbox.
const HELD: usize = 10_000;

/// The egress with its open socket.
#[derive(Debug)]
pub(crate) struct OpenPlaygroundEgress {
    topics: Vec<String>,
    socket: TcpListener,
    listener: Listener,
}

impl OpenPlaygroundEgress {
    /// Opens the socket.
    pub(crate) async fn open(spec: PlaygroundEgress) -> Result<Self, StartError> {
        let address = format!("{}:{}", spec.host, spec.port);
        let (socket, listener) = listen("playground egress", &address).await?;
        Ok(Self {
            topics: spec.topics,
            socket,
            listener,
        })
    }
}

#[async_trait]
impl OpenEgress for OpenPlaygroundEgress {
    fn listening(&self) -> Option<Listener> {
        Some(self.listener.clone())
    }

    async fn run(self: Box<Self>, outbox: Outbox, stop: watch::Receiver<bool>) {
        let queues = self
            .topics
            .into_iter()
            .map(|topic| (topic, VecDeque::new()))
            .collect();
        let shelf = Arc::new(Shelf {
            outbox,
            queues: Mutex::new(queues),
            popped: Notify::new(),
        });
        let filling = Arc::clone(&shelf);
        let service = service_fn(move |request: Request<Body>| {
            let shelf = Arc::clone(&shelf);
            async move { Ok::<_, Infallible>(with_status_header(shelf.answer(request.uri().path()))) }
        });
        tokio::select! {
            () = filling.fill() => {}
            () = serve_connections(self.socket, service, ServerLimits::default(), stopped(stop)) => {}
        }
    }
}

/// Records on offer, by topic.
struct Shelf {
    outbox: Outbox,
    queues: Mutex<HashMap<String, VecDeque<(MessageId, Bytes)>>>,
    popped: Notify,
}

impl Shelf {
    /// Takes records from the outbox as readers make room.
    async fn fill(&self) {
        loop {
            let held: usize = self.queues().values().map(VecDeque::len).sum();
            if held >= HELD {
                self.popped.notified().await;
                continue;
            }
            match self.outbox.take(HELD - held).await {
                Ok(records) => records.into_iter().for_each(|record| self.offer(record)),
                Err(failure) => {
                    warn!(%failure, "the playground's outbox can't be read; will retry");
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// Puts a record on offer. One that no topic takes stays in the outbox.
    fn offer(&self, record: OutboxRecord) {
        match read(&record.value) {
            Ok((topic, payload)) => match self.queues().get_mut(&topic) {
                Some(queue) => queue.push_back((record.id, payload)),
                None => {
                    error!("Message was targeted to unknown topic {topic}. It stays in the outbox.")
                }
            },
            Err(what) => error!("Received unexpected value {what}. It stays in the outbox."),
        }
    }

    fn answer(&self, path: &str) -> Answer {
        let topic = path.trim_matches('/');
        let popped = match self.queues().get_mut(topic) {
            None => {
                return respond::error(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "topic.unknown",
                    "there is no such topic",
                );
            }
            Some(queue) => queue.pop_front(),
        };
        let Some((id, payload)) = popped else {
            return respond::error(
                StatusCode::NOT_FOUND,
                "topic.empty",
                "the topic has no record now",
            );
        };
        self.outbox.settle(&[id]);
        self.popped.notify_one();
        respond::with_type(
            StatusCode::OK,
            HeaderValue::from_static("text/plain; charset=utf-8"),
            payload,
        )
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<String, VecDeque<(MessageId, Bytes)>>> {
        // The table is whole after every statement.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Topic and payload of a record; or what it is instead.
fn read(value: &Bytes) -> Result<(String, Bytes), String> {
    let value = TypedValue::decode(value.clone()).map_err(|failure| failure.to_string())?;
    if value.typename != EGRESS_RECORD {
        return Err(format!("of type {}", value.typename));
    }
    let json: serde_json::Value =
        serde_json::from_slice(&value.value).map_err(|failure| failure.to_string())?;
    let topic = json.get("topic").and_then(serde_json::Value::as_str);
    let payload = json.get("payload").and_then(serde_json::Value::as_str);
    match (topic, payload) {
        (Some(topic), Some(payload)) => {
            Ok((topic.to_owned(), Bytes::copy_from_slice(payload.as_bytes())))
        }
        _ => Err("without `topic` and `payload`".to_owned()),
    }
}
