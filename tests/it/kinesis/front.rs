//! A front of the server that makes it fail: it is away, throttles, refuses single records, answers with errors; over plain TCP or TLS.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use stateful_functions::random::Random;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::server::Server;
use crate::support::raw::RawMessage;
use crate::support::tls::DATA;

#[derive(Clone)]
pub(super) struct Front {
    pub(super) address: SocketAddr,
    server: SocketAddr,
    faults: Arc<Mutex<Faults>>,
}

pub(super) struct Faults {
    /// Connections are closed at once.
    pub(super) is_away: bool,
    /// Calls are never answered.
    pub(super) is_silent: bool,
    /// Calls that name this stream are never answered.
    pub(super) silent: Option<String>,
    /// Nothing may be written to this stream.
    pub(super) denied: Option<String>,
    /// Records of a `PutRecords` with this key are refused.
    pub(super) refused_key: Option<String>,
    /// Calls that were made while it was away or silent.
    pub(super) unanswered: u64,
    /// Percent of all calls that are throttled.
    pub(super) throttled: u64,
    /// Percent of the records of a `PutRecords` that are refused.
    pub(super) refused: u64,
    /// What the next calls with a name get, each a status and a body.
    pub(super) answers: BTreeMap<&'static str, VecDeque<(u16, Value)>>,
    /// How many calls there were, by name.
    pub(super) calls: BTreeMap<String, u64>,
    /// The access key ids that were used.
    pub(super) keys: Vec<String>,
    random: Random,
}

impl Front {
    pub(super) async fn start(server: &Server) -> Self {
        Self::start_with(server, None).await
    }

