//! What `statefun.file.v1/ingress` makes of files, and what operators see.

use std::fs;
use std::path::Path;

use http::Method;
use serde_json::{Value, json};
use stateful_functions::runtime::{Runtime, RuntimeBuilder};
use stateful_functions::{BoxError, Context, FunctionSpec, Message, StatefulFunctions, TypeName};

use super::{Turn, append, numbered};
use crate::faults::hidden_attempts::{listed, started};
use crate::runtime::{SAMPLES, Started, text};
use crate::support::until::until;

/// The sample functions, and an ingress that reads `path`.
fn module(path: &Path) -> String {
    let path = path.display();
    format!(
        "{SAMPLES}---
kind: statefun.file.v1/ingress
spec: {{id: test/in, path: '{path}', maxLineBytes: 200}}
"
    )
}

async fn reading(path: &Path) -> Started {
    started(Runtime::builder(), &module(path)).await
}

/// A line that adds `value` to the counter `a`.
fn line(value: u64) -> String {
    format!("{{\"target\":\"statefun.samples/counter/a\",\"value\":{value}}}\n")
}

/// Waits until the counter `a` has this total.
async fn total(started: &Started, expected: u64) {
    until(&format!("a total of {expected}"), async || {
        let plain = [("content-type", "text/plain")];
        let path = "/call/statefun.samples/counter/a";
        let answer = started.post(path, &plain, "0").await;
        (text(&answer) == expected.to_string()).then_some(())
    })
    .await;
}

/// The ingress in `/api/queues`, once it is as `wanted`.
async fn shown(started: &Started, wanted: impl Fn(&Value) -> bool) -> Value {
    listed(started, "ingresses", |entry| {
        entry["ingress"] == "test/in" && wanted(entry)
    })
    .await
}

/// Waits until the last failure of the ingress contains `text`.
async fn fails(started: &Started, text: &str) {
    let has = |entry: &Value| {
        entry["last_failure"]
            .as_str()
            .is_some_and(|told| told.contains(text))
    };
    shown(started, has).await;
}

async fn admin(started: &Started, method: Method, path: &str, body: &str) -> (u16, Value) {
    let json = [("content-type", "application/json")];
    let answer = started
        .request(method, "admin api", path, &json, body)
        .await;
    let body = serde_json::from_str(text(&answer)).unwrap();
    (answer.status.as_u16(), body)
}

#[tokio::test]
async fn a_file_is_waited_for_and_its_folder_may_vanish_and_come_back() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("logs");
    let path = folder.join("in.jsonl");
    let started = reading(&path).await;
    fails(
        &started,
        "logs does not exist; it is read as soon as there is one",
    )
    .await;
    fs::create_dir(&folder).unwrap();
    fails(&started, "the file does not exist").await;
    append(&path, &line(1));
    total(&started, 1).await;
    let entry = shown(&started, |entry| entry["last_failure"].is_null()).await;
    let split = &entry["splits"][0];
    assert_eq!(split["split"], path.display().to_string());
    assert!(
        split["position"]
            .as_str()
            .unwrap()
            .starts_with("byte 50 line 1 "),
        "{split}"
    );
    fs::remove_dir_all(&folder).unwrap();
    fails(&started, "logs does not exist").await;
    fs::create_dir(&folder).unwrap();
    append(&path, &line(10));
    total(&started, 11).await;
}

#[tokio::test]
async fn a_device_stops_the_start_and_is_named() {
    let path = Path::new("/dev/zero");
    let started = Started::try_with(Runtime::builder(), &module(path)).await;
    let Err(error) = started else {
        panic!("{path:?} is read");
    };
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        cause.contains("it is a pipe, a socket or a device"),
        "{cause}"
    );
    assert_eq!(
        error.to_string(),
        "file /dev/zero of ingress test/in can't be opened"
    );
}

#[tokio::test]
async fn a_last_line_without_line_feed_is_taken_once_it_is_a_whole_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.jsonl");
    let started = reading(&path).await;
    let whole = line(1);
    let (front, end) = whole.trim_end().split_at(20);
    append(&path, front);
    shown(&started, |entry| entry["splits"][0]["behind"] == 20).await;
    append(&path, end);
    total(&started, 1).await;
    append(&path, &format!("\r\n\n{}", line(10)));
    total(&started, 11).await;
    let entry = shown(&started, |entry| entry["splits"][0]["behind"] == 0).await;
    let position = entry["splits"][0]["position"].as_str().unwrap();
    assert!(position.contains(" line 3 "), "{position}");
    assert_eq!(entry["set_aside"], 0);
}

