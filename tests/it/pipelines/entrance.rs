//! Messages from outside pass the first stages of a pipeline before they are stored.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::http::{HeaderValue, Method};
use serde_json::{Value, json};
use stateful_functions::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest};

use crate::support::destination::Destination;
use crate::support::process::Process;

fn module(folder: &Path, destination: &Destination, export: &str) -> PathBuf {
    let url = destination.url("/");
    let text = format!(
        "kind: statefun.http.v1/ingress\nspec: {{listen: \"127.0.0.1:0\"}}\n---\n\
         kind: statefun.pipelines.v1/pipeline\nspec: {{name: p, stages: [\
         {{filter: {{rule: {{\">\": [{{var: n}}, 1]}}}}}}, {{set: {{site: north}}}}, \
         {{http-export: {{url: \"{url}\"{export}}}}}]}}\n"
    );
    let file = folder.join("module.yaml");
    fs::write(&file, text).unwrap();
    file
}

struct Sender {
    http: HttpClient,
    ingress: String,
    admin: String,
}

impl Sender {
    fn to(runtime: &Process) -> Self {
        Self {
            http: HttpClient::new(HttpClientConfig::default()).unwrap(),
            ingress: runtime.url("http ingress"),
            admin: runtime.url("admin api"),
        }
    }

    /// Sends a record, and returns the status of the answer.
    async fn send(&self, record: &Value, key: Option<&str>) -> u16 {
        let url = format!("{}/send/pipelines/p/sender", self.ingress);
        let mut request = HttpRequest::post(url.parse().unwrap(), record.to_string());
        let json = HeaderValue::from_static("application/json");
        request.headers.insert("content-type", json);
        if let Some(key) = key {
            let key = HeaderValue::try_from(key).unwrap();
            request.headers.insert("idempotency-key", key);
        }
        let answer = self.http.send(request, Duration::from_secs(60)).await;
        answer.unwrap().status.as_u16()
    }

    /// The messages that the function of this name has received.
    async fn received_by(&self, function: &str) -> u64 {
        let url = format!("{}/metrics", self.admin).parse().unwrap();
        let request = HttpRequest::new(Method::GET, url);
        let answer = self.http.send(request, Duration::from_secs(60)).await;
        let text = String::from_utf8(answer.unwrap().body.to_vec()).unwrap();
        let name = format!("\"{function}\"");
        let is_it = |line: &&str| line.contains("functions_in_total{") && line.contains(&name);
        let line = text.lines().find(is_it);
        line.map_or(0, |line| {
            let (_, count) = line.rsplit_once(' ').unwrap();
            count.parse().unwrap()
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_stored_once_and_one_that_a_filter_stops_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let destination = Destination::start().await;
    let file = module(folder.path(), &destination, "");
    let mut runtime = Process::run(&file, &folder.path().join("data"));
    let sender = Sender::to(&runtime);
    for n in 0..4 {
        assert_eq!(sender.send(&json!({"n": n}), None).await, 202);
    }
    destination.until(|received| received.len() == 2).await;
    let mut bodies = destination.bodies();
    bodies.sort_unstable();
    let expected = [2, 3].map(|n| json!({"n": n, "site": "north"}).to_string());
    assert_eq!(bodies, expected);
    assert_eq!(sender.received_by("p").await, 0);
    assert!(sender.received_by("p.http-export").await <= 2);
    assert_eq!(runtime.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_counts_whichever_partition_its_record_belongs_to() {
    for export in ["", ", orderKey: n"] {
        let folder = tempfile::tempdir().unwrap();
        let destination = Destination::start().await;
        let file = module(folder.path(), &destination, export);
        let mut runtime = Process::run(&file, &folder.path().join("data"));
        let sender = Sender::to(&runtime);
        for n in 2..22 {
            let (record, key) = (json!({"n": n}), format!("k{n}"));
            let once = || sender.send(&record, Some(&key));
            let statuses = tokio::join!(once(), once(), once(), once());
            assert_eq!(statuses, (202, 202, 202, 202));
            assert_eq!(once().await, 202);
        }
        let other = json!({"n": 2, "other": true});
        assert_eq!(sender.send(&other, Some("k2")).await, 422);
        // A record that a filter stops has a key, too.
        assert_eq!(sender.send(&json!({"n": 0}), Some("k0")).await, 202);
        assert_eq!(sender.send(&json!({"n": 1}), Some("k0")).await, 422);
        destination.until(|received| received.len() >= 20).await;
        assert_eq!(runtime.terminate(), Some(0));
        assert_eq!(destination.received().len(), 20, "each record once");
    }
}
