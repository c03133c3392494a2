//! A data folder of an earlier version opens, and nothing in it is lost: state, timers, tokens, answers, outbox, parked
//! messages, deliveries with their order and their history, dead letters, batches.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::http::{HeaderValue, Method};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use stateful_functions::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest};
use stateful_functions::{
    BoxError, Context, FunctionSpec, Message, StatefulFunction, StatefulFunctions, TypeName, types,
};
use tempfile::TempDir;

use crate::support::destination::Destination;
use crate::support::process::Process;
use crate::support::served::served;
use crate::support::until::until;

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/folders")
        .join(name)
}

/// The folder as the earlier version left it.
pub(super) fn unpack(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("lock"), "").unwrap();
    for entry in fs::read_dir(fixture(name)).unwrap() {
        let packed = entry.unwrap().path();
        let mut bytes = Vec::new();
        GzDecoder::new(fs::File::open(&packed).unwrap())
            .read_to_end(&mut bytes)
            .unwrap();
        fs::write(data.join(packed.file_stem().unwrap()), bytes).unwrap();
    }
    folder
}

/// `test/broken`, which works by now, and keeps what it hears.
#[derive(Clone, Default)]
struct Mended(Arc<Mutex<Vec<String>>>);

impl StatefulFunction for Mended {
    async fn invoke(&self, _: &mut Context, message: Message) -> Result<(), BoxError> {
        let text = message.require(&types::STRING)?;
        self.0.lock().unwrap().push(text);
        Ok(())
    }
}

impl Mended {
    async fn serve(&self) -> String {
        let spec = FunctionSpec::new(TypeName::new("test/broken"), self.clone());
        let functions = StatefulFunctions::new().with(spec).unwrap();
        format!("http://{}/", served(functions).await)
    }
}

/// The old folder in the hands of this version.
struct Scene {
    folder: TempDir,
    destination: Destination,
    mended: Mended,
    runtime: Process,
    http: HttpClient,
}

impl Scene {
    async fn open(name: &str) -> Self {
        let folder = unpack(name);
        let (destination, mended) = (Destination::start().await, Mended::default());
        let mut command = Process::command(&fixture("module.yaml"), &folder.path().join("data"));
        let out = folder.path().join("out.jsonl");
        command.arg(fixture("file-egress.yaml"));
        for set in [
            format!("FUNCTIONS={}", mended.serve().await),
            format!("SINK={}", destination.url("")),
            format!("OUT={}", out.display()),
        ] {
            command.args(["--set", &set]);
        }
        let runtime = Process::of(command);
        let http = HttpClient::new(HttpClientConfig::default()).unwrap();
        Self {
            folder,
            destination,
            mended,
            runtime,
            http,
        }
    }

    async fn ask(&self, request: HttpRequest) -> String {
        let answer = self.http.send(request, Duration::from_secs(60)).await;
        let answer = answer.unwrap();
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(answer.status.is_success(), "{} {text}", answer.status);
        text
    }

    /// What a listed page of the admin API holds.
    async fn items(&self, path: &str) -> Vec<Value> {
        let url = format!("{}{path}", self.runtime.url("admin api"));
        let request = HttpRequest::new(Method::GET, url.parse().unwrap());
        let page: Value = serde_json::from_str(&self.ask(request).await).unwrap();
        page["items"].as_array().unwrap().clone()
    }

    async fn post(&self, path: &str, content_type: &str, body: String, key: &str) -> String {
        let url = format!("{}{path}", self.runtime.url("http ingress"));
        let mut request = HttpRequest::post(url.parse().unwrap(), body);
        let headers = &mut request.headers;
        headers.insert("content-type", HeaderValue::try_from(content_type).unwrap());
        headers.insert("idempotency-key", HeaderValue::try_from(key).unwrap());
        self.ask(request).await
    }

    async fn call(&self, address: &str, text: &str, key: &str) -> String {
        let path = format!("/call/statefun.samples/{address}");
        self.post(&path, "text/plain", text.to_owned(), key).await
    }

    async fn send(&self, pipeline: &str, number: u64) {
        let path = format!("/send/pipelines/{pipeline}/a");
        // To the byte as it was sent before: a key stands for one body.
        let body = format!("{{\"number\": {number}}}");
        let key = format!("{pipeline}-{number}");
        self.post(&path, "application/json", body, &key).await;
    }

    /// The numbers that came in at `path` of the destination, in order; those of a batch together.
    fn numbers(&self, path: &str) -> Vec<Value> {
        let line = format!("POST {path} ");
        let received = self.destination.received();
        let here = received.iter().filter(|r| r.head.starts_with(&line));
        here.map(|request| {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            match body.as_array() {
                Some(batch) => batch.iter().map(|item| item["number"].clone()).collect(),
                None => body["number"].clone(),
            }
        })
        .collect()
    }

