//! Kind: state without an owner. A user renamed a stage: its records were shown as waiting without end, nothing named them, and retry, cancel and
//! discard answered that the function is unknown.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use stateful_functions::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest};

use crate::support::destination::{Destination, Reaction};
use crate::support::process::Process;
use crate::support::until::until;

/// A pipeline with one export of that name.
fn module(folder: &Path, stage: &str, destination: &Destination) -> PathBuf {
    let export = exporting(stage, destination, "circuit: false, ");
    module_of(folder, stage, &export)
}

pub(super) fn exporting(stage: &str, destination: &Destination, more: &str) -> String {
    let url = destination.url("/");
    format!("{{name: {stage}, http-export: {{url: \"{url}\", {more}retry: {{every: 1h}}}}}}")
}

/// A pipeline with these stages, in a file of that name.
pub(super) fn module_of(folder: &Path, name: &str, stages: &str) -> PathBuf {
    let text = format!(
        "kind: statefun.http.v1/ingress\nspec: {{listen: \"127.0.0.1:0\"}}\n---\n\
         kind: statefun.pipelines.v1/pipeline\nspec: {{name: p, stages: [{stages}]}}\n"
    );
    let file = folder.join(format!("{name}.yaml"));
    fs::write(&file, text).unwrap();
    file
}

pub(crate) struct Api {
    base: String,
    client: HttpClient,
}

impl Api {
    pub(crate) fn of(runtime: &Process, listener: &str) -> Self {
        Self {
            base: runtime.url(listener),
            client: HttpClient::new(HttpClientConfig::default()).unwrap(),
        }
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let (status, value) = self.try_ask(method, path, body).await;
        assert!(status.is_success(), "{path}: {status} {value}");
        value
    }

    /// Also where the answer is a refusal.
    pub(crate) async fn try_ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> (StatusCode, Value) {
        let url = format!("{}{path}", self.base).parse().unwrap();
        let mut request = HttpRequest::new(method, url);
        if let Some(body) = body {
            request.body = body.to_string().into();
            let json = HeaderValue::from_static("application/json");
            request.headers.insert("content-type", json);
        }
        let answer = self.client.send(request, Duration::from_secs(60)).await;
        let answer = answer.unwrap();
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        (answer.status, value)
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.ask(Method::GET, path, None).await
    }

    /// Waits until all that can be seen is on disk, so that a kill leaves it as it is.
    pub(crate) async fn until_synced(&self) {
        until("everything synced", async || {
            let metrics = self.get("/metrics").await;
            let metrics = metrics.as_str().unwrap_or_default();
            let is_synced = metrics
                .lines()
                .any(|line| line == "statefun_store_unsynced_bytes 0");
            is_synced.then_some(())
        })
        .await;
    }

    /// Has the delivery at that address do something.
    pub(crate) async fn act(&self, address: &str, verb: &str) -> Value {
        let path = format!("/api/deliveries/{address}/{verb}");
        let asked = json!({"actor": "alice", "reason": "a test asks"});
        self.ask(Method::POST, &path, Some(&asked)).await
    }

