//! Batches that are filling while the module changes. A user saw a batch whose stage had been removed: nothing listed it, and nothing could be done
//! with it. Another lowered `count` below what waited: nothing went before the next record came.

use ::http::Method;
use serde_json::json;

use super::stage_gone::{Api, exporting, module_of, send};
use crate::support::destination::Destination;
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
async fn a_batch_that_has_enough_by_its_new_settings_goes_at_the_start() {
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
