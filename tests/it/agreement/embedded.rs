//! The `statefun` binary with a module, fed over its HTTP ingress.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use stateful_functions::transport::http::client::{
    HttpClient, HttpClientConfig, HttpRequest, HttpResponse,
};
use tempfile::TempDir;

use crate::support::process::Process;

const PATIENCE: Duration = Duration::from_secs(60);

/// A module and a data folder; what runs there is a [`Process`] of its own.
pub(super) struct Embedded {
    folder: TempDir,
    client: HttpClient,
    flags: Vec<String>,
}

impl Embedded {
    /// What `module` says, an HTTP ingress, and an egress `agree/out` to a file.
    pub(super) fn new(module: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let edges = format!(
            "kind: statefun.http.v1/ingress
spec: {{listen: '127.0.0.1:0'}}
---
kind: statefun.file.v1/egress
spec: {{id: agree/out, path: '{}'}}
---
",
            folder.path().join("out.jsonl").display()
        );
        std::fs::write(folder.path().join("module.yaml"), edges + module).unwrap();
        Self {
            folder,
            client: HttpClient::new(HttpClientConfig::default()).unwrap(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the module over the data folder.
    pub(super) fn start(&self) -> Process {
        let mut command = Process::command(&self.path("module.yaml"), &self.path("data"));
        command.args(&self.flags).stderr(Stdio::piped());
        Process::of(command)
    }

    /// A message, accepted when this returns.
    pub(super) async fn feed(
        &self,
        process: &Process,
        address: &str,
        typename: &str,
        value: &[u8],
    ) {
        let answer = self.post(process, address, typename, value).await;
        assert_eq!(answer.status, 202, "{:?}", answer.body);
    }

    /// A message, and the answer to its sender.
    pub(super) async fn post(
        &self,
        process: &Process,
        address: &str,
        typename: &str,
        value: &[u8],
    ) -> HttpResponse {
        let url = format!("{}/send/{address}", process.url("http ingress"));
        let body = Bytes::copy_from_slice(value);
        let mut request = HttpRequest::post(url.parse().unwrap(), body);
        let typename = HeaderValue::from_str(typename).unwrap();
        request.headers.insert("statefun-type", typename);
        self.client.send(request, PATIENCE).await.unwrap()
    }

    /// The exit code of a process that ends by itself, and what it wrote to the error stream.
    pub(super) async fn ended(mut process: Process) -> (Option<i32>, String) {
        let ended = tokio::task::spawn_blocking(move || {
            let told = process.told();
            (process.wait(), told)
        });
        ended.await.unwrap()
    }
}