#[tokio::test]
async fn truncation_is_reported_and_the_file_is_read_from_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.jsonl");
    let started = reading(&path).await;
    append(&path, &line(1));
    total(&started, 1).await;
    fs::write(&path, "").unwrap();
    fails(
        &started,
        "was truncated or rewritten; it had been read up to byte 50, line 1",
    )
    .await;
    append(&path, &line(10));
    total(&started, 11).await;
    shown(&started, |entry| entry["last_failure"].is_null()).await;
    // Longer than before, and other bytes.
    fs::write(&path, format!("{}{}", line(100), line(0))).unwrap();
    total(&started, 111).await;
}

#[tokio::test]
async fn rotations_while_nothing_runs_are_caught_up_in_order() {
    for turn in [Turn::Renamed, Turn::CopiedAndTruncated] {
        let folder = tempfile::tempdir().unwrap();
        let (path, data) = (folder.path().join("in.jsonl"), folder.path().join("data"));
        append(&path, &line(1));
        let runtime = Started::on_disk(&data, &module(&path)).await;
        total(&runtime, 1).await;
        runtime.runtime.shutdown().await;
        for (number, value) in [(1, 10), (2, 100)] {
            append(&path, &line(value));
            turn.rotate(&path, number);
        }
        append(&path, &line(1000));
        let runtime = Started::on_disk(&data, &module(&path)).await;
        total(&runtime, 1111).await;
        runtime.runtime.shutdown().await;
        let runtime = Started::on_disk(&data, &module(&path)).await;
        append(&path, &line(10_000));
        total(&runtime, 11_111).await;
        runtime.runtime.shutdown().await;
    }
}

#[tokio::test]
async fn a_followed_file_that_is_copied_and_truncated_has_each_line_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.jsonl");
    let started = reading(&path).await;
    let mut sum = 0;
    for number in 1..=20 {
        append(&path, &line(number).repeat(3));
        sum += 3 * number;
        // Every second time the rest is read from the copy.
        if number % 2 == 1 {
            total(&started, sum).await;
        }
        Turn::CopiedAndTruncated.rotate(&path, number);
        append(&path, &line(1000 + number));
        sum += 1000 + number;
        total(&started, sum).await;
    }
    let entry = shown(&started, |entry| entry["brought"] == 80).await;
    assert_eq!(entry["set_aside"], 0);
}

#[tokio::test]
async fn a_file_that_was_truncated_before_it_was_read_is_reported_as_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (path, data) = (folder.path().join("in.jsonl"), folder.path().join("data"));
    let run = async || started(Runtime::builder().data(&data), &module(&path)).await;
    append(&path, "");
    let started = run().await;
    shown(&started, |entry| entry["splits"][0]["behind"] == 0).await;
    started.runtime.shutdown().await;
    append(&path, &line(1));
    Turn::CopiedAndTruncated.rotate(&path, 1);
    append(&path, &line(10));
    let started = run().await;
    let copy = numbered(&path, 1).display().to_string();
    let told = "was truncated before it was read; if these are copies of it, their lines are lost";
    fails(&started, &format!("{told}: {copy}")).await;
    total(&started, 10).await;
    append(&path, &line(100));
    total(&started, 110).await;
    shown(&started, |entry| entry["last_failure"].is_null()).await;
}

#[tokio::test]
async fn a_renamed_file_is_read_though_no_new_one_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.jsonl");
    let started = reading(&path).await;
    append(&path, &line(1));
    total(&started, 1).await;
    for (number, value) in [(1, 10), (2, 100), (3, 1000)] {
        append(&path, &line(value));
        Turn::Renamed.rotate(&path, number);
    }
    total(&started, 1111).await;
    append(&path, &line(10_000));
    total(&started, 11_111).await;
}

async fn take(_context: &mut Context, _message: Message) -> Result<(), BoxError> {
    Ok(())
}

/// A runtime over `folder` that has the function `test/later`, or has it not.
async fn with_later(folder: &Path, is_bound: bool) -> Started {
    let path = folder.join("in.jsonl");
    let builder = Runtime::builder().data(folder.join("data"));
    let bound = |builder: RuntimeBuilder| {
        let spec = FunctionSpec::new(TypeName::new("test/later"), take);
        builder.functions(StatefulFunctions::new().with(spec).unwrap())
    };
    let builder = if is_bound { bound(builder) } else { builder };
    started(builder, &module(&path)).await
}

