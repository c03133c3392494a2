//! Kind: lost data that counts as delivered. The file of `statefun.file.v1/egress` was removed under a runtime, as tools that clean up logs do:
//! later records went into the file without a name, were counted as delivered, and were in no file after a restart.
//!
//! Right is: the file is made again; when it cannot be, the records wait and the failure is shown, until it can.

use std::fs;
use std::path::Path;

use stateful_functions::runtime::Runtime;

use super::hidden_attempts::{listed, started};
use crate::runtime::{SAMPLES, Started};
use crate::support::until::until;

async fn with_file(path: &Path) -> Started {
    let spec = format!("{{id: statefun.samples/out, path: '{}'}}", path.display());
    let module = format!("{SAMPLES}---\nkind: statefun.file.v1/egress\nspec: {spec}\n");
    started(Runtime::builder(), &module).await
}

/// Has a record with `text` sent to the egress.
async fn send(started: &Started, text: &str) {
    let json = [("content-type", "application/json")];
    let body = format!(r#"{{"after":"1ms","text":"{text}"}}"#);
    let sent = started
        .post("/send/statefun.samples/reminder/a", &json, &body)
        .await;
    assert_eq!(sent.status, 202);
}

/// Waits until `path` has a whole line with `text`, and returns all of the file. By then the record is settled: a file that is removed
/// earlier has its records written again.
async fn arrived(started: &Started, path: &Path, text: &str) -> String {
    let lines = until(&format!("a line with {text}"), async || {
        let lines = fs::read_to_string(path).unwrap_or_default();
        (lines.contains(text) && lines.ends_with('\n')).then_some(lines)
    })
    .await;
    listed(started, "egresses", |entry| entry["outbox"] == 0).await;
    lines
}

#[tokio::test]
async fn the_file_of_an_egress_is_made_again_when_it_is_removed_or_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (path, aside) = (folder.path().join("out"), folder.path().join("out.1"));
    let started = with_file(&path).await;
    send(&started, "one").await;
    arrived(&started, &path, "one").await;
    fs::remove_file(&path).unwrap();
    send(&started, "two").await;
    assert_eq!(arrived(&started, &path, "two").await.lines().count(), 1);
    fs::rename(&path, &aside).unwrap();
    fs::write(&path, "of another\n").unwrap();
    send(&started, "three").await;
    let lines = arrived(&started, &path, "three").await;
    assert!(lines.starts_with("of another\n"), "{lines}");
    assert_eq!(fs::read_to_string(&aside).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn records_of_an_egress_whose_folder_is_gone_wait_for_it() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("eg");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("out");
    let started = with_file(&path).await;
    send(&started, "one").await;
    arrived(&started, &path, "one").await;
    fs::remove_dir_all(&folder).unwrap();
    send(&started, "two").await;
    let entry = listed(&started, "egresses", |entry| {
        entry["failed_attempts"].as_u64() >= Some(1)
    })
    .await;
    assert_eq!(entry["outbox"], 1, "{entry}");
    let failure = entry["last_failure"].as_str().unwrap();
    let file = format!("file {}: ", path.display());
    assert!(failure.starts_with(&file), "{failure}");
    fs::create_dir(&folder).unwrap();
    assert_eq!(arrived(&started, &path, "two").await.lines().count(), 1);
}

#[tokio::test]
async fn a_file_of_an_egress_that_is_truncated_goes_on_at_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let started = with_file(&path).await;
    send(&started, "one").await;
    arrived(&started, &path, "one").await;
    fs::write(&path, "").unwrap();
    send(&started, "two").await;
    let lines = arrived(&started, &path, "two").await;
    assert!(
        !lines.contains('\0') && lines.lines().count() == 1,
        "{lines:?}"
    );
}