    pub(crate) async fn addresses(&self) -> Vec<String> {
        let page = self.get("/api/deliveries").await;
        let items = page["items"].as_array().unwrap().iter();
        items
            .map(|item| item["address"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pl_21_and_r_06_records_of_a_renamed_stage_are_shown_and_can_be_cancelled_discarded_and_retried()
 {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let (before, after) = (
        module(folder.path(), "crm", &destination),
        module(folder.path(), "crm2", &destination),
    );

    let mut runtime = Process::run(&before, &data);
    let ingress = Api::of(&runtime, "http ingress");
    for n in 0..3 {
        ingress
            .ask(Method::POST, "/send/pipelines/p/d", Some(&json!({"n": n})))
            .await;
    }
    let admin = Api::of(&runtime, "admin api");
    // One whose attempt is in progress is tried again at once after the start.
    until("three that wait", async || {
        let page = admin.get("/api/deliveries").await;
        let items = page["items"].as_array().unwrap();
        let wait = items.iter().filter(|item| item["state"] == "awaiting");
        (wait.count() == 3).then_some(())
    })
    .await;
    Api::of(&runtime, "admin api").until_synced().await;
    runtime.kill();

    let mut runtime = Process::run(&after, &data);
    let admin = Api::of(&runtime, "admin api");
    let health = admin.get("/health").await;
    assert_eq!(health["status"], "ok");
    let gone = json!([{"kind": "function", "name": "pipelines/p.crm", "keeps": 3}]);
    assert_eq!(health["gone"], gone);
    assert_eq!(admin.get("/api/queues").await["gone"], gone);

    let addresses = admin.addresses().await;
    let [one, two, three] = &addresses[..] else {
        panic!("{addresses:?}")
    };
    assert_eq!(admin.act(one, "cancel").await["state"], "cancelled");
    assert_eq!(admin.act(two, "discard").await["reason"], "operator");
    let tried = admin.act(three, "retry").await;
    assert_eq!(tried["reason"], "stage_gone", "{tried}");
    let letters = admin.get("/api/dead-letters/export").await;
    let letters = letters.as_str().unwrap();
    assert_eq!(letters.lines().count(), 2, "{letters}");
    assert!(letters.contains("no longer has a stage `crm`"), "{letters}");
    assert_eq!(runtime.terminate(), Some(0));

    destination.react(Reaction::status(200));
    destination.forget();
    let mut runtime = Process::run(&before, &data);
    let admin = Api::of(&runtime, "admin api");
    assert_eq!(admin.get("/health").await, json!({"status": "ok"}));
    let redriven = admin
        .ask(
            Method::POST,
            "/api/dead-letters/redrive",
            Some(&json!({"actor": "alice", "reason": "the stage is back"})),
        )
        .await;
    assert_eq!(redriven["redriven"], 2);
    destination.until(|received| received.len() >= 2).await;
    assert_eq!(runtime.terminate(), Some(0));
}

pub(crate) async fn send(runtime: &Process, body: &Value) {
    let ingress = Api::of(runtime, "http ingress");
    ingress
        .ask(Method::POST, "/send/pipelines/p/d", Some(body))
        .await;
}

/// Six records that an export could not send: five that are due in an hour, and one that is held.
async fn six_wait(file: &Path, data: &Path) {
    let mut runtime = Process::run(file, data);
    for n in 0..6 {
        send(&runtime, &json!({"n": n})).await;
        let admin = Api::of(&runtime, "admin api");
        until("another one that waits", async || {
            (admin.addresses().await.len() == n + 1).then_some(())
        })
        .await;
    }
    Api::of(&runtime, "admin api").until_synced().await;
    runtime.kill();
}

async fn nothing_is_under_way(admin: &Api) {
    until("nothing under way", async || {
        let queues = admin.get("/api/queues").await;
        (queues["totals"]["backlog"] == 0).then_some(())
    })
    .await;
}

async fn all_wait(admin: &Api) {
    let page = admin.get("/api/deliveries").await;
    let items = page["items"].as_array().unwrap();
    assert_eq!(items.len(), 6, "{items:?}");
    for item in items {
        assert_eq!(item["state"], "awaiting", "{item}");
    }
}

/// The stage has its name and its kind again, and the destination works: all six arrive as they were sent.
async fn all_arrive(file: &Path, data: &Path, destination: &Destination) {
    destination.forget();
    let mut runtime = Process::run(file, data);
    let arrived = destination.until(|received| received.len() >= 6);
    arrived.await;
    let mut bodies = destination.bodies();
    bodies.sort_unstable();
    let sent: Vec<String> = (0..6).map(|n| json!({"n": n}).to_string()).collect();
    assert_eq!(bodies, sent);
    assert_eq!(runtime.terminate(), Some(0));
}

/// What a user saw: half a second after a start with a mistyped name all that waited, for an hour still, had become dead letters.
/// A lane that no earlier version had kept was left without a function: commands for its records failed again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ordered_record_of_a_renamed_stage_can_be_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let ordered = |stage| {
        let export = exporting(stage, &destination, "circuit: false, orderKey: k, ");
        module_of(folder.path(), stage, &export)
    };
    let mut runtime = Process::run(&ordered("crm"), &data);
    let ingress = Api::of(&runtime, "http ingress");
    for n in 0..3 {
        let record = json!({"k": 1, "n": n});
        ingress
            .ask(Method::POST, "/send/pipelines/p/d", Some(&record))
            .await;
    }
    let admin = Api::of(&runtime, "admin api");
    until("three that wait", async || {
        let page = admin.get("/api/deliveries").await;
        let items = page["items"].as_array().unwrap();
        let wait = items.iter().filter(|item| item["state"] == "awaiting");
        (wait.count() == 3).then_some(())
    })
    .await;
    Api::of(&runtime, "admin api").until_synced().await;
    runtime.kill();

    let mut runtime = Process::run(&ordered("crm2"), &data);
    let admin = Api::of(&runtime, "admin api");
    let first = admin.addresses().await.remove(0);
    assert_eq!(admin.act(&first, "cancel").await["state"], "cancelled");
    assert_eq!(runtime.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_06_what_a_renamed_stage_keeps_waits_until_it_is_due_and_arrives_when_the_name_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let before = module_of(folder.path(), "out", &exporting("out", &destination, ""));
    let after = module_of(folder.path(), "out2", &exporting("out2", &destination, ""));
    six_wait(&before, &data).await;

    destination.react(Reaction::status(200));
    let mut runtime = Process::run(&after, &data);
    let admin = Api::of(&runtime, "admin api");
    // One that arrives wakes what waits for the destination.
    destination.forget();
    send(&runtime, &json!("live")).await;
    destination.until(|received| received.len() == 1).await;
    nothing_is_under_way(&admin).await;
    all_wait(&admin).await;
    Api::of(&runtime, "admin api").until_synced().await;
    runtime.kill();
    all_arrive(&before, &data, &destination).await;
}

/// The same when the stage became one of another kind: it was given at once what had waited for a destination.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_destination_is_not_given_to_a_stage_of_another_kind_before_it_is_due() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let export = exporting("out", &destination, "");
    let before = module_of(folder.path(), "out", &export);
    let last = exporting("last", &destination, "");
    let changed = format!("{{name: out, set: {{site: north}}}}, {last}");
    let after = module_of(folder.path(), "set", &changed);
    six_wait(&before, &data).await;

    destination.react(Reaction::status(200));
    let mut runtime = Process::run(&after, &data);
    let admin = Api::of(&runtime, "admin api");
    // The changed policy of their stage applies to all of them.
    until("all that were told", async || {
        let metrics = admin.get("/metrics").await;
        let metrics = metrics.as_str().unwrap_or_default();
        let of_stage =
            |line: &&str| line.contains("functions_in_total") && line.contains("p.out\"");
        let told = metrics.lines().find(of_stage)?;
        told.ends_with(" 6").then_some(())
    })
    .await;
    nothing_is_under_way(&admin).await;
    all_wait(&admin).await;
    Api::of(&runtime, "admin api").until_synced().await;
    runtime.kill();
    all_arrive(&before, &data, &destination).await;
}

/// A mistake in a module stops the start as a whole. What waits stays as it is, and goes on with the next good start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_07_a_mistake_in_a_pipeline_stops_the_start_and_leaves_what_waits_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let destination = Destination::start().await;
    destination.react(Reaction::status(503));
    let export = exporting("out", &destination, "circuit: false, ");
    let good = module_of(folder.path(), "good", &export);
    let mistaken = format!("{{filter: {{rule: {{nope: 1}}}}}}, {export}");
    let bad = module_of(folder.path(), "bad", &mistaken);

    let mut runtime = Process::run(&good, &data);
    send(&runtime, &json!({"n": 1})).await;
    let admin = Api::of(&runtime, "admin api");
    until("one that waits", async || {
        let page = admin.get("/api/deliveries").await;
        let item = page["items"].as_array().unwrap().first().cloned();
        item.filter(|item| item["state"] == "awaiting")
    })
    .await;
    assert_eq!(runtime.terminate(), Some(0));
    assert_eq!(Process::spawn(&bad, &data).wait(), Some(1));

    destination.react(Reaction::status(200));
    destination.forget();
    let mut runtime = Process::run(&good, &data);
    let admin = Api::of(&runtime, "admin api");
    let addresses = admin.addresses().await;
    assert_eq!(addresses.len(), 1);
    admin.act(&addresses[0], "retry").await;
    assert_eq!(destination.bodies(), [r#"{"n":1}"#]);
    assert_eq!(runtime.terminate(), Some(0));
}
