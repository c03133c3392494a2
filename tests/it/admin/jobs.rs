//! Events and jobs over HTTP: submitted, shown, retried.

use ::http::Method;
use serde_json::{Value, json};
use stateful_functions::runtime::Runtime;
use stateful_functions::transport::http::client::HttpResponse;

use super::{Api, admin, code};
use crate::runtime::{Started, text};
use crate::support::destination::{Destination, Reaction};

/// Two destinations.
fn module(crm: &Destination, audit: &Destination) -> String {
    format!(
        "kind: statefun.jobs.v1/destinations\nspec:\n  schedule: {{realtime: true}}\n  destinations:\n    - {{name: crm, http: {{url: \"{}\", circuit: false}}}}\n    - {{name: audit, http: {{url: \"{}\"}}, actions: [{{event: order.paid}}]}}\n---\n{}",
        crm.url("/hook"),
        audit.url("/"),
        crate::runtime::SAMPLES
    )
}

async fn delivering(crm: &Destination, audit: &Destination) -> Started {
    let builder = Runtime::builder().admin(admin("127.0.0.1:0", None));
    Started::with(builder, &module(crm, audit)).await
}

impl Started {
    async fn event(&self, event: &Value) -> HttpResponse {
        self.act("/api/events", event).await
    }

    /// The job, once it is in this state.
    async fn job_once(&self, id: &Value, state: &str) -> Value {
        loop {
            let job = self
                .get(&format!("/api/jobs/{}", id.as_str().unwrap()))
                .await;
            if job["state"] == state {
                return job;
            }
        }
    }
}

fn json_of(response: &HttpResponse, status: u16) -> Value {
    assert_eq!(response.status, status, "{}", text(response));
    serde_json::from_slice(&response.body).unwrap()
}

