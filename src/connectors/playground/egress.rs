//! `io.statefun.playground.v1/egress`: `GET /<topic>` takes one record off a topic.

use std::collections::{HashMap, VecDeque};
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::HeaderValue;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming as Body;
use tokio::sync::{Notify, watch};
use tracing::error;

use super::status::with_status_header;
use crate::module::PlaygroundEgress;
use crate::runtime::http_listeners::{HttpListeners, HttpServer};
use crate::runtime::listener::stopped;
use crate::runtime::respond::{self, FullResponse, Refusal, refuse};
use crate::runtime::{EgressRecord, Listener, Settler, Sink, SinkBatch, StartError};
use crate::sdk::BoxError;

/// Type of the records: JSON `{"topic", "payload"}`.
const EGRESS_RECORD: &str = "io.statefun.playground/EgressRecord";
/// Maximum records held for readers; the others wait in the outbox.
const HELD: usize = 10_000;

/// Holds records until they are fetched.
#[derive(Debug)]
pub(crate) struct PlaygroundSink {
    spec: PlaygroundEgress,
    /// Until serving begins.
    server: Mutex<Option<HttpServer>>,
    shelf: Arc<Shelf>,
}

impl PlaygroundSink {
    pub(crate) fn new(spec: PlaygroundEgress) -> Self {
        let topics = spec.topics.iter().cloned();
        let shelf = Shelf {
            queues: Mutex::new(topics.map(|topic| (topic, VecDeque::new())).collect()),
            popped: Notify::new(),
        };
        Self {
            spec,
            server: Mutex::new(None),
            shelf: Arc::new(shelf),
        }
    }

    fn server(&self) -> MutexGuard<'_, Option<HttpServer>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Sink for PlaygroundSink {
    async fn open(&mut self, listeners: &HttpListeners) -> Result<Option<Listener>, StartError> {
        let address = format!("{}:{}", self.spec.host, self.spec.port);
        let server = listeners.open("playground egress", &address, None).await?;
        let listener = server.listener.clone();
        *self.server() = Some(server);
        Ok(Some(listener))
    }

    async fn deliver(&self, batch: &SinkBatch) -> Result<(), BoxError> {
        for (index, record) in batch.records().iter().enumerate() {
            self.shelf.room().await;
            if let Some(settler) = batch.settler(index) {
                self.shelf.offer(record, settler);
            }
        }
        Ok(())
    }

    /// A record is settled when it is fetched.
    fn settles_itself(&self) -> bool {
        true
    }

    async fn serve(&self, stop: watch::Receiver<bool>) {
        let Some(server) = self.server().take() else {
            return;
        };
        let shelf = Arc::clone(&self.shelf);
        let answer = move |request| ready(shelf.answer(&request));
        server
            .answer(answer, with_status_header, stopped(stop))
            .await;
    }
}

/// Available records, by topic.
#[derive(Debug)]
struct Shelf {
    queues: Mutex<HashMap<String, VecDeque<(Settler, Bytes)>>>,
    popped: Notify,
}

impl Shelf {
    /// Ready when readers have made room.
    async fn room(&self) {
        while self.queues().values().map(VecDeque::len).sum::<usize>() >= HELD {
            self.popped.notified().await;
        }
    }

    /// Makes a record available. A record without a known topic stays in the outbox.
    fn offer(&self, record: &EgressRecord, settler: Settler) {
        match read(record) {
            Ok((topic, payload)) => match self.queues().get_mut(&topic) {
                Some(queue) => queue.push_back((settler, payload)),
                None => {
                    error!("Message was targeted to unknown topic {topic}. It stays in the outbox.")
                }
            },
            Err(what) => error!("Received unexpected value {what}. It stays in the outbox."),
        }
    }

    /// Removes a record from the topic. Only GET does this, not HEAD.
    fn answer(&self, request: &Request<Body>) -> Result<FullResponse, Refusal> {
        if request.method() != Method::GET {
            return Err(respond::wrong_method("GET", "a record is taken with GET"));
        }
        let topic = request.uri().path().trim_matches('/');
        let mut queues = self.queues();
        let popped = match queues.get_mut(topic) {
            None => {
                let mut known: Vec<&str> = queues.keys().map(String::as_str).collect();
                known.sort_unstable();
                let text = format!(
                    "there is no topic of this name; `topics` in the module file names: {}",
                    known.join(", ")
                );
                let (status, code) = (StatusCode::METHOD_NOT_ALLOWED, "topic.unknown");
                return Err(refuse(status, code, &text));
            }
            Some(queue) => queue.pop_front(),
        };
        let Some((settler, payload)) = popped else {
            let text = "the topic has no record now";
            return Err(refuse(StatusCode::NOT_FOUND, "topic.empty", text));
        };
        drop(queues);
        settler.settle();
        self.popped.notify_one();
        let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
        Ok(respond::with_type(StatusCode::OK, content_type, payload))
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<String, VecDeque<(Settler, Bytes)>>> {
        // The table is consistent after every statement.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Topic and payload of a record, or why it has none.
fn read(record: &EgressRecord) -> Result<(String, Bytes), String> {
    if record.value_type_name != EGRESS_RECORD {
        return Err(format!("of type {}", record.value_type_name));
    }
    let json: serde_json::Value =
        serde_json::from_slice(&record.value).map_err(|failure| failure.to_string())?;
    let topic = json.get("topic").and_then(serde_json::Value::as_str);
    let payload = json.get("payload").and_then(serde_json::Value::as_str);
    match (topic, payload) {
        (Some(topic), Some(payload)) => {
            Ok((topic.to_owned(), Bytes::copy_from_slice(payload.as_bytes())))
        }
        _ => Err("without `topic` and `payload`".to_owned()),
    }
}
