//! Standard input as a source.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use stateful_functions::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest};

use crate::support::process::Process;
use crate::support::until::until;

const MODULE: &str = "kind: statefun.samples.v1/functions
spec: {}
---
kind: statefun.http.v1/ingress
spec: {listen: '127.0.0.1:0'}
---
kind: statefun.file.v1/ingress
spec: {id: test/in, path: '-'}
";

fn module(folder: &Path) -> PathBuf {
    let path = folder.join("module.yaml");
    fs::write(&path, MODULE).unwrap();
    path
}

/// Waits until the counter `a` has this total.
async fn total(process: &Process, expected: &str) {
    let client = HttpClient::new(HttpClientConfig::default()).unwrap();
    let url = process.url("http ingress") + "/call/statefun.samples/counter/a";
    until(&format!("a total of {expected}"), async || {
        let mut request = HttpRequest::post(url.parse().unwrap(), "0");
        let text = http::HeaderValue::from_static("text/plain");
        request.headers.insert("content-type", text);
        let answer = client
            .send(request, std::time::Duration::from_secs(20))
            .await
            .unwrap();
        (answer.body == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn standard_input_is_read_to_its_end_and_the_runtime_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let lines = folder.path().join("lines");
    let line =
        |value: u32| format!("{{\"target\":\"statefun.samples/counter/a\",\"value\":{value}}}");
    fs::write(&lines, format!("{}\n{}", line(40), line(2))).unwrap();
    let mut command = Process::command(&module(folder.path()), &folder.path().join("data"));
    command.stdin(File::open(&lines).unwrap());
    let mut process = Process::of(command);
    total(&process, "42").await;
    assert_eq!(process.terminate(), Some(0));
}

#[tokio::test]
async fn a_standard_input_that_stays_open_does_not_keep_the_process_alive() {
    let folder = tempfile::tempdir().unwrap();
    let (input, mut lines) = std::io::pipe().unwrap();
    let mut command = Process::command(&module(folder.path()), &folder.path().join("data"));
    command.stdin(input);
    let mut process = Process::of(command);
    let line = b"{\"target\":\"statefun.samples/counter/a\",\"value\":\"7\"}\n";
    std::io::Write::write_all(&mut lines, line).unwrap();
    total(&process, "7").await;
    assert_eq!(process.terminate(), Some(0));
}