    async fn finds_everything(&self, total: u64, free: &[u64]) {
        let of_values = self.items("/api/state?type=test/values").await;
        let named: Vec<_> = of_values
            .iter()
            .map(|item| (item["state"].as_str().unwrap(), &item["value"]))
            .collect();
        let wanted = [
            ("bool", json!(true)),
            ("bytes", Value::Null),
            ("double", json!(-2.25)),
            ("filler", Value::Null),
            ("float", json!(1.5)),
            ("int", json!(-7)),
            ("json", json!({"a": [1, 2]})),
            ("long", json!(1_i64 << 40)),
            ("string", json!("hello")),
        ];
        let wanted: Vec<_> = wanted.iter().map(|(name, value)| (*name, value)).collect();
        assert_eq!(named, wanted);
        let bytes = of_values.iter().find(|item| item["state"] == "bytes");
        assert_eq!(bytes.unwrap()["base64"], "AP/+Cg==");

        // Earlier answers are repeated; the counter continues from its value.
        assert_eq!(
            self.call("greeter/ann", "hello", "first").await,
            "Hello ann, visit 1"
        );
        assert_eq!(self.call("counter/shop", "41", "sum").await, "41");
        assert_eq!(
            self.call("counter/shop", "1", "new").await,
            (total + 1).to_string()
        );
        assert_eq!(
            self.call("greeter/ann", "hello", "new").await,
            "Hello ann, visit 3"
        );
        assert_eq!(
            self.call("reminder/far", "cancel", "new").await,
            "cancelled"
        );

        // What was sent before is known, and is not delivered twice.
        self.send("free", 10).await;
        let delivered = async || {
            let mut numbers = self.numbers("/free");
            numbers.sort_by_key(Value::as_u64);
            (numbers == free && self.numbers("/ordered") == [20, 21, 22, 23]).then_some(())
        };
        until("what waits to be delivered", delivered).await;
        self.send("packed", 32).await;
        let packed = async || (self.numbers("/packed") == [json!([30, 31, 32])]).then_some(());
        until("the batch", packed).await;

        let records = async || {
            let text = fs::read_to_string(self.folder.path().join("out.jsonl")).unwrap();
            let lines: Vec<Value> = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect();
            let mut values: Vec<_> = lines.iter().map(|line| line["value"].to_string()).collect();
            values.sort();
            (values == ["\"record 1\"", "\"record 2\""]).then_some(())
        };
        until("the records of the outbox", records).await;

        let resume = format!(
            "{}/api/queues/test/broken/one/resume",
            self.runtime.url("admin api")
        );
        self.ask(HttpRequest::post(resume.parse().unwrap(), ""))
            .await;
        let heard = async || (*self.mended.0.lock().unwrap() == ["keep me"]).then_some(());
        until("the parked message", heard).await;
    }

    /// What is left of the deliveries, once those that can be made are made: payload and state.
    async fn what_is_given_up(&self) -> Vec<(String, String)> {
        let mut left = Vec::new();
        for item in self.items("/api/deliveries?limit=1000").await {
            let text = |field: &str| item[field].as_str().unwrap_or_default().to_owned();
            left.push((text("state"), text("reason")));
        }
        left.sort();
        left
    }
}

async fn opens(name: &str, total: u64, free: &[u64]) {
    let mut scene = Scene::open(name).await;
    scene.finds_everything(total, free).await;
    let settled = async || {
        let left = scene.what_is_given_up().await;
        let names: Vec<_> = left
            .iter()
            .map(|(state, reason)| (&**state, &**reason))
            .collect();
        let wanted = [
            ("cancelled", ""),
            ("discarded", "permanent"),
            ("discarded", "permanent"),
        ];
        (names == wanted).then_some(())
    };
    until("what was given up, and nothing else", settled).await;
    let dead = scene.items("/api/dead-letters").await;
    assert_eq!(dead.len(), 2, "{dead:?}");
    assert_eq!(scene.runtime.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_an_earlier_version_stopped_well_opens_with_everything_in_it() {
    opens("stopped", 41, &[10, 11, 12, 13, 14]).await;
}

/// Of a version whose tables have checksums of rows, and none of pages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_with_sealed_rows_that_was_stopped_well_opens_with_everything_in_it() {
    opens("sealed-stopped", 41, &[10, 11, 12, 13, 14]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_with_sealed_rows_that_was_killed_opens_with_everything_in_it() {
    opens("sealed-killed", 42, &[10, 11, 12, 13, 14, 16]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_an_earlier_version_that_was_killed_opens_with_everything_in_it() {
    opens("killed", 42, &[10, 11, 12, 13, 14, 16]).await;
}
