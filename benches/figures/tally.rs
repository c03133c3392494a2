//! The function server of the section `sources`: a counter for each address. It measures what arrives, whoever calls.
//!
//! Requests with GET control it: `/begin` and `/begin/<topic>` start from zero, and with a topic each message is answered by a record for it;
//! `/mark` forgets latencies; `/` returns the measurements as JSON.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use stateful_functions::transport::http::HandlerService;
use stateful_functions::{
    BoxError, Context, FunctionSpec, KafkaEgressMessage, Message, StatefulFunction,
    StatefulFunctions, Type, TypeName, ValueSpec, types,
};
use tokio::net::TcpListener;

pub(crate) const TALLY: TypeName = TypeName::new("bench/tally");
pub(crate) const OUT: TypeName = TypeName::new("bench/out");
/// The type of the messages: the time at which one was sent, in microseconds of the Unix epoch and big endian, and a filler.
#[cfg(feature = "kafka")]
pub(crate) const STAMPED: &str = "bench/stamped";
/// The records: the time from the message, and the count of its address.
const COUNTED: Type<Bytes> = types::bytes("bench/counted");
const SEEN: ValueSpec<i64> = ValueSpec::new("seen", types::LONG);

/// Microseconds of the Unix epoch.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_micros() as u64)
}

/// The time in the front of `value`.
pub(crate) fn stamp(value: &[u8]) -> Option<u64> {
    value.first_chunk().map(|time| u64::from_be_bytes(*time))
}

#[derive(Default)]
struct Meter {
    requests: AtomicU64,
    messages: AtomicU64,
    /// The age of messages when they arrived.
    micros: Mutex<Vec<u32>>,
    topic: Mutex<Option<String>>,
}

struct Tally(Arc<Meter>);

impl StatefulFunction for Tally {
    async fn invoke(&self, context: &mut Context, message: Message) -> Result<(), BoxError> {
        let value = message.raw_value().ok_or("a message without a value")?;
        let sent = stamp(&value).ok_or("a message without a time")?;
        let seen = context.storage().get(&SEEN)?.unwrap_or(0) + 1;
        context.storage().set(&SEEN, seen)?;
        self.0.note(now().saturating_sub(sent));
        let topic = locked(&self.0.topic).clone();
        if let Some(topic) = topic {
            let mut record = BytesMut::with_capacity(16);
            record.put_u64(sent);
            record.put_i64(seen);
            let to = KafkaEgressMessage::to(OUT)
                .topic(topic)
                .key(context.address().id());
            context.send_egress(to.value_as(&COUNTED, record.freeze())?);
        }
        Ok(())
    }
}

/// Serves on `listener` until this process ends.
pub(crate) async fn serve(listener: TcpListener) -> Result<()> {
    let meter = Arc::new(Meter::default());
    let function = FunctionSpec::new(TALLY, Tally(Arc::clone(&meter))).value(SEEN);
    let handler = HandlerService::from(StatefulFunctions::new().with(function)?);
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let (meter, handler) = (Arc::clone(&meter), handler.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let (meter, handler) = (Arc::clone(&meter), handler.clone());
            async move {
                if request.method() == Method::GET {
                    let answer = meter.control(request.uri().path());
                    return Ok(Response::new(Either::Left(Full::new(answer))));
                }
                meter.requests.fetch_add(1, Ordering::Relaxed);
                let answered = handler.call(request).await;
                answered.map(|answer| answer.map(Either::Right))
            }
        });
        tokio::spawn(async move {
            // Callers close their connections when they are done.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}

impl Meter {
    fn note(&self, micros: u64) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        locked(&self.micros).push(micros.try_into().unwrap_or(u32::MAX));
    }

    fn control(&self, path: &str) -> Bytes {
        match path.split_once("/begin") {
            Some((_, topic)) => {
                let topic = topic.strip_prefix('/').map(str::to_owned);
                *locked(&self.topic) = topic;
                self.requests.store(0, Ordering::Relaxed);
                self.messages.store(0, Ordering::Relaxed);
                locked(&self.micros).clear();
            }
            None if path == "/mark" => locked(&self.micros).clear(),
            None => {}
        }
        // They are copied because a waiting caller is part of what is measured.
        let mut micros = match path {
            "/latencies" => locked(&self.micros).clone(),
            _ => Vec::new(),
        };
        micros.sort_unstable();
        let quantile = |share: f64| {
            let last = micros.len().saturating_sub(1) as f64;
            micros.get((last * share) as usize).copied()
        };
        let answer = json!({
            "requests": self.requests.load(Ordering::Relaxed),
            "messages": self.messages.load(Ordering::Relaxed),
            "p50": quantile(0.5),
            "p99": quantile(0.99),
        });
        answer.to_string().into()
    }
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