#[tokio::test]
async fn bad_lines_become_dead_letters_with_file_and_line_and_delay_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.jsonl");
    let later = r#"{"target":"test/later/x","value":"when it is there"}"#;
    let long = format!(
        "{{\"target\":\"test/later/x\",\"value\":\"{}\"}}",
        "x".repeat(300)
    );
    let bad = format!("{{torn\n{later}\n{long}\n");
    append(&path, &format!("{}{bad}{}", line(1), line(10)));
    let started = with_later(folder.path(), false).await;
    total(&started, 11).await;
    shown(&started, |entry| {
        entry["set_aside"] == 3 && entry["brought"] == 2
    })
    .await;
    let (_, list) = admin(&started, Method::GET, "/api/dead-letters?limit=2", "").await;
    let next = list["next"].as_str().unwrap();
    let rest = format!("/api/dead-letters?after={next}");
    let (_, rest) = admin(&started, Method::GET, &rest, "").await;
    let items = [&list["items"], &rest["items"]];
    let items = items
        .into_iter()
        .flat_map(|items| items.as_array().unwrap());
    let mut items: Vec<&Value> = items.collect();
    items.sort_by_key(|item| item["origin"].as_str().unwrap());
    let file = path.display();
    let told: Vec<_> = items
        .iter()
        .map(|item| {
            (
                item["origin"].as_str().unwrap(),
                item["error"]["message"].as_str().unwrap(),
            )
        })
        .collect();
    let [torn, unbound, too_long] = told.as_slice() else {
        panic!("three dead letters: {told:?}");
    };
    assert_eq!(torn.0, format!("{file}:2 (byte 50)"));
    assert!(
        torn.1
            .contains("it is not a record: it is not JSON: keys are in double quotes (at byte 2)"),
        "{torn:?}"
    );
    assert!(
        unbound.1.contains("no function is bound to test/later"),
        "{unbound:?}"
    );
    assert_eq!(too_long.1, "it is longer than 200 bytes (maxLineBytes)");
    let at = |item: &Value| format!("/api/dead-letters/{}", item["address"].as_str().unwrap());
    let (_, item) = admin(&started, Method::GET, &at(items[0]), "").await;
    assert_eq!(item["base64"], "e3Rvcm4=");
    let asked = json!({"actor": "amy", "reason": "a test"}).to_string();
    let act = async |started: &Started, item: &Value, verb: &str| {
        admin(
            started,
            Method::POST,
            &format!("{}/{verb}", at(item)),
            &asked,
        )
        .await
    };
    let (status, told) = act(&started, items[0], "redrive").await;
    assert_eq!((status, &told["code"]), (409, &json!("record.unreadable")));
    let (status, told) = act(&started, items[1], "redrive").await;
    assert_eq!((status, &told["code"]), (404, &json!("function.unknown")));
    let (status, told) = act(&started, items[2], "purge").await;
    assert_eq!((status, &told["state"]), (200, &json!("purged")));
    shown(&started, |entry| entry["set_aside"] == 2).await;
    started.runtime.shutdown().await;

    let started = with_later(folder.path(), true).await;
    shown(&started, |entry| entry["set_aside"] == 2).await;
    let path = "/api/dead-letters/redrive";
    let (_, told) = admin(&started, Method::POST, path, &asked).await;
    assert_eq!(told["redriven"], 1);
    shown(&started, |entry| entry["set_aside"] == 1).await;
    let (_, list) = admin(&started, Method::GET, "/api/dead-letters", "").await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    total(&started, 11).await;
}

#[tokio::test]
async fn while_too_many_lines_are_set_aside_no_more_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.jsonl");
    let started = reading(&path).await;
    append(&path, &"{torn\n".repeat(10_000));
    shown(&started, |entry| entry["set_aside"] == 10_000).await;
    append(&path, &format!("{{torn\n{}", line(1)));
    fails(
        &started,
        "10000 records are set aside, so no more are read until some of them are purged",
    )
    .await;
    let (_, list) = admin(&started, Method::GET, "/api/dead-letters?limit=1", "").await;
    let address = list["items"][0]["address"].as_str().unwrap();
    let purge = format!("/api/dead-letters/{address}/purge");
    let asked = json!({"actor": "amy", "reason": "a test"}).to_string();
    let (status, _) = admin(&started, Method::POST, &purge, &asked).await;
    assert_eq!(status, 200);
    total(&started, 1).await;
    shown(&started, |entry| {
        entry["set_aside"] == 10_000 && entry["last_failure"].is_null()
    })
    .await;
}
