//! Kind: state without an owner. An ingress got another id: its stored positions belonged to the old one, so a file was read again from its
//! beginning and a stream from its `startupPosition`, and nobody was told.
//!
//! Right is: the start names the ingress that is gone when another one begins without a position, and `/health`, `queues` and `status` show it.

use std::fs;
use std::path::Path;

use serde_json::Value;
use stateful_functions::runtime::Runtime;

use super::hidden_attempts::{get, listed, started};
use crate::runtime::{SAMPLES, Started};

const LINE: &str = r#"{"target":"statefun.samples/counter/a","value":"1"}"#;

/// A runtime that reads the file of `folder` as ingress `id`, once it has read all of it.
async fn reads(folder: &Path, id: &str) -> Started {
    let path = folder.join("in.jsonl");
    let spec = format!("{{id: {id}, path: '{}'}}", path.display());
    let module = format!("{SAMPLES}---\nkind: statefun.file.v1/ingress\nspec: {spec}\n");
    let builder = Runtime::builder().data(folder.join("data"));
    let started = started(builder, &module).await;
    let is_read = |entry: &Value| entry["ingress"] == id && entry["splits"][0]["behind"] == 0;
    listed(&started, "ingresses", is_read).await;
    started
}

async fn gone(started: &Started) -> Value {
    let health: Value = serde_json::from_str(&get(started, "/health").await).unwrap();
    health["gone"].clone()
}

#[tokio::test]
async fn an_ingress_with_another_id_is_missed_until_the_new_one_has_a_position() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.jsonl"), format!("{LINE}\n")).unwrap();
    let first = reads(folder.path(), "test/old").await;
    assert_eq!(gone(&first).await, Value::Null);
    first.runtime.shutdown().await;

    let renamed = reads(folder.path(), "test/new").await;
    let expected = serde_json::json!([{"kind": "ingress", "name": "test/old", "keeps": 1}]);
    assert_eq!(gone(&renamed).await, expected);
    renamed.runtime.shutdown().await;

    // By then it is known to be another one.
    let again = reads(folder.path(), "test/new").await;
    assert_eq!(gone(&again).await, Value::Null);
    again.runtime.shutdown().await;
}
