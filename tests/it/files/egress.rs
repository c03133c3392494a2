//! Files that records are appended to, and their rotation.

use std::fs;
use std::path::Path;

use stateful_functions::runtime::Runtime;

use super::numbered;
use crate::faults::hidden_attempts::{listed, started};
use crate::runtime::{SAMPLES, Started};
use crate::support::until::until;

async fn rotating(path: &Path, rotate: &str) -> Started {
    let path = path.display();
    let spec = format!("{{id: statefun.samples/out, path: '{path}', rotate: {rotate}}}");
    let module = format!("{SAMPLES}---\nkind: statefun.file.v1/egress\nspec: {spec}\n");
    started(Runtime::builder(), &module).await
}

/// Has a record with `text` written.
async fn send(started: &Started, text: &str) {
    let json = [("content-type", "application/json")];
    let body = format!(r#"{{"after":"1ms","text":"{text}"}}"#);
    let path = "/send/statefun.samples/reminder/a";
    assert_eq!(started.post(path, &json, &body).await.status, 202);
    let sent = |entry: &serde_json::Value| entry["outbox"] == 0;
    until("the record to be sent", async || {
        let metrics = crate::faults::hidden_attempts::get(started, "/metrics").await;
        let line = format!(
            "statefun_egress_numRecordsOut_total{{egress=\"statefun.samples/out\"}} {text}"
        );
        metrics.lines().any(|found| found == line).then_some(())
    })
    .await;
    listed(started, "egresses", sent).await;
}

#[tokio::test]
async fn a_file_that_would_become_too_large_is_rotated_and_only_some_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let started = rotating(&path, "{maxBytes: 10, keep: 2}").await;
    for number in ["1", "2", "3", "4"] {
        send(&started, number).await;
    }
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    assert!(read(&path).contains("\"4\""));
    assert!(read(&numbered(&path, 1)).contains("\"3\""));
    assert!(read(&numbered(&path, 2)).contains("\"2\""));
    assert!(!numbered(&path, 3).exists());
}

#[tokio::test]
async fn a_file_is_rotated_when_its_time_has_come_though_no_record_comes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let started = rotating(&path, "{every: 50ms, keep: 2}").await;
    send(&started, "1").await;
    until("the rotation", async || {
        (numbered(&path, 1).exists() && !path.exists()).then_some(())
    })
    .await;
    assert_eq!(
        fs::read_to_string(numbered(&path, 1))
            .unwrap()
            .lines()
            .count(),
        1
    );
}
