//! Calls of remote functions, against servers with every kind of behaviour.

mod attempts;
mod bodies;
mod connections;
mod mutual_tls;
mod numbers;
mod stopping;
mod unix_sockets;
mod upstream;

use http::Method;
use serde_json::Value;
use stateful_functions::module::{Module, ModuleFile, Placeholders};
use stateful_functions::runtime::{Runtime, RuntimeConfig};

use crate::runtime::{Started, admin, text};
use crate::support::canned::{Answer, ok};
use crate::support::until::until;

pub(crate) const ASYNC: &str = "type: io.statefun.transports.v1/async";
pub(crate) const OKHTTP: &str = "type: io.statefun.transports.v1/okhttp";

/// A result without effects.
const NO_EFFECTS: &[u8] = &[0xA2, 0x06, 0x00];

/// A good answer.
pub(crate) fn fine() -> Answer {
    ok("content-type: application/octet-stream\r\n", NO_EFFECTS)
}

/// An answer of this status, without a body.
fn status(line: &str) -> Answer {
    Answer::Bytes(format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n").into_bytes())
}

/// A document that binds `example/*` to a URL; `transport` is what stands in its braces.
pub(crate) fn functions_at(url: &str, transport: &str) -> String {
    format!(
        "kind: io.statefun.endpoints.v2/http\nspec:\n  functions: example/*\n  urlPathTemplate: {url}\n  transport: {{{transport}}}\n"
    )
}

/// A runtime that calls `example/*` somewhere, and parks an address at its first failure.
struct Caller {
    started: Started,
}

impl Caller {
    async fn new(url: &str, transport: &str) -> Self {
        Self::with(Runtime::builder(), url, transport).await
    }

    async fn with(
        builder: stateful_functions::runtime::RuntimeBuilder,
        url: &str,
        transport: &str,
    ) -> Self {
        let mut config = RuntimeConfig::default();
        config.failure.attempts = Some(1.try_into().unwrap());
        // What is compared with the real runtime here are its words.
        config.failure.statefun_words = true;
        let ingress = "kind: statefun.http.v1/ingress\nspec: {listen: '127.0.0.1:0'}\n---\n";
        let module = format!("{ingress}{}", functions_at(url, transport));
        let builder = builder.config(config).admin(admin());
        let started = Started::with(builder, &module).await;
        Self { started }
    }

    /// A message for `example/f` at this id.
    async fn send(&self, id: &str) {
        let path = format!("/send/example/f/{id}");
        let answer = self.started.post(&path, &[], "hi").await;
        assert_eq!(answer.status, 202, "{}", text(&answer));
    }

    async fn get(&self, path: &str) -> String {
        let get = self
            .started
            .request(Method::GET, "admin api", path, &[], "");
        text(&get.await).to_owned()
    }

    /// The sum over all labels of a metric.
    async fn metric(&self, name: &str) -> u64 {
        let metrics = self.get("/metrics").await;
        let samples = metrics.lines().filter_map(|line| line.strip_prefix(name));
        let values = samples.filter(|rest| rest.starts_with(['{', ' ']));
        let values = values.map(|rest| rest.rsplit(' ').next().unwrap());
        values
            .map(|value| value.parse::<f64>().unwrap() as u64)
            .sum()
    }

    /// Attempts that are counted as failed.
    async fn failed_attempts(&self) -> u64 {
        self.metric("statefun_functions_remoteInvocationFailures_total")
            .await
    }

    /// Waits until this many batches have succeeded; none may fail.
    async fn succeeds(&self, batches: u64) {
        until("a good answer", async || {
            assert_eq!(self.metric("statefun_functions_failures_total").await, 0);
            let answered = self.metric("statefun_functions_invocations_total").await;
            (answered == batches).then_some(())
        })
        .await;
    }

    /// Waits until the call has failed for good, and tells why.
    async fn failure(&self) -> String {
        until("a failure", async || {
            let queues: Value = serde_json::from_str(&self.get("/api/queues").await).unwrap();
            let parked = queues["addresses"].as_array().unwrap().iter();
            let mut parked = parked.filter(|address| address["activity"] == "parked");
            let failure = parked.next()?["last_failure"].as_str().unwrap().to_owned();
            let prefix = "Failure forwarding a message to a remote function Address(example, f, ";
            assert!(failure.starts_with(prefix), "{failure}");
            let (_, cause) = failure.split_once("): ").unwrap();
            Some(cause.to_owned())
        })
        .await
    }
}

/// What the loader says of an endpoint.
fn warnings(url: &str, transport: &str) -> Vec<String> {
    let text = functions_at(url, transport);
    let file = ModuleFile {
        name: "module.yaml",
        text: &text,
    };
    let module = Module::parse(&[file], &Placeholders::Literal).unwrap();
    module.warnings.iter().map(ToString::to_string).collect()
}