    /// With the certificate of the tests for `localhost`.
    pub(super) async fn start_with_tls(server: &Server) -> Self {
        let read = |file: &str| std::fs::read(Path::new(DATA).join(file)).unwrap();
        let certificate = CertificateDer::from_pem_slice(&read("server.crt")).unwrap();
        let key = PrivateKeyDer::from_pem_slice(&read("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Self::start_with(server, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start_with(server: &Server, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = Self {
            address: listener.local_addr().unwrap(),
            server: server.address,
            faults: Arc::new(Mutex::new(Faults {
                is_away: false,
                is_silent: false,
                silent: None,
                denied: None,
                refused_key: None,
                unanswered: 0,
                throttled: 0,
                refused: 0,
                answers: BTreeMap::new(),
                calls: BTreeMap::new(),
                keys: Vec::new(),
                random: Random::seeded(7),
            })),
        };
        let running = front.clone();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                socket.set_nodelay(true).unwrap();
                let (front, tls) = (running.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => front.converse(socket).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(socket).await {
                                front.converse(stream).await;
                            }
                        }
                    }
                });
            }
        });
        front
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap()
    }

    /// How many calls with this name there were.
    pub(super) fn count(&self, call: &str) -> u64 {
        self.faults().calls.get(call).copied().unwrap_or_default()
    }

    async fn converse(self, mut socket: impl AsyncRead + AsyncWrite + Unpin) {
        while let Some(mut request) = RawMessage::read(&mut socket).await {
            let target = request.header("x-amz-target").unwrap_or_default();
            let name = target.rsplit('.').next().unwrap().to_owned();
            let Some(plan) = self.plan(&name, &mut request) else {
                return;
            };
            let answer = match plan {
                Plan::Silence => std::future::pending().await,
                Plan::Answer(status, body) => answer(status, "", body.to_string().as_bytes()),
                Plan::Pass(refused) => {
                    let passed = [request.head.as_bytes(), b"\r\n", &request.body].concat();
                    let mut server = TcpStream::connect(self.server).await.unwrap();
                    server.write_all(&passed).await.unwrap();
                    let Some(passed) = RawMessage::read(&mut server).await else {
                        return;
                    };
                    let date = passed.header("date").unwrap_or_default().to_owned();
                    let status = passed.status();
                    answer(status, &date, &restored(passed.body, refused))
                }
            };
            if self.faults().is_away || socket.write_all(&answer).await.is_err() {
                return;
            }
        }
    }

    /// What is done with a request; `None`: the connection ends.
    fn plan(&self, name: &str, request: &mut RawMessage) -> Option<Plan> {
        let mut faults = self.faults();
        if faults.is_away {
            faults.unanswered += 1;
            return None;
        }
        let text = String::from_utf8_lossy(&request.body).into_owned();
        let names = |stream: &Option<String>| {
            let stream = stream.as_ref();
            stream.is_some_and(|stream| text.contains(&format!("\"StreamName\":\"{stream}\"")))
        };
        if faults.is_silent || names(&faults.silent) {
            faults.unanswered += 1;
            return Some(Plan::Silence);
        }
        *faults.calls.entry(name.to_owned()).or_default() += 1;
        let credential = request.header("authorization").unwrap_or_default();
        let key = credential.split("Credential=").nth(1).unwrap_or_default();
        let key = key.split('/').next().unwrap_or_default().to_owned();
        if !faults.keys.contains(&key) {
            faults.keys.push(key);
        }
        if let Some((status, body)) = faults.answers.get_mut(name).and_then(VecDeque::pop_front) {
            return Some(Plan::Answer(status, body));
        }
        if name == "PutRecords" && names(&faults.denied) {
            let denied = "User is not authorized to perform: kinesis:PutRecords";
            let (status, body) = error("AccessDeniedException", denied);
            return Some(Plan::Answer(status, body));
        }
        let percent = faults.throttled;
        if faults.random.chance(percent) {
            return Some(Plan::Answer(400, throttled()));
        }
        let percent = faults.refused;
        let refused_key = faults.refused_key.clone();
        if name != "PutRecords" || (percent == 0 && refused_key.is_none()) {
            return Some(Plan::Pass(Vec::new()));
        }
        let mut body: Value = serde_json::from_slice(&request.body).unwrap();
        let records = std::mem::take(body["Records"].as_array_mut().unwrap());
        let refused: Vec<bool> = records
            .iter()
            .map(|record| {
                let is_named = |key: &String| record["PartitionKey"] == key.as_str();
                refused_key.as_ref().is_some_and(is_named) || faults.random.chance(percent)
            })
            .collect();
        let kept = records
            .into_iter()
            .zip(&refused)
            .filter(|(_, refused)| !**refused);
        let kept: Vec<Value> = kept.map(|(record, _)| record).collect();
        if kept.is_empty() {
            let results: Vec<Value> = refused.iter().map(|_| refusal()).collect();
            let body = json!({"FailedRecordCount": results.len(), "Records": results});
            return Some(Plan::Answer(200, body));
        }
        body["Records"] = kept.into();
        request.body = body.to_string().into_bytes();
        let lines = request.head.lines();
        let lines = lines.filter(|line| !line.to_ascii_lowercase().starts_with("content-length"));
        let mut head = lines.collect::<Vec<_>>().join("\r\n");
        head.push_str(&format!("\r\ncontent-length: {}\r\n", request.body.len()));
        request.head = head;
        Some(Plan::Pass(refused))
    }
}

enum Plan {
    Silence,
    Answer(u16, Value),
    /// To the server, with the results of these records put in afterwards.
    Pass(Vec<bool>),
}

pub(super) fn error(kind: &str, message: &str) -> (u16, Value) {
    (400, json!({"__type": kind, "message": message}))
}

fn throttled() -> Value {
    error(
        "ProvisionedThroughputExceededException",
        "Rate exceeded for shard",
    )
    .1
}

fn refusal() -> Value {
    json!({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded for shard"})
}

/// The results of all records, also of those that the server did not see.
fn restored(body: Vec<u8>, refused: Vec<bool>) -> Vec<u8> {
    if refused.is_empty() {
        return body;
    }
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    let Some(stored) = body["Records"].as_array().cloned() else {
        return body.to_string().into_bytes();
    };
    let mut stored = stored.into_iter();
    let results = refused.iter().map(|refused| match refused {
        true => refusal(),
        false => stored.next().unwrap(),
    });
    body["Records"] = results.collect();
    body.to_string().into_bytes()
}

fn answer(status: u16, date: &str, body: &[u8]) -> Vec<u8> {
    let date = match date {
        "" => String::new(),
        date => format!("date: {date}\r\n"),
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status} Told\r\n{date}content-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}
