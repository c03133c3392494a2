//! A stop does not wait for retries.

use stateful_functions::runtime::Runtime;
use stateful_functions::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest};

use super::{ASYNC, Caller, OKHTTP, fine, status};
use crate::runtime::text;
use crate::support::canned::{Answer, Canned};
use crate::support::until::until;

#[tokio::test]
async fn sf_31_a_stop_ends_the_wait_for_another_attempt_and_the_next_start_sends_the_batch_again() {
    for (transport, waits) in [(ASYNC, 10), (OKHTTP, 8)] {
        let folder = tempfile::tempdir().unwrap();
        let bad = if transport == ASYNC {
            status("404 Not Found")
        } else {
            Answer::Last(Vec::new())
        };
        let server = Canned::always(vec![bad.clone(); waits], bad).await;
        let url = server.url("/").to_string();
        let caller = Caller::with(Runtime::builder().data(folder.path()), &url, transport).await;
        caller.send("a").await;
        // From here on it waits for more than a second.
        until("many attempts", async || {
            (caller.failed_attempts().await == waits as u64).then_some(())
        })
        .await;
        let stopping = caller.started.runtime.shutdown();
        let stopped = tokio::time::timeout(std::time::Duration::from_secs(1), stopping).await;
        assert!(stopped.is_ok(), "it waited for the next attempt");
        assert_eq!(server.received().len(), waits, "{transport}");
        let (_, before) = server.received().swap_remove(0);

        // It did not count as a failure, after which the address would be parked.
        let again = Canned::always([], fine()).await;
        let url = again.url("/").to_string();
        let caller = Caller::with(Runtime::builder().data(folder.path()), &url, transport).await;
        caller.succeeds(1).await;
        assert_eq!(again.received()[0].1.body, before.body);
        caller.started.runtime.shutdown().await;
    }
}

#[tokio::test]
async fn an_attempt_in_progress_may_finish_when_the_runtime_stops() {
    let server = Canned::always([], fine()).await;
    let caller = Caller::new(&server.url("/").to_string(), ASYNC).await;
    caller.send("a").await;
    until("the request", async || {
        (!server.received().is_empty()).then_some(())
    })
    .await;
    caller.started.runtime.shutdown().await;
}

#[tokio::test]
async fn a_request_whose_answer_cannot_come_any_more_is_answered_when_the_runtime_stops() {
    let server = Canned::always([], status("404 Not Found")).await;
    let caller = Caller::new(&server.url("/").to_string(), ASYNC).await;
    let url = caller.started.url("http ingress", "/call/example/f/a");
    let request = HttpRequest::post(url.parse().unwrap(), "hi");
    let client = HttpClient::new(HttpClientConfig::default()).unwrap();
    let limit = std::time::Duration::from_secs(60);
    let waiting = tokio::spawn(async move { client.send(request, limit).await.unwrap() });
    until("some attempts", async || {
        (caller.failed_attempts().await >= 5).then_some(())
    })
    .await;
    caller.started.runtime.shutdown().await;
    let answer = waiting.await.unwrap();
    assert_eq!(answer.status, 503, "{}", text(&answer));
    assert!(
        text(&answer).contains("runtime.stopping"),
        "{}",
        text(&answer)
    );
}
