//! Connections to the HTTP ingress of a runtime that comes and goes: each input is sent under its own key until it is accepted.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::http::{HeaderName, HeaderValue};
use stateful_functions::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::workload::program::{At, Input, PROGRAM};

/// Connections; all inputs of an address go over one of them.
const LANES: u64 = 24;
const PAUSE: Duration = Duration::from_millis(5);

pub(crate) struct Feeder {
    shared: Arc<Shared>,
    lanes: Vec<mpsc::UnboundedSender<Input>>,
    /// They end with the feeder.
    _connections: JoinSet<()>,
}

struct Shared {
    client: HttpClient,
    /// Where the ingress listens now.
    base: watch::Sender<String>,
    accepted: AtomicU64,
    fault: Mutex<Option<String>>,
}

impl Feeder {
    /// `base` is the ingress, such as `http://127.0.0.1:8090`.
    pub(crate) fn start(base: String) -> Self {
        let shared = Arc::new(Shared {
            client: HttpClient::new(HttpClientConfig::default()).unwrap(),
            base: watch::Sender::new(base),
            accepted: AtomicU64::default(),
            fault: Mutex::default(),
        });
        let mut connections = JoinSet::new();
        let lane = |_| {
            let (lane, mut inputs) = mpsc::unbounded_channel::<Input>();
            let shared = Arc::clone(&shared);
            connections.spawn(async move {
                while let Some(input) = inputs.recv().await {
                    shared.send(&input).await;
                }
            });
            lane
        };
        let lanes = (0..LANES).map(lane).collect();
        Self {
            shared,
            lanes,
            _connections: connections,
        }
    }

    pub(crate) fn feed(&self, input: &Input) {
        let mut hasher = DefaultHasher::new();
        input.to.hash(&mut hasher);
        let lane = usize::try_from(hasher.finish() % LANES).unwrap();
        self.lanes[lane].send(input.clone()).unwrap();
    }

    /// The ingress is somewhere else now.
    pub(crate) fn point_at(&self, base: String) {
        self.shared.base.send_replace(base);
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// What an ingress must not have answered.
    pub(crate) fn fault(&self) -> Option<String> {
        self.shared.fault.lock().unwrap().clone()
    }
}

impl Shared {
    /// Sends until it is accepted. An answer that is lost with the runtime may have been a good one: the key makes it one input.
    async fn send(&self, input: &Input) {
        let body = input.program.to_bytes();
        let path = path(&input.to);
        loop {
            let url = self.base.borrow().clone() + &path;
            let mut request = HttpRequest::post(url.parse().unwrap(), body.clone());
            let mut header = |name, value| {
                let name = HeaderName::from_static(name);
                request
                    .headers
                    .insert(name, HeaderValue::from_str(value).unwrap());
            };
            header("statefun-type", PROGRAM);
            header("idempotency-key", &input.program.id);
            match self.client.send(request, Duration::from_secs(20)).await {
                Ok(response) if response.status == 202 => break,
                // Full, or going down.
                Ok(response) if matches!(response.status.as_u16(), 429 | 503) => {}
                Ok(response) => {
                    let text = String::from_utf8_lossy(&response.body).into_owned();
                    let fault = format!("{} to {path}: {text}", response.status);
                    self.fault.lock().unwrap().get_or_insert(fault);
                    return;
                }
                Err(_) => {}
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }
}

/// The path of an address, its id percent-encoded.
fn path(to: &At) -> String {
    let id = to.0.id().bytes().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    });
    format!("/send/{}/{}", to.0.type_name(), id.collect::<String>())
}
