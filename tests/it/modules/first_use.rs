//! Faults that StateFun finds at the first message of a function, and the failure of that message here.

use std::fmt::Write as _;

use http::Method;
use serde_json::Value;
use stateful_functions::runtime::{Runtime, RuntimeConfig};

use super::parse;
use crate::runtime::{Started, admin, text};
use crate::support::until::until;

const LAZY: [(&str, &str, &str); 10] = [
    (
        "http://x/",
        "{call: 3 fortnights}",
        "Unable to parse Netty transport spec. Time interval unit label 'fortnights'",
    ),
    (
        "http://x/",
        "{timeouts: {call: 0}}",
        "Timeout durations must be larger than 0.",
    ),
    (
        "https://x/",
        "{client_key: key.pem}",
        "You need to provide both the cert and they key if you want to use mutual TLS.",
    ),
    (
        "http://x/",
        "{type: io.statefun.transports.v1/okhttp, timeouts: {connect: 2m}}",
        "Unable to parse transport client properties when creating client: Connect timeout cannot be larger than request timeout.",
    ),
    (
        "http://x/{name}",
        "{}",
        "Illegal character in path at index 9: http://x/{name}",
    ),
    ("http+unix:///f.sock/x", "{}", "hostname can't be null"),
    (
        "http+unix:///f/x",
        "{type: io.statefun.transports.v1/okhttp}",
        "Unix Domain Socket path should contain a .sock file",
    ),
    (
        "http://x/",
        "{pool_size: 0}",
        "maxConnections : 0 (expected: > 0)",
    ),
    (
        "http://x/",
        "{pool_size: -4}",
        "maxConnections : -4 (expected: > 0)",
    ),
    (
        "http://x/",
        "{payload_max_bytes: -1}",
        "maxContentLength : -1 (expected: >= 0)",
    ),
];

#[tokio::test]
async fn sf_57_the_first_message_fails_as_the_warning_said() {
    let mut module = "kind: statefun.http.v1/ingress\nspec: {listen: '127.0.0.1:0'}\n".to_owned();
    for (n, (url, transport, _)) in LAZY.iter().enumerate() {
        let _ = write!(
            module,
            "---\nkind: io.statefun.endpoints.v2/http\nspec: {{functions: lazy{n}/f, urlPathTemplate: \"{url}\", transport: {transport}}}\n"
        );
    }
    let warnings = parse(&module).unwrap().warnings;
    let mut config = RuntimeConfig::default();
    config.failure.attempts = Some(1.try_into().unwrap());
    let started = Started::with(Runtime::builder().config(config).admin(admin()), &module).await;

    for (n, (_, _, expected)) in LAZY.iter().enumerate() {
        let path = format!("/send/lazy{n}/f/a");
        let answer = started.post(&path, &[], "hi").await;
        assert_eq!(answer.status, 202, "{}", text(&answer));
        let name = format!("lazy{n}/f/a");
        let failure = until("a failure", async || {
            let queues = started.request(Method::GET, "admin api", "/api/queues", &[], "");
            let queues: Value = serde_json::from_slice(&queues.await.body).unwrap();
            let addresses = queues["addresses"].as_array().unwrap().clone();
            let mut found = addresses
                .into_iter()
                .filter(|found| found["address"] == name);
            Some(found.next()?["last_failure"].as_str()?.to_owned())
        })
        .await;
        let warning = warnings[n].clone().as_upstream().message;
        assert!(
            warnings[n].is_lazy_fault && warning.contains(expected),
            "{warning}"
        );
        assert_eq!(failure, warning);
    }
    started.runtime.shutdown().await;
}