#[tokio::test]
async fn an_event_goes_to_two_destinations_one_fails_and_is_retried() {
    let (crm, audit) = (Destination::start().await, Destination::start().await);
    crm.react(Reaction::status(503));
    let started = delivering(&crm, &audit).await;
    let event = json!({"name": "order.paid", "source": "shop", "data": {"total": 12}, "context": {"tenant": 7}});
    let accepted = json_of(&started.event(&event).await, 202);
    let (failing, arriving) = (&accepted["jobs"][0], &accepted["jobs"][1]);
    assert_eq!(failing["destination"], "crm");
    started.job_once(&arriving["id"], "succeeded").await;
    let job = started.job_once(&failing["id"], "awaiting").await;
    assert_eq!(
        (&job["reason"], &job["event"]),
        (&json!("retry"), &json!("order.paid"))
    );
    assert_eq!(
        (&job["data"], &job["context"]),
        (&event["data"], &event["context"])
    );
    // DL-20: one step in the job, all of them in a list of their own, newest first.
    assert_eq!(job["transitions"].as_array().unwrap().len(), 1);
    let path = format!("/api/jobs/{}", failing["id"].as_str().unwrap());
    let steps = started.get(&format!("{path}/transitions")).await;
    let states: Vec<_> = steps["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["state_after"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["awaiting", "failed", "executing", "acknowledged"]);

    crm.react(Reaction::status(200));
    let why = json!({"actor": "alice", "reason": "crm is repaired"});
    let retried = started.act(&format!("{path}/retry"), &why).await;
    assert_eq!(json_of(&retried, 200)["state"], "succeeded");
    let shown = started
        .get(&format!("/api/events/{}", accepted["id"].as_str().unwrap()))
        .await;
    let states: Vec<_> = shown["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| &job["state"])
        .collect();
    assert_eq!(states, ["succeeded", "succeeded"]);
    let list = started
        .get("/api/jobs?state=succeeded&destination=crm")
        .await;
    assert_eq!(list["items"][0]["id"], failing["id"]);
    let stats = started.get("/api/stats/jobs").await;
    assert_eq!(
        stats["items"][1],
        json!({
            "destination": "crm", "states": {"succeeded": 1}, "discarded_by_reason": {}, "attempts": 2, "oldest_due": null,
        })
    );
    let refused = started.act(&format!("{path}/retry"), &why).await;
    assert_eq!(code(&refused), (409, "job.bad_state".to_owned()));
}

#[tokio::test]
async fn what_cannot_be_submitted_or_found_is_refused_with_its_code() {
    let (crm, audit) = (Destination::start().await, Destination::start().await);
    let started = delivering(&crm, &audit).await;
    for (event, status, expected) in [
        (
            json!({"name": "a", "targets": ["mail"]}),
            404,
            "destination.not_found",
        ),
        (json!({"name": " "}), 400, "event.invalid"),
        (json!({"name": "a", "id": "order-7"}), 400, "event.bad_id"),
        (json!({"nam": "a"}), 400, "bad_request"),
    ] {
        let refused = started.event(&event).await;
        assert_eq!(code(&refused), (status, expected.to_owned()), "{event}");
    }
    for (path, expected) in [
        ("/api/jobs/0ujtsYcgvSTl8PAuAdqWYSMnLOv", "job.not_found"),
        ("/api/events/0ujtsYcgvSTl8PAuAdqWYSMnLOv", "event.not_found"),
        ("/api/jobs?destination=mail", "destination.not_found"),
        ("/api/jobs?namespace=other", "namespace.not_found"),
    ] {
        let refused = started.ask(Method::GET, path, &[], "").await;
        assert_eq!(code(&refused), (404, expected.to_owned()), "{path}");
    }
    let first = json_of(&started.event(&json!({"name": "a"})).await, 202);
    let again = started
        .event(&json!({"name": "a", "id": first["id"]}))
        .await;
    assert_eq!(code(&again), (409, "event.exists".to_owned()));
    let again = started
        .event(&json!({"name": "a", "id": first["id"], "idempotent": true}))
        .await;
    assert_eq!(json_of(&again, 202), first);
}

#[tokio::test]
async fn jobs_of_a_destination_that_is_gone_are_kept_and_continue_when_it_is_back() {
    let (crm, audit) = (Destination::start().await, Destination::start().await);
    crm.react(Reaction::status(503));
    let folder = tempfile::tempdir().unwrap();
    let start = async |module: &str| {
        let builder = Runtime::builder().admin(admin("127.0.0.1:0", None));
        Started::with(builder.data(folder.path()), module).await
    };
    let (with, without) = (
        module(&crm, &audit),
        module(&crm, &audit).replace("name: crm", "name: erp"),
    );
    let started = start(&with).await;
    let accepted = json_of(&started.event(&json!({"name": "a"})).await, 202);
    let job = &accepted["jobs"][0];
    started.job_once(&job["id"], "awaiting").await;
    started.runtime.shutdown().await;

    let started = start(&without).await;
    let kept = started.get("/api/deliveries?type=jobs/job.crm").await;
    assert_eq!(kept["items"][0]["address"], job["address"]);
    let why = json!({"actor": "alice", "reason": "not needed"});
    let path = format!(
        "/api/deliveries/{}/discard",
        job["address"].as_str().unwrap()
    );
    assert_eq!(
        json_of(&started.act(&path, &why).await, 200)["state"],
        "discarded"
    );
    started.runtime.shutdown().await;

    crm.react(Reaction::status(200));
    let started = start(&with).await;
    let path = format!("/api/jobs/{}/retry", job["id"].as_str().unwrap());
    assert_eq!(started.act(&path, &why).await.status, 200);
    started.job_once(&job["id"], "succeeded").await;
}

#[tokio::test]
async fn dl_25_jobs_that_were_given_up_are_sent_again_by_a_filter_after_a_dry_run() {
    let (crm, audit) = (Destination::start().await, Destination::start().await);
    crm.react(Reaction::status(503));
    audit.react(Reaction::status(503));
    let once = module(&crm, &audit).replace("realtime: true", "realtime: true, maxRetries: 0");
    let builder = Runtime::builder().admin(admin("127.0.0.1:0", None));
    let started = Started::with(builder, &once).await;
    let accepted = json_of(&started.event(&json!({"name": "order.paid"})).await, 202);
    let ids = [&accepted["jobs"][0]["id"], &accepted["jobs"][1]["id"]];
    for id in ids {
        started.job_once(id, "discarded").await;
    }
    crm.react(Reaction::status(200));
    audit.react(Reaction::status(200));
    let path = "/api/jobs/redrive?destination=crm&reason=exhausted";
    let mut why = json!({"actor": "alice", "reason": "it is repaired", "dry_run": true});
    let counted = json_of(&started.act(path, &why).await, 200);
    assert_eq!(counted, json!({"redriven": 1, "dry_run": true}));
    let job = started
        .get(&format!("/api/jobs/{}", ids[0].as_str().unwrap()))
        .await;
    assert_eq!(job["state"], "discarded");
    why["dry_run"] = json!(false);
    let counted = json_of(&started.act(path, &why).await, 200);
    assert_eq!(counted, json!({"redriven": 1, "dry_run": false}));
    started.job_once(ids[0], "succeeded").await;
    let other = started
        .get(&format!("/api/jobs/{}", ids[1].as_str().unwrap()))
        .await;
    assert_eq!(other["state"], "discarded");
}
