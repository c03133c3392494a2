//! Kind: the cause is known and not shown. No metric showed how much waits for a destination, since when, what was given up, or that its circuit is
//! open: operators saw none of it until the data was missed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ::http::Method;
use serde_json::{Value, json};

use super::stage_gone::Api;
use crate::support::destination::{Destination, Reaction};
use crate::support::process::Process;
use crate::support::until::until;

/// After three failures the circuit is open, for longer than a test takes.
fn module(folder: &Path, destination: &Destination) -> PathBuf {
    let text = format!(
        "kind: statefun.http.v1/ingress\nspec: {{listen: \"127.0.0.1:0\"}}\n---\n\
         kind: statefun.pipelines.v1/pipeline\nspec: {{name: p, stages: [{{name: crm, \
         http-export: {{url: \"{}\", circuit: {{failures: 3, openFor: 1h}}, retry: {{every: 1h}}}}}}]}}\n",
        destination.url("/")
    );
    let file = folder.join("module.yaml");
    fs::write(&file, text).unwrap();
    file
}

/// The destination in the list of queues, once it is as `wanted`.
async fn told(admin: &Api, wanted: impl Fn(&Value) -> bool) -> Value {
    until("the destination's figures", async || {
        let queues = admin.get("/api/queues").await;
        let all = queues["destinations"].as_array().unwrap().clone();
        all.into_iter()
            .find(|of| of["target"] != "other" && wanted(of))
    })
    .await
}

fn waiting_and_dead(of: &Value) -> (Option<u64>, Option<u64>) {
    (of["waiting"].as_u64(), of["dead_letters"].as_u64())
}

async fn until_told(admin: &Api, waiting: u64, dead_letters: u64) -> Value {
    let expected = (Some(waiting), Some(dead_letters));
    told(admin, |of| waiting_and_dead(of) == expected).await
}

/// The value of a metric of the destination.
async fn metric(admin: &Api, name: &str, target: &str) -> Option<String> {
    let metrics = admin.get("/metrics").await;
    let start = format!("statefun_deliveries_{name}{{target=\"{target}\"}} ");
    let mut lines = metrics.as_str().unwrap().lines();
    lines.find_map(|line| line.strip_prefix(&start).map(str::to_owned))
}

async fn send(runtime: &Process, n: u32) {
    let ingress = Api::of(runtime, "http ingress");
    ingress
        .ask(Method::POST, "/send/pipelines/p/d", Some(&json!({"n": n})))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_16_a_destination_that_goes_down_and_comes_back_is_shown_with_its_figures_also_after_a_crash()
 {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let destination = Destination::start().await;
    let module = module(folder.path(), &destination);
    let target = destination.url("");

    let mut runtime = Process::run(&module, &data);
    let admin = Api::of(&runtime, "admin api");
    send(&runtime, 0).await;
    let well = told(&admin, |of| of["delivered"] == 1).await;
    assert_eq!(well["target"], *target);
    assert_eq!(well["circuit"], "closed");
    until_told(&admin, 0, 0).await;

    destination.react(Reaction::status(503));
    for n in 1..=4 {
        send(&runtime, n).await;
        until_told(&admin, n.into(), 0).await;
    }
    let down = until_told(&admin, 4, 0).await;
    assert_eq!(down["circuit"], "open");
    assert_eq!(down["failed_attempts"], 3, "the fourth is not tried");
    assert!(down["oldest"].is_string() && down["oldest_age_seconds"].is_u64());
    for (name, value) in [
        ("waiting", "4"),
        ("dead_letters", "0"),
        ("circuit", "2"),
        ("delivered_total", "1"),
        ("failed_attempts_total", "3"),
        ("given_up_total", "0"),
    ] {
        assert_eq!(
            metric(&admin, name, &target).await.as_deref(),
            Some(value),
            "{name}"
        );
    }
    assert!(
        metric(&admin, "oldest_age_seconds", &target)
            .await
            .is_some()
    );

    let addresses = admin.addresses().await;
    let [one, two, ..] = &addresses[..] else {
        panic!("{addresses:?}")
    };
    admin.act(one, "discard").await;
    admin.act(two, "discard").await;
    let given_up = until_told(&admin, 2, 2).await;
    assert_eq!(given_up["given_up"], 2);
    Api::of(&runtime, "admin api").until_synced().await;
    runtime.kill();

    let mut runtime = Process::run(&module, &data);
    let admin = Api::of(&runtime, "admin api");
    let again = until_told(&admin, 2, 2).await;
    assert!(again["oldest"].is_string());
    assert_eq!(again["given_up"], 0, "since the start");
    let asked = json!({"actor": "alice", "reason": "crm is back"});
    for (verb, waiting, dead_letters) in [("redrive", 3, 1), ("purge", 3, 0)] {
        let letters = admin.get("/api/dead-letters").await;
        let letter = letters["items"][0]["address"].as_str().unwrap();
        let path = format!("/api/dead-letters/{letter}/{verb}");
        admin.ask(Method::POST, &path, Some(&asked)).await;
        until_told(&admin, waiting, dead_letters).await;
    }
    let addresses = admin.addresses().await;
    admin.act(&addresses[0], "cancel").await;
    until_told(&admin, 2, 0).await;

    let shown = Command::new(env!("CARGO_BIN_EXE_statefun"))
        .args(["queues", "--admin", &runtime.url("admin api")])
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let line = format!("destination {target}: 2 waiting, the oldest for ");
    assert!(shown.contains(&line), "{shown}");

    destination.react(Reaction::status(200));
    let waiting = admin.get("/api/deliveries?state=awaiting").await;
    let first = waiting["items"][0]["address"].as_str().unwrap();
    admin.act(first, "retry").await;
    let back = until_told(&admin, 0, 0).await;
    assert_eq!(back["oldest"], Value::Null);
    assert_eq!(metric(&admin, "oldest_age_seconds", &target).await, None);
    told(&admin, |of| {
        of["delivered"] == 2 && of["circuit"] == "closed"
    })
    .await;
    assert_eq!(runtime.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_whose_value_is_removed_no_longer_waits() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let module = module(folder.path(), &destination);
    let runtime = Process::run(&module, &data);
    let admin = Api::of(&runtime, "admin api");
    send(&runtime, 0).await;
    until_told(&admin, 1, 0).await;
    let address = &admin.addresses().await[0];
    let path = format!("/api/state/{address}/head");
    admin.ask(Method::DELETE, &path, None).await;
    until_told(&admin, 0, 0).await;
}
