//! `statefun run --strict`: a final failure ends the application, as it ends a job.

use std::time::Duration;

use super::embedded::Embedded;
use crate::support::reply::Reply;
use crate::support::scripted::{Scripted, Step};
use crate::support::until::until;

/// `test/*` at the server, where any answer but a success fails at once.
fn module(server: &Scripted) -> String {
    format!(
        "kind: io.statefun.endpoints.v2/http
spec: {{functions: test/*, urlPathTemplate: '{}', transport: {{type: io.statefun.transports.v1/okhttp}}}}
",
        server.url()
    )
}

fn batches(server: &Scripted, address: &str) -> Vec<usize> {
    let seen = server.seen(address);
    seen.iter()
        .map(|seen| seen.batch.invocations.len())
        .collect()
}

#[tokio::test]
async fn sf_44_a_strict_application_ends_with_the_whole_failure_and_continues_at_the_next_start() {
    let server = Scripted::start().await;
    let not_found = || Step::status("404 Not Found");
    server.script("test/f/bad", [not_found().held(), not_found()]);
    let place = Embedded::new(&module(&server), &["--strict", "--attempts", "2"]);
    let process = place.start();
    place.feed(&process, "test/f/bad", "test/text", b"1").await;
    until("the first call", async || {
        (!server.seen("test/f/bad").is_empty()).then_some(())
    })
    .await;
    place.feed(&process, "test/f/bad", "test/text", b"2").await;
    server.release("test/f/bad");
    let (code, told) = Embedded::ended(process).await;
    assert_eq!(code, Some(1), "{told}");
    assert!(
        told.contains("statefun: test/f/bad has failed for good, at attempt 2 with a batch of 1: An error occurred when attempting to invoke function FunctionType(test, f).: Failure forwarding a message to a remote function Address(test, f, bad): Non successful HTTP response code 404"),
        "{told}"
    );
    assert_eq!(batches(&server, "test/f/bad"), [1, 1]);
    let [first, second] = &server.seen("test/f/bad")[..] else {
        panic!("two calls");
    };
    assert_eq!(first.raw, second.raw);
    assert!(
        second.at - first.at >= Duration::from_secs(1),
        "the restart delay"
    );

    let mut process = place.start();
    until("the batch of both", async || {
        (batches(&server, "test/f/bad") == [1, 1, 2]).then_some(())
    })
    .await;
    assert_eq!(process.terminate(), Some(0));
}

#[tokio::test]
async fn sf_43_a_token_collision_ends_a_strict_application() {
    let server = Scripted::start().await;
    let armed = |value| Reply::new().armed(3_600_000, "test/f/y", value, "t");
    let first = armed("1").send("test/g/x", "");
    server.script("test/f/x", [Step::reply(first)]);
    server.script("test/g/x", [Step::reply(armed("2"))]);
    let place = Embedded::new(&module(&server), &["--strict"]);
    let process = place.start();
    place.feed(&process, "test/f/x", "test/text", b"").await;
    let (code, told) = Embedded::ended(process).await;
    assert_eq!(code, Some(1), "{told}");
    assert!(
        told.contains("test/g/x has failed for good") && told.contains("armed by test/f/x"),
        "{told}"
    );
}

#[tokio::test]
async fn with_on_error_park_a_strict_application_continues() {
    let server = Scripted::start().await;
    server.script("test/f/bad", [Step::status("404 Not Found")]);
    let flags = ["--strict", "--attempts", "1", "--on-error", "park"];
    let place = Embedded::new(&module(&server), &flags);
    let mut process = place.start();
    place.feed(&process, "test/f/bad", "test/text", b"").await;
    until("the call", async || {
        (!server.seen("test/f/bad").is_empty()).then_some(())
    })
    .await;
    place.feed(&process, "test/f/good", "test/text", b"").await;
    until("the other call", async || {
        (!server.seen("test/f/good").is_empty()).then_some(())
    })
    .await;
    assert_eq!(process.terminate(), Some(0));
}
