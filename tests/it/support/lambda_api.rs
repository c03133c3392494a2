//! The Lambda Runtime API, and the process of a function that polls it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::raw::RawMessage;

const ROOT: &str = "/2018-06-01/runtime/invocation/";

/// What the function made of an event: a response, or an error in its own words.
pub(super) type Outcome = Result<Value, Value>;

/// Invokes one function.
pub(crate) struct Lambda {
    api: Arc<Api>,
    events: mpsc::UnboundedSender<(String, Value)>,
    numbers: AtomicUsize,
    _function: Child,
}

struct Api {
    waiting: Mutex<mpsc::UnboundedReceiver<(String, Value)>>,
    outcomes: Mutex<HashMap<String, oneshot::Sender<Outcome>>>,
}

impl Lambda {
    /// Starts `function` with the environment of a Lambda function that takes `concurrency` invocations at once.
    pub(crate) async fn start(mut function: Command, concurrency: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (events, waiting) = mpsc::unbounded_channel();
        let api = Arc::new(Api {
            waiting: Mutex::new(waiting),
            outcomes: Mutex::default(),
        });
        let serving = api.clone();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let api = serving.clone();
                tokio::spawn(async move { api.converse(socket).await });
            }
        });
        Self {
            api,
            events,
            numbers: AtomicUsize::new(0),
            _function: function
                .envs(environment(address, concurrency))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .unwrap(),
        }
    }

    pub(crate) async fn invoke(&self, event: &Value) -> Outcome {
        let id = format!("request-{}", self.numbers.fetch_add(1, Ordering::Relaxed));
        let (sender, outcome) = oneshot::channel();
        self.api.outcomes.lock().await.insert(id.clone(), sender);
        self.events.send((id, event.clone())).unwrap();
        outcome.await.unwrap()
    }
}

/// A recorded event.
pub(crate) fn event(name: &str) -> Value {
    let path = format!(
        "{}/tests/data/lambda/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// `event`, with the bytes of another request.
pub(crate) fn with_body(mut event: Value, body: &[u8]) -> Value {
    event["body"] = STANDARD.encode(body).into();
    event["isBase64Encoded"] = true.into();
    event
}

/// The bytes of a reply in base64.
pub(crate) fn decoded(response: &Value) -> Vec<u8> {
    assert_eq!(response["isBase64Encoded"], true, "{response}");
    STANDARD.decode(response["body"].as_str().unwrap()).unwrap()
}

fn environment(api: SocketAddr, concurrency: usize) -> [(&'static str, String); 5] {
    [
        ("AWS_LAMBDA_RUNTIME_API", api.to_string()),
        ("AWS_LAMBDA_FUNCTION_NAME", "functions".to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128".to_owned()),
        ("AWS_LAMBDA_MAX_CONCURRENCY", concurrency.to_string()),
    ]
}

impl Api {
    /// Head and body go out in one write: a small second one would wait for the acknowledgement of the first.
    async fn converse(&self, mut socket: TcpStream) {
        while let Some(request) = RawMessage::read(&mut socket).await {
            let target = request.head.split(' ').nth(1).unwrap().to_owned();
            let answer = match target.strip_prefix(ROOT).unwrap().split_once('/') {
                None => {
                    let (id, event) = self.waiting.lock().await.recv().await.unwrap();
                    let event = event.to_string();
                    format!(
                        "HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id: {id}\r\nlambda-runtime-deadline-ms: 4102444800000\r\n\
                         lambda-runtime-invoked-function-arn: arn:aws:lambda:eu-central-1:123456789012:function:functions\r\n\
                         content-type: application/json\r\ncontent-length: {}\r\n\r\n{event}",
                        event.len()
                    )
                }
                Some((id, kind)) => {
                    let outcome = serde_json::from_slice(&request.body).unwrap();
                    let sender = self.outcomes.lock().await.remove(id).unwrap();
                    let outcome = if kind == "response" {
                        Ok(outcome)
                    } else {
                        Err(outcome)
                    };
                    sender.send(outcome).unwrap();
                    "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n".to_owned()
                }
            };
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    }
}
