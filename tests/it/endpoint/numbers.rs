//! What operators see of attempts: metrics, and an occasional line of the log.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

use super::{ASYNC, Caller, fine, status};
use crate::support::canned::{Canned, ok};

#[tokio::test]
async fn sf_52_failed_attempts_and_their_latency_are_counted_by_type() {
    let bad = status("500 Error");
    let server = Canned::always([bad.clone(), bad], fine()).await;
    let caller = Caller::new(&server.url("/").to_string(), ASYNC).await;
    assert_eq!(caller.failed_attempts().await, 0);
    caller.send("a").await;
    caller.succeeds(1).await;
    let metrics = caller.get("/metrics").await;
    let labels = "{namespace=\"example\",name=\"f\"}";
    for line in [
        format!("statefun_functions_remoteInvocationFailures_total{labels} 2"),
        format!("statefun_functions_remoteInvocationLatency_count{labels} 3"),
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}\n{metrics}"
        );
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn the_reason_is_logged_from_the_first_attempt_on_and_not_each_time() {
    let log = Log::default();
    // Everything that calls runs on this thread.
    let _guard = tracing_subscriber::fmt()
        .with_writer(log.clone())
        .with_ansi(false)
        .finish()
        .set_default();
    let bad = ok("content-type: text/secret-type\r\n", b"secret answer");
    let server = Canned::always(vec![bad; 6], fine()).await;
    let caller = Caller::new(&server.url("/?token=secret").to_string(), ASYNC).await;
    let answer = caller
        .started
        .post("/send/example/f/bob", &[], "secret question")
        .await;
    assert_eq!(answer.status, 202);
    caller.succeeds(1).await;
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("attempt to call"))
        .collect();
    assert_eq!(lines.len(), 1, "{log}");
    for part in [
        "WARN",
        "address=example/f/bob",
        "attempt=1",
        "cause=Unexpected content type text/secret-type",
    ] {
        assert!(lines[0].contains(part), "{part}: {}", lines[0]);
    }
    for payload in ["secret answer", "secret question", "token"] {
        assert!(!log.contains(payload), "{payload}: {log}");
    }
}
