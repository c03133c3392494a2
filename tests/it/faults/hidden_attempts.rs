//! Kind: invisible attempts. A function answered 500 to everything; for two minutes, the budget of its call, `statefun queues` and
//! `/api/queues` showed "in_flight, failures 0", and the caller got "no answer within 30s". Only the log had the cause. A failing egress
//! was visible only there, too.

use async_trait::async_trait;
use http::Method;
use serde_json::Value;
use stateful_functions::runtime::{Runtime, RuntimeBuilder, Sink, SinkBatch};
use stateful_functions::{BoxError, TypeName};

use crate::endpoint::{ASYNC, OKHTTP, functions_at};
use crate::runtime::{SAMPLES, Started, admin, text};
use crate::support::canned::{Answer, Canned};
use crate::support::until::until;

/// A 500 as function servers give it.
pub(super) fn no_database() -> Answer {
    let body = "no database\n  at greeter.py, line 7\n";
    let length = body.len();
    let head = "HTTP/1.1 500 Internal Server Error\r\ncontent-type: text/plain\r\n";
    Answer::Bytes(format!("{head}content-length: {length}\r\n\r\n{body}").into())
}

/// With an admin API.
pub(crate) async fn started(builder: RuntimeBuilder, module: &str) -> Started {
    Started::with(builder.admin(admin()), module).await
}

pub(crate) async fn get(started: &Started, path: &str) -> String {
    let get = started.request(Method::GET, "admin api", path, &[], "");
    text(&get.await).to_owned()
}

/// What `/api/queues` lists under `list`, once there is something that is `wanted`.
pub(crate) async fn listed(
    started: &Started,
    list: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    until("an entry of the queues", async || {
        let queues: Value = serde_json::from_str(&get(started, "/api/queues").await).unwrap();
        let entries = queues[list].as_array().unwrap().clone();
        entries.into_iter().find(|entry| wanted(entry))
    })
    .await
}

#[tokio::test]
async fn a_call_that_fails_and_is_tried_again_is_seen_while_its_budget_lasts() {
    for (transport, code) in [
        (
            ASYNC,
            "Unexpected response code 500 (Internal Server Error)",
        ),
        (OKHTTP, "invalid HTTP response code 500"),
    ] {
        let server = Canned::always([], no_database()).await;
        let ingress = "kind: statefun.http.v1/ingress
spec: {listen: '127.0.0.1:0', callTimeout: 900ms}
---
";
        let url = server.url("/").to_string();
        let module = format!("{ingress}{}", functions_at(&url, transport));
        let started = started(Runtime::builder(), &module).await;

        let sent = started.post("/send/example/f/a", &[], "hi").await;
        assert_eq!(sent.status, 202);
        let entry = listed(&started, "addresses", |entry| {
            entry["failed_attempts"].as_u64() >= Some(2)
        })
        .await;
        assert_eq!(entry["address"], "example/f/a");
        assert_eq!(entry["activity"], "in_flight");
        assert_eq!(entry["failures"], 0, "the batch has not failed yet");
        assert_eq!(entry["last_failure"], format!("{code}: no database"));

        let metrics = get(&started, "/metrics").await;
        let line = "statefun_functions_failingCalls{namespace=\"example\",name=\"f\"} 1";
        assert!(metrics.lines().any(|found| found == line), "{metrics}");

        let answer = started.post("/call/example/f/a", &[], "hi").await;
        let told = text(&answer).to_owned();
        assert_eq!(answer.status, 504, "{told}");
        let cause = format!("\"message\":\"{code}: no database (example/f/a: ");
        assert!(told.contains(&cause), "{told}");
        let rest = "attempts of its call failed, and it is tried again); no answer within 900 ms (callTimeout), and the message stays accepted";
        assert!(told.contains(rest), "{told}");
    }
}

#[tokio::test]
async fn a_caller_of_a_silent_function_learns_that_it_is_still_being_called() {
    let server = Canned::always([], Answer::Stall(Vec::new())).await;
    let ingress = "kind: statefun.http.v1/ingress
spec: {listen: '127.0.0.1:0', callTimeout: 900ms}
---
";
    let module = format!(
        "{ingress}{}",
        functions_at(&server.url("/").to_string(), ASYNC)
    );
    let started = Started::ephemeral(&module).await;
    let answer = started.post("/call/example/f/a", &[], "hi").await;
    let told = text(&answer);
    let text = "example/f/a is being called, and has not returned; no answer within 900 ms";
    assert!(answer.status == 504 && told.contains(text), "{told}");
}

/// An egress whose far side is away.
#[derive(Debug)]
struct Away;

#[async_trait]
impl Sink for Away {
    async fn deliver(&self, _batch: &SinkBatch) -> Result<(), BoxError> {
        let cause = std::io::Error::other("the queue manager is away");
        Err(format!("no delivery: {cause}").into())
    }
}

#[tokio::test]
async fn an_egress_that_fails_is_seen_with_its_attempts_and_its_last_failure() {
    let egress: TypeName = "test/out".parse().unwrap();
    let module = format!(
        "{SAMPLES}---
kind: io.statefun.endpoints.v2/http
spec: {{functions: example/*, urlPathTemplate: '{}'}}
",
        one_record(&egress).await
    );
    let started = started(Runtime::builder().egress(egress, Away), &module).await;
    let sent = started.post("/send/example/f/a", &[], "hi").await;
    assert_eq!(sent.status, 202);
    let entry = listed(&started, "egresses", |entry| {
        entry["failed_attempts"].as_u64() >= Some(1)
    })
    .await;
    assert_eq!(entry["egress"], "test/out");
    assert_eq!(entry["outbox"], 1);
    let failure = "no delivery: the queue manager is away";
    assert_eq!(entry["last_failure"], failure);
    let metrics = get(&started, "/metrics").await;
    let has = |start: &str| metrics.lines().any(|line| line.starts_with(start));
    assert!(
        has("statefun_egress_failedAttempts{egress=\"test/out\"} "),
        "{metrics}"
    );
    assert!(
        has("statefun_egress_numRecordsOut_total{egress=\"test/out\"} 0"),
        "{metrics}"
    );
}

/// A function server whose first answer sends a record to `egress`.
async fn one_record(egress: &TypeName) -> String {
    use prost::Message as _;
    use stateful_functions::protocol::reqreply::FromFunction;

    let reply = crate::support::reply::Reply::new().egress(egress.as_str(), "x");
    let body = FromFunction {
        response: Some(reply.0),
    };
    let answer = crate::support::canned::ok(
        "content-type: application/octet-stream\r\n",
        &body.encode_to_vec(),
    );
    let server = Canned::always([answer], crate::endpoint::fine()).await;
    server.url("/").to_string()
}
