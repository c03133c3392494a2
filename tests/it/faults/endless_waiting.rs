//! Kind: no bound. Whatever a destination that was down for a week could not take was kept, until the disk was full and everything else stood still,
//! too; and dead letters stayed for ever, wanted or not.

use std::fs;
use std::path::{Path, PathBuf};

use ::http::{Method, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::stage_gone::Api;
use crate::support::destination::{Destination, Reaction};
use crate::support::process::Process;
use crate::support::until::until;

/// A pipeline with one export and these settings of what it keeps.
fn module(folder: &Path, destination: &Destination, keeping: &str, every: &str) -> PathBuf {
    let url = destination.url("/");
    let text = format!(
        "kind: statefun.http.v1/ingress\nspec: {{listen: \"127.0.0.1:0\"}}\n---\n\
         kind: statefun.pipelines.v1/pipeline\nspec: {{name: p, storeAndForward: {keeping}, stages: [\
         {{name: crm, http-export: {{url: \"{url}\", circuit: false, retry: {{every: {every}}}}}}}]}}\n"
    );
    let file = folder.join("module.yaml");
    fs::write(&file, text).unwrap();
    file
}

/// How many records wait, and the numbers of the dead letters with their reasons.
async fn kept(admin: &Api) -> (usize, Vec<(String, String)>) {
    let page = admin.get("/api/deliveries?state=awaiting").await;
    let waiting = page["items"].as_array().unwrap().len();
    let letters = admin.get("/api/dead-letters?full=true").await;
    let letters = letters["items"].as_array().unwrap().iter();
    let dead = letters.map(|letter| {
        let text = |field: &str| letter[field].as_str().unwrap().to_owned();
        let payload = STANDARD.decode(text("base64")).unwrap();
        (String::from_utf8(payload).unwrap(), text("reason"))
    });
    (waiting, dead.collect())
}

async fn until_kept(admin: &Api, waiting: usize, dead: &[(u64, &str)]) {
    let dead = dead.iter();
    let mut dead: Vec<(String, String)> = dead
        .map(|(n, reason)| (json!({"n": n}).to_string(), (*reason).to_owned()))
        .collect();
    dead.sort();
    until("the records kept", async || {
        let (waits, mut given_up) = kept(admin).await;
        given_up.sort();
        (waits == waiting && given_up == dead).then_some(())
    })
    .await;
}

async fn send(runtime: &Process, n: u64) -> (StatusCode, Value) {
    let ingress = Api::of(runtime, "http ingress");
    let body = json!({"n": n});
    let path = "/send/pipelines/p/d";
    ingress.try_ask(Method::POST, path, Some(&body)).await
}

async fn send_all(runtime: &Process, admin: &Api, numbers: std::ops::Range<u64>) {
    for n in numbers {
        let (status, answer) = send(runtime, n).await;
        assert!(status.is_success(), "{status} {answer}");
        // Their ids go up, and no two of them are under way at a time.
        until("attempted", async || {
            let queues = admin.get("/api/queues").await;
            (queues["totals"]["backlog"] == 0).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_pipeline_takes_no_more_until_there_is_room_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let module = module(folder.path(), &destination, "{maxItems: 2}", "1h");
    let mut runtime = Process::run(&module, &data);
    let admin = Api::of(&runtime, "admin api");
    send_all(&runtime, &admin, 0..2).await;
    until_kept(&admin, 2, &[]).await;
    let (status, refusal) = send(&runtime, 2).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{refusal}");
    assert!(refusal.to_string().contains("maxItems"), "{refusal}");
    admin.until_synced().await;
    runtime.kill();

    let runtime = Process::run(&module, &data);
    let admin = Api::of(&runtime, "admin api");
    until("the stored records counted", async || {
        let queues = admin.get("/api/queues").await;
        (queues["destinations"][0]["waiting"] == 2).then_some(())
    })
    .await;
    assert_eq!(send(&runtime, 2).await.0, StatusCode::TOO_MANY_REQUESTS);
    let first = admin.addresses().await.remove(0);
    admin.act(&first, "discard").await;
    until("room", async || {
        send(&runtime, 7).await.0.is_success().then_some(())
    })
    .await;
    until_kept(&admin, 2, &[(0, "operator")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_become_dead_letters_where_that_is_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let keeping = "{maxItems: 2, onFull: drop_oldest}";
    let module = module(folder.path(), &destination, keeping, "1h");
    let runtime = Process::run(&module, &folder.path().join("data"));
    let admin = Api::of(&runtime, "admin api");
    send_all(&runtime, &admin, 0..5).await;
    let full = [(0, "full"), (1, "full"), (2, "full")];
    until_kept(&admin, 2, &full).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_become_dead_letters_where_that_is_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let keeping = "{maxItems: 2, onFull: drop_newest}";
    let module = module(folder.path(), &destination, keeping, "1h");
    let runtime = Process::run(&module, &folder.path().join("data"));
    let admin = Api::of(&runtime, "admin api");
    send_all(&runtime, &admin, 0..4).await;
    until_kept(&admin, 2, &[(2, "full"), (3, "full")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_are_limited_as_records_are() {
    let folder = tempfile::tempdir().unwrap();
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let module = module(folder.path(), &destination, "{maxBytes: 50}", "1h");
    let runtime = Process::run(&module, &folder.path().join("data"));
    let admin = Api::of(&runtime, "admin api");
    send_all(&runtime, &admin, 0..1).await;
    until_kept(&admin, 1, &[]).await;
    let (status, refusal) = send(&runtime, 1).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{refusal}");
    assert!(refusal.to_string().contains("maxBytes"), "{refusal}");
}

/// Without the setting all are kept: what was promised to be kept is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_beyond_the_retention_that_is_set_are_purged_oldest_first_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let destination = Destination::start().await;
    destination.react(Reaction::status(400));
    let all_kept = module(folder.path(), &destination, "{}", "1h");
    let mut runtime = Process::run(&all_kept, &data);
    let admin = Api::of(&runtime, "admin api");
    send_all(&runtime, &admin, 0..4).await;
    let permanent = |numbers: std::ops::Range<u64>| -> Vec<(u64, &str)> {
        numbers.map(|n| (n, "permanent")).collect()
    };
    until_kept(&admin, 0, &permanent(0..4)).await;
    assert_eq!(runtime.terminate(), Some(0));

    let keeping = "{deadLetters: {maxItems: 2}}";
    let limited = module(folder.path(), &destination, keeping, "1h");
    let mut runtime = Process::run(&limited, &data);
    let admin = Api::of(&runtime, "admin api");
    until_kept(&admin, 0, &permanent(2..4)).await;
    let metrics = admin.get("/metrics").await;
    let counted = "statefun_pipeline_dropped_total{reason=\"retention\"} 2";
    let metrics = metrics.as_str().unwrap();
    assert!(metrics.lines().any(|line| line == counted), "{metrics}");
    assert_eq!(runtime.terminate(), Some(0));

    let keeping = "{deadLetters: {maxAge: 1s}}";
    let limited = module(folder.path(), &destination, keeping, "1h");
    let runtime = Process::run(&limited, &data);
    let admin = Api::of(&runtime, "admin api");
    until_kept(&admin, 0, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_waits_while_the_pipeline_is_full_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let module = module(folder.path(), &destination, "{maxItems: 2}", "100ms");
    let lines = folder.path().join("in.jsonl");
    let line = |n: u64| {
        let value = json!({"n": n});
        json!({"target": "pipelines/p/d", "value": value}).to_string() + "\n"
    };
    fs::write(&lines, line(0) + &line(1)).unwrap();
    let ingress = format!(
        "---\nkind: statefun.file.v1/ingress\nspec: {{id: test/in, path: '{}'}}\n",
        lines.display()
    );
    let text = fs::read_to_string(&module).unwrap() + &ingress;
    fs::write(&module, text).unwrap();
    let runtime = Process::run(&module, &folder.path().join("data"));
    let admin = Api::of(&runtime, "admin api");
    until_kept(&admin, 2, &[]).await;
    let more = fs::OpenOptions::new().append(true).open(&lines);
    let text = line(2) + &line(3) + &line(4);
    std::io::Write::write_all(&mut more.unwrap(), text.as_bytes()).unwrap();
    until("a source that waits", async || {
        let queues = admin.get("/api/queues").await;
        queues["ingresses"]
            .to_string()
            .contains("maxItems")
            .then_some(())
    })
    .await;
    assert_eq!(kept(&admin).await.0, 2);

    destination.react(Reaction::status(200));
    until("everything sent", async || {
        let bodies = destination.bodies();
        let all = (0..5).all(|n| bodies.contains(&json!({"n": n}).to_string()));
        all.then_some(())
    })
    .await;
}
