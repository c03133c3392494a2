//! Batches that are filling while the module changes. A user saw a batch whose stage had been removed: nothing listed it, and nothing could be done
//! with it. Another lowered `count` below what waited: nothing went before the next record came. A third gave the batch a `key`, or made an export
//! a batch: what had been accepted stayed where no batch of the new settings is, and nothing told so.

use std::fs::{self, File};

use ::http::Method;
use serde_json::json;

use super::stage_gone::{Api, exporting, module_of, send};
use crate::support::destination::{Destination, Reaction};
use crate::support::process::Process;
use crate::support::until::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_stage_is_gone_is_listed_by_its_records_and_filled_again_when_the_stage_is_back()
 {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let destination = Destination::start().await;
    let export = exporting("out", &destination, "");
    let with = module_of(
        folder.path(),
        "with",
        &format!("{{batch: {{count: 5}}}}, {export}"),
    );
    let without = module_of(folder.path(), "without", &export);
    let mut runtime = Process::run(&with, &data);
    for n in 0..3 {
        send(&runtime, &json!({"n": n})).await;
    }
    Api::of(&runtime, "admin api").until_synced().await;
    runtime.kill();

    let mut runtime = Process::run(&without, &data);
    let admin = Api::of(&runtime, "admin api");
    let addresses = until("the records of the batch", async || {
        let addresses = admin.addresses().await;
        (addresses.len() == 3).then_some(addresses)
    })
    .await;
    let first = &addresses[0];
    assert!(first.starts_with("pipelines/p.batch/"), "{addresses:?}");
    assert_eq!(admin.act(first, "discard").await["reason"], "operator");
    let letters = admin.get("/api/dead-letters/export").await;
    assert_eq!(letters["reason"], "operator", "one line: {letters}");
    assert_eq!(runtime.terminate(), Some(0));

    let mut runtime = Process::run(&with, &data);
    let admin = Api::of(&runtime, "admin api");
    until("the others back in their batch", async || {
        (admin.addresses().await.len() == 1).then_some(())
    })
    .await;
    for n in 3..6 {
        send(&runtime, &json!({"n": n})).await;
    }
    destination.until(|received| received.len() == 1).await;
    let ns = "[{\"n\":1},{\"n\":2},{\"n\":3},{\"n\":4},{\"n\":5}]";
    assert_eq!(destination.bodies(), [ns]);
    let redriven = admin
        .ask(
            Method::POST,
            "/api/dead-letters/redrive",
            Some(&json!({"actor": "alice", "reason": "the stage is back"})),
        )
        .await;
    assert_eq!(redriven["redriven"], 1);
    until("the last one in a batch", async || {
        admin.addresses().await.is_empty().then_some(())
    })
    .await;
    assert_eq!(runtime.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_23_a_batch_that_has_enough_by_its_new_settings_goes_at_the_start() {
    for settings in ["count: 2", "count: 9, time: 1ms"] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let destination = Destination::start().await;
        let export = exporting("out", &destination, "");
        let batching = |name: &str, settings: &str| {
            let stages = format!("{{batch: {{{settings}}}}}, {export}");
            module_of(folder.path(), name, &stages)
        };
        let (before, after) = (batching("before", "count: 5"), batching("after", settings));
        let mut runtime = Process::run(&before, &data);
        for n in 0..3 {
            send(&runtime, &json!(n)).await;
        }
        // Nothing goes.
        assert_eq!(runtime.terminate(), Some(0));
        let mut runtime = Process::run(&after, &data);
        destination.until(|received| received.len() == 1).await;
        assert_eq!(destination.bodies(), ["[0,1,2]"], "{settings}");
        assert_eq!(runtime.terminate(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_key_has_changed_gives_its_records_to_the_batches_of_the_new_key() {
    let keyed = "count: 3, key: k";
    for (before, after) in [("count: 5", keyed), ("count: 5, key: k", "count: 3")] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let destination = Destination::start().await;
        let export = exporting("out", &destination, "");
        let batching = |name: &str, settings: &str| {
            let stages = format!("{{batch: {{{settings}}}}}, {export}");
            module_of(folder.path(), name, &stages)
        };
        let (first, second) = (batching("before", before), batching("after", after));
        let mut runtime = Process::run(&first, &data);
        for n in 0..3 {
            send(&runtime, &json!({"k": "a", "n": n})).await;
        }
        Api::of(&runtime, "admin api").until_synced().await;
        runtime.kill();
        let mut runtime = Process::run(&second, &data);
        destination.until(|received| received.len() == 1).await;
        let all = r#"[{"k":"a","n":0},{"k":"a","n":1},{"k":"a","n":2}]"#;
        assert_eq!(destination.bodies(), [all], "{before} to {after}");
        assert_eq!(runtime.terminate(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_on_their_way_to_an_export_that_becomes_a_batch_go_into_one_batch() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (slow, destination) = (Destination::start().await, Destination::start().await);
    slow.react(Reaction::Hang);
    let export = module_of(folder.path(), "export", &exporting("out", &slow, ""));
    let batch = format!(
        "{{name: out, batch: {{count: 3}}}}, {}",
        exporting("last", &destination, "")
    );
    let batch = module_of(folder.path(), "batch", &batch);
    let mut runtime = Process::run(&export, &data);
    for n in 0..3 {
        send(&runtime, &json!(n)).await;
    }
    slow.until(|received| received.len() == 3).await;
    Api::of(&runtime, "admin api").until_synced().await;
    runtime.kill();
    let mut runtime = Process::run(&batch, &data);
    destination.until(|received| received.len() == 1).await;
    let mut sent: Vec<i64> = serde_json::from_str(&destination.bodies()[0]).unwrap();
    sent.sort_unstable();
    assert_eq!(sent, [0, 1, 2]);
    assert_eq!(runtime.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_names_the_open_batch_of_a_stage_that_became_an_export_and_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let destination = Destination::start().await;
    let export = exporting("last", &destination, "");
    let batch = format!("{{name: out, batch: {{count: 3}}}}, {export}");
    let batch = module_of(folder.path(), "batch", &batch);
    let out = module_of(folder.path(), "export", &exporting("out", &destination, ""));
    let mut runtime = Process::run(&batch, &data);
    send(&runtime, &json!(1)).await;
    assert_eq!(runtime.terminate(), Some(0));
    let mut command = Process::command(&out, &data);
    let path = folder.path().join("log");
    let errors = File::create(&path).unwrap();
    command.env("STATEFUN_LOG", "warn").stderr(errors);
    let mut runtime = Process::of(command);
    until("the open batch and the remedy in the log", async || {
        let log = fs::read_to_string(&path).unwrap();
        let is_named = log.contains("address=pipelines/p.out/all");
        (is_named && log.contains("give this stage another name")).then_some(())
    })
    .await;
    assert_eq!(runtime.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_batch_of_a_stage_that_never_kept_a_delivery_is_listed_when_the_stage_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let destination = Destination::start().await;
    let export = exporting("out", &destination, "");
    let named = |name: &str| {
        let stages = format!("{{name: {name}, batch: {{count: 5}}}}, {export}");
        module_of(folder.path(), name, &stages)
    };
    let (one, two) = (named("b1"), named("b2"));
    for (module, sent) in [(&one, 3), (&two, 3), (&two, 0)] {
        let mut runtime = Process::run(module, &data);
        for n in 0..sent {
            send(&runtime, &json!(n)).await;
        }
        assert_eq!(runtime.terminate(), Some(0));
    }
    let mut runtime = Process::run(&one, &data);
    let admin = Api::of(&runtime, "admin api");
    until("the records of the second batch", async || {
        let addresses = admin.addresses().await;
        let of_two = addresses
            .iter()
            .filter(|address| address.starts_with("pipelines/p.b2/"));
        (of_two.count() == 3).then_some(())
    })
    .await;
    assert_eq!(runtime.terminate(), Some(0));
}
