//! Kind: what a user sent goes through a document that cannot hold it. The data of an event lost digits in `statefun jobs submit` and in
//! `GET /api/jobs/<id>`, where the context became null; `GET /api/events/<id>` ended the connection without an answer.

use http::Method;
use serde_json::Value;
use stateful_functions::runtime::Runtime;

use super::cli::statefun;
use super::hidden_attempts::{get, started};
use crate::runtime::{SAMPLES, Started, text};
use crate::support::until::until;

/// Values that are JSON, but no `serde_json::Value`, or not the same one.
fn values() -> [String; 4] {
    let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
    [
        r#"{"total":123456789012345678901234567890.123456789}"#.to_owned(),
        r#"{"total":1e400,"twice":1,"twice":2}"#.to_owned(),
        r#""\ud800""#.to_owned(),
        deep,
    ]
}

/// One destination, whose jobs wait for an hour.
async fn waiting() -> Started {
    let jobs = "kind: statefun.jobs.v1/destinations
spec: {destinations: [{name: crm, http: {url: 'http://127.0.0.1:1/'}}]}
";
    started(Runtime::builder(), &format!("{jobs}---\n{SAMPLES}")).await
}

fn id(accepted: &Value, pointer: &str) -> String {
    accepted
        .pointer(pointer)
        .unwrap()
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn events_and_jobs_are_shown_with_their_data_as_it_was_sent() {
    let started = waiting().await;
    for value in values() {
        let event = format!(r#"{{"name":"paid","context":{value},"data":{value}}}"#);
        let post = started.request(Method::POST, "admin api", "/api/events", &[], &event);
        let accepted: Value = serde_json::from_str(text(&post.await)).unwrap();
        for path in [
            format!("/api/events/{}", id(&accepted, "/id")),
            format!("/api/jobs/{}", id(&accepted, "/jobs/0/id")),
        ] {
            // The event is accepted with its jobs; that a job has arrived is seen a moment later.
            let shown = until("the job", async || {
                let shown = get(&started, &path).await;
                shown.contains(r#""data":"#).then_some(shown)
            })
            .await;
            for field in ["context", "data"] {
                let field = format!(r#""{field}":{value}"#);
                assert!(shown.contains(&field), "{field} is not in {shown}");
            }
        }
    }
}

#[tokio::test]
async fn the_command_line_submits_and_shows_data_as_it_is() {
    let started = waiting().await;
    let admin = started.url("admin api", "");
    for value in values() {
        let submit = ["jobs", "submit", "paid", "-d", &value, "--json"];
        let (code, accepted, err) = statefun(&submit, &admin).await;
        assert_eq!((code, err.as_str()), (0, ""), "{accepted}");
        let accepted: Value = serde_json::from_str(&accepted).unwrap();
        let (event, job) = (id(&accepted, "/id"), id(&accepted, "/jobs/0/id"));
        for (command, id) in [("event", &event), ("show", &job)] {
            let (code, shown, err) = statefun(&["jobs", command, id, "--json"], &admin).await;
            assert_eq!((code, err.as_str()), (0, ""), "{shown}");
            let data = format!(r#""data":{value}"#);
            assert!(shown.contains(&data), "{data} is not in {shown}");
            let (code, shown, err) = statefun(&["jobs", command, id], &admin).await;
            assert_eq!((code, err.as_str()), (0, ""), "{shown}");
            assert!(shown.contains(&job), "{shown}");
        }
    }
}
