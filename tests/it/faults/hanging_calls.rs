//! Kind: what hangs is not shown. While a destination, or a function server, did not answer, `status` and `queues` showed nothing of it until the attempt
//! had failed.

use stateful_functions::runtime::Runtime;

use super::cli::statefun;
use super::hidden_attempts::{listed, started};
use crate::endpoint::{ASYNC, functions_at};
use crate::runtime::SAMPLES;
use crate::support::canned::{Answer, Canned};
use crate::support::destination::{Destination, Reaction};

#[tokio::test]
async fn an_attempt_at_a_destination_that_hangs_is_shown_with_its_beginning() {
    let destination = Destination::start().await;
    destination.react(Reaction::Hang);
    let module = format!(
        "kind: statefun.pipelines.v1/pipeline\nspec: {{name: p, stages: [{{http-export: {{url: '{}'}}}}]}}\n---\n{SAMPLES}",
        destination.url("/")
    );
    let started = started(Runtime::builder(), &module).await;
    assert_eq!(
        started.post("/send/pipelines/p/a", &[], "x").await.status,
        202
    );
    let shown = listed(&started, "destinations", |of| {
        of["attempts_in_progress"] == 1
    })
    .await;
    assert!(shown["oldest_attempt"].is_string(), "{shown}");
    assert!(shown["oldest_attempt_seconds"].is_u64(), "{shown}");
    for command in ["status", "queues"] {
        let (code, out, err) = statefun(&[command], &started.url("admin api", "")).await;
        assert_eq!(code, 0, "{err}");
        assert!(out.contains(", 1 attempt in progress, for up to "), "{out}");
    }
}

#[tokio::test]
async fn a_call_that_does_not_return_is_shown_with_its_beginning() {
    let server = Canned::always([], Answer::Stall(Vec::new())).await;
    let module = format!(
        "{SAMPLES}---\n{}",
        functions_at(&server.url("/").to_string(), ASYNC)
    );
    let started = started(Runtime::builder(), &module).await;
    assert_eq!(
        started.post("/send/example/f/a", &[], "x").await.status,
        202
    );
    let shown = listed(&started, "addresses", |of| of["activity"] == "in_flight").await;
    assert!(
        shown["since"].is_string() && shown["in_flight_seconds"].is_u64(),
        "{shown}"
    );
    let (_, out, _) = statefun(&["queues"], &started.url("admin api", "")).await;
    assert!(
        out.contains("example/f/a: call in progress, 1 message in flight, since "),
        "{out}"
    );
}
