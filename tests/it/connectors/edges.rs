//! The conformance suites on the connectors of this crate.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderValue, Method, StatusCode};
use stateful_functions::runtime::{Runtime, RuntimeBuilder};
use stateful_functions::testing::conformance::sink::SinkRig;
use stateful_functions::testing::conformance::source::SourceRig;
use stateful_functions::testing::conformance::{Guarantee, LedgerEntry, sink, source};
use stateful_functions::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest};
use stateful_functions::{EgressMessage, EgressMessageBuilder, TypeName};

use super::with;
use crate::support::seeds::for_each_seed;

fn url(runtime: &Runtime, listener: &str, path: &str) -> http::Uri {
    let mut all = runtime.listeners().iter();
    let found = all.find(|found| found.name == listener).unwrap();
    format!("http://{}{path}", found.address).parse().unwrap()
}

/// A new client each time: connections do not outlive a runtime.
async fn ask(request: HttpRequest) -> Option<http::Response<bytes::Bytes>> {
    let client = HttpClient::new(HttpClientConfig::default()).unwrap();
    let answer = client.send(request, Duration::from_secs(5)).await.ok()?;
    let mut response = http::Response::new(answer.body);
    *response.status_mut() = answer.status;
    Some(response)
}

/// `statefun.http.v1/ingress`, with an idempotency key for each record.
struct HttpIngress;

#[async_trait]
impl SourceRig for HttpIngress {
    fn bind(&self, builder: RuntimeBuilder) -> RuntimeBuilder {
        let module = "kind: statefun.http.v1/ingress\nspec: {listen: '127.0.0.1:0'}\n";
        with(builder, module)
    }

    async fn feed(&self, runtime: &Runtime, record: &LedgerEntry) -> bool {
        let path = format!("/send/conformance/ledger/{}", record.id);
        let url = url(runtime, "http ingress", &path);
        let mut request = HttpRequest::post(url, record.text.clone());
        let key = HeaderValue::from_str(&record.text).unwrap();
        request.headers.insert("idempotency-key", key);
        ask(request)
            .await
            .is_some_and(|answer| answer.status() == StatusCode::ACCEPTED)
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }
}

/// `io.statefun.playground.v1/ingress`.
struct PlaygroundIngress;

#[async_trait]
impl SourceRig for PlaygroundIngress {
    fn bind(&self, builder: RuntimeBuilder) -> RuntimeBuilder {
        let module = "kind: io.statefun.playground.v1/ingress\nspec: {port: 0}\n";
        with(builder, module)
    }

    async fn feed(&self, runtime: &Runtime, record: &LedgerEntry) -> bool {
        use prost::Message as _;
        let path = format!("/conformance/ledger/{}", record.id);
        let url = url(runtime, "playground ingress", &path);
        let value = stateful_functions::protocol::types::StringWrapper {
            value: record.text.clone(),
        };
        let request = HttpRequest::post(url, value.encode_to_vec());
        ask(request)
            .await
            .is_some_and(|answer| answer.status() == StatusCode::OK)
    }

    /// Who was not answered asks again.
    fn guarantee(&self) -> Guarantee {
        Guarantee::AtLeastOnce
    }
}

#[test]
fn the_http_ingress_is_a_source() {
    for_each_seed(4, |seed| source::run(&HttpIngress, seed));
}

#[test]
fn the_playground_ingress_is_a_source() {
    for_each_seed(4, |seed| source::run(&PlaygroundIngress, seed));
}

/// `statefun.file.v1/egress`.
struct FileEgress(PathBuf);

#[async_trait]
impl SinkRig for FileEgress {
    fn bind(&self, builder: RuntimeBuilder) -> RuntimeBuilder {
        let path = self.0.display();
        let module = format!(
            "kind: statefun.file.v1/egress\nspec: {{id: conformance/out, path: '{path}'}}\n"
        );
        with(builder, &module)
    }

    async fn arrived(&self, _runtime: &Runtime) -> Vec<String> {
        let lines = std::fs::read_to_string(&self.0).unwrap_or_default();
        let whole = lines.rfind('\n').map_or("", |end| &lines[..end]);
        let text = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["value"].as_str().unwrap().to_owned()
        };
        whole.lines().map(text).collect()
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }
}

#[test]
fn the_file_egress_is_a_sink() {
    for_each_seed(6, |seed| {
        let folder = tempfile::tempdir().unwrap();
        sink::run(&FileEgress(folder.path().join("out.jsonl")), seed);
    });
}

/// `io.statefun.playground.v1/egress`: who fetches has a record, and may get it once more after a crash.
#[derive(Default)]
struct PlaygroundEgress(Mutex<Vec<String>>);

#[async_trait]
impl SinkRig for PlaygroundEgress {
    fn bind(&self, builder: RuntimeBuilder) -> RuntimeBuilder {
        let module = "kind: io.statefun.playground.v1/egress\nspec: {port: 0, topics: [records]}\n";
        with(builder, module)
    }

    fn record(&self) -> fn(&str) -> EgressMessage {
        |text| {
            let egress = TypeName::new("io.statefun.playground/egress");
            let record = serde_json::json!({"topic": "records", "payload": text}).to_string();
            let kind = "io.statefun.playground/EgressRecord";
            EgressMessageBuilder::to(egress).raw(kind, record.as_bytes())
        }
    }

    async fn arrived(&self, runtime: &Runtime) -> Vec<String> {
        let request = HttpRequest::new(Method::GET, url(runtime, "playground egress", "/records"));
        let answer = ask(request).await;
        let mut fetched = self.0.lock().unwrap();
        if let Some(answer) = answer.filter(|answer| answer.status() == StatusCode::OK) {
            fetched.push(String::from_utf8(answer.body().to_vec()).unwrap());
        }
        fetched.clone()
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::AtLeastOnce
    }
}

#[test]
fn the_playground_egress_is_a_sink() {
    for_each_seed(4, |seed| sink::run(&PlaygroundEgress::default(), seed));
}
