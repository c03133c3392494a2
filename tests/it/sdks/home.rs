//! The binary over function servers, both of which can be killed, and what left it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderValue;
use serde_json::{Value, json};
use stateful_functions::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest};
use tempfile::TempDir;
use tokio::runtime::Runtime as Executor;

use crate::support::process::Process;
use crate::support::sdk_servers::SdkServer;
use crate::support::until::until;

/// Where records go: each egress to a file.
const EGRESSES: [&str; 3] = ["records", "kafka", "kinesis"];

/// A module in a folder, a runtime that runs it, and the servers of its functions.
pub(super) struct Home {
    executor: Executor,
    client: HttpClient,
    folder: TempDir,
    pub(super) servers: Vec<SdkServer>,
    runtime: Process,
}

/// A record that left the runtime.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) type_name: String,
    /// JSON as it is, of any other type the base64 text.
    pub(super) value: Value,
}

impl Home {
    /// The servers that `start` makes of a folder for marks, each with the function types that it serves.
    pub(super) fn start(start: impl FnOnce(&Path) -> Vec<(&'static str, SdkServer)>) -> Self {
        let executor = Executor::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (patterns, servers): (Vec<_>, Vec<_>) = start(folder.path()).into_iter().unzip();
        let endpoints = patterns
            .iter()
            .zip(&servers)
            .flat_map(|(patterns, server)| {
                let endpoint = |pattern| endpoint(pattern, &server.url());
                patterns.split(' ').map(endpoint)
            });
        let egresses = EGRESSES.map(|name| egress(name, folder.path()));
        let documents = endpoints.chain(egresses).collect::<Vec<_>>().concat();
        let ingress = "kind: statefun.http.v1/ingress\nspec: {listen: '127.0.0.1:0'}\n";
        let module = folder.path().join("module.yaml");
        fs::write(&module, format!("{ingress}{documents}")).unwrap();
        let runtime = Process::run(&module, &folder.path().join("data"));
        let client = {
            let _within = executor.enter();
            HttpClient::new(HttpClientConfig::default()).unwrap()
        };
        Self {
            executor,
            client,
            folder,
            servers,
            runtime,
        }
    }

    /// SIGKILL to the runtime, and another one over its folder.
    pub(super) fn crash_runtime(&mut self) {
        self.runtime.kill();
        self.runtime = Process::run(&self.path("module.yaml"), &self.path("data"));
    }

    /// Gives an address a program; returns when it is accepted.
    pub(super) fn feed(&self, address: &str, program: &Value) {
        let url = format!("{}/send/{address}", self.runtime.url("http ingress"));
        let mut request = HttpRequest::post(url.parse().unwrap(), program.to_string());
        let type_name = HeaderValue::from_static("workload/program");
        request.headers.insert("statefun-type", type_name);
        let (status, body) = self.ask(request);
        assert_eq!(status, 202, "{body}");
    }

    /// Waits until nothing waits, nothing is in flight and no timer is armed; servers that end are started again.
    pub(super) fn rest(&mut self) {
        let url = format!("{}/api/queues", self.runtime.url("admin api"));
        let rested = |queues: &Value| {
            let none = |count: &Value| *count == json!(0);
            let totals = &queues["totals"];
            let outboxes = queues["egresses"].as_array().unwrap();
            none(&totals["backlog"])
                && none(&totals["calls"])
                && none(&totals["timers"])
                && outboxes.iter().all(|outbox| none(&outbox["outbox"]))
        };
        let Self {
            servers,
            client,
            executor,
            ..
        } = self;
        executor.block_on(until("rest", async || {
            servers.iter_mut().for_each(|server| {
                server.revive();
            });
            let request = HttpRequest::new(http::Method::GET, url.parse().unwrap());
            let response = client.send(request, Duration::from_secs(60)).await.unwrap();
            let queues: Value = serde_json::from_slice(&response.body).unwrap();
            rested(&queues).then_some(())
        }));
    }

    /// What left over `egress`, in order: once each, though a crash may have written some twice.
    pub(super) fn left_over(&self, egress: &str) -> Vec<Record> {
        let text = fs::read_to_string(self.path(egress)).unwrap_or_default();
        let mut seen = BTreeMap::new();
        let mut records = Vec::new();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let record = Record {
                type_name: line["type"].as_str().unwrap().to_owned(),
                value: line.get("value").unwrap_or(&line["base64"]).clone(),
            };
            let id = line["id"].as_str().unwrap().to_owned();
            if let Some(first) = seen.insert(id, record.clone()) {
                assert_eq!(first, record, "two records of one id");
            } else {
                records.push(record);
            }
        }
        records
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ask(&self, request: HttpRequest) -> (u16, String) {
        let answer = self.client.send(request, Duration::from_secs(60));
        let response = self.executor.block_on(answer).unwrap();
        let body = String::from_utf8_lossy(&response.body).into_owned();
        (response.status.as_u16(), body)
    }
}

fn endpoint(pattern: &str, url: &str) -> String {
    format!(
        "---\nkind: io.statefun.endpoints.v2/http\nspec: {{functions: {pattern}, urlPathTemplate: '{url}'}}\n"
    )
}

fn egress(name: &str, folder: &Path) -> String {
    let path = folder.join(name);
    let path = path.display();
    format!("---\nkind: statefun.file.v1/egress\nspec: {{id: workload/{name}, path: '{path}'}}\n")
}
