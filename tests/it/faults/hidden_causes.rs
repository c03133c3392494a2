//! Kind: the cause is known and not shown. A function's own error, the body of its 500, was thrown away: the log, `queues` and the answer to a call
//! said `Unexpected response code 500`. A record for an unbound egress was "no answer within 2s" to the caller. And
//! every text began with names of Java classes.

use std::time::Duration;

use stateful_functions::runtime::{FailurePolicy, IntakeError, Runtime, RuntimeConfig};
use stateful_functions::{
    Address, BoxError, Context, EgressMessageBuilder, FunctionSpec, Message, MessageBuilder,
    StatefulFunctions, TypeName,
};

use super::hidden_attempts::{listed, no_database, started};
use crate::endpoint::{ASYNC, functions_at};
use crate::support::canned::{Answer, Canned};

const INGRESS: &str = "kind: statefun.http.v1/ingress
spec: {listen: '127.0.0.1:0'}
---
";

/// The first failure of `example/f/a` at this server, under this policy.
async fn failure(answer: Answer, transport: &str, failure: FailurePolicy) -> String {
    let server = Canned::always([], answer).await;
    let url = server.url("/").to_string();
    failure_at(&url, transport, failure).await
}

async fn failure_at(url: &str, transport: &str, failure: FailurePolicy) -> String {
    let module = format!("{INGRESS}{}", functions_at(url, transport));
    let mut config = RuntimeConfig::default();
    config.failure = failure;
    let started = started(Runtime::builder().config(config), &module).await;
    let sent = started.post("/send/example/f/a", &[], "hi").await;
    assert_eq!(sent.status, 202);
    let entry = listed(&started, "addresses", |entry| {
        entry["activity"] == "backs_off"
    })
    .await;
    entry["last_failure"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_first_line_of_a_functions_error_is_its_failure() {
    let transport = format!("{ASYNC}, call: 50ms");
    let text = failure(no_database(), &transport, FailurePolicy::default()).await;
    let cause = "Unexpected response code 500 (Internal Server Error): no database; ";
    assert!(text.starts_with(cause), "{text}");
    assert!(text.ends_with("within 50 ms"), "{text}");
    assert!(!text.contains("greeter.py"), "the first line only: {text}");
    assert!(!text.contains("Exception"), "{text}");
}

#[tokio::test]
async fn what_to_do_follows_the_cause() {
    let policy = FailurePolicy::default;
    let okhttp = "type: io.statefun.transports.v1/okhttp";
    let status =
        |line: &str| Answer::Bytes(format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n").into());
    for (answer, expected) in [
        (
            status("404 Not Found"),
            "Non successful HTTP response code 404; correct `urlPathTemplate`: no function server answers there",
        ),
        (
            status("307 Temporary Redirect"),
            "Non successful HTTP response code 307; write the URL that it leads to into `urlPathTemplate`",
        ),
        (
            status("200 OK"),
            "Wrong HTTP content-type null; is a function server at this URL? It answers with `content-type: application/octet-stream`",
        ),
    ] {
        assert_eq!(failure(answer, okhttp, policy()).await, expected);
    }

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let short = format!("{ASYNC}, call: 20ms");
    let text = failure_at(&format!("http://{address}/"), &short, policy()).await;
    let cause = format!(
        "no connection (POST http://{address}/): Connection refused (os error 111); start the function server, or correct `urlPathTemplate`; "
    );
    assert!(text.starts_with(&cause), "{text}");

    let hangs = Answer::Stall(Vec::new());
    let text = failure(hangs, &short, policy()).await;
    let remedy = "make the function answer faster, or raise the time limits of its transport; the one attempt took all of 20 ms";
    assert!(text.starts_with("no complete response within "), "{text}");
    assert!(text.ends_with(remedy), "{text}");
}

#[tokio::test]
async fn statefuns_own_words_are_used_under_strict_only() {
    let transport = format!("{ASYNC}, call: 50ms");
    let text = failure(no_database(), &transport, FailurePolicy::strict()).await;
    assert_eq!(
        text,
        "Failure forwarding a message to a remote function Address(example, f, a): RequestTimeoutException: no answer within 50 ms; last attempt: Unexpected response code 500 (Internal Server Error): no database"
    );
}

/// Sends a record to an egress that is not bound.
async fn ships(context: &mut Context, _message: Message) -> Result<(), BoxError> {
    let egress = TypeName::new("shop/orders");
    context.send_egress(EgressMessageBuilder::to(egress).value("1"));
    Ok(())
}

#[tokio::test]
async fn an_egress_that_is_not_bound_is_named_to_the_caller_and_in_the_queues() {
    let functions = StatefulFunctions::new()
        .with(FunctionSpec::new(TypeName::new("shop/cart"), ships))
        .unwrap();
    let builder = Runtime::builder().functions(functions);
    let started = started(builder, INGRESS.trim_end_matches("---\n")).await;
    let cart = Address::new(TypeName::new("shop/cart"), "a");
    let message = MessageBuilder::to(cart).value("order");
    let call = started.runtime.call(&message, Duration::from_millis(100));
    let Err(error @ IntakeError::Timeout { .. }) = call.await else {
        panic!("an answer of nobody");
    };
    let cause = "egress shop/orders is not bound; add an egress with this id to the module, or bind one with `RuntimeBuilder::egress`";
    let text = format!(
        "{cause} (shop/cart/a: its batch failed once, and it is tried again); no answer within 100 ms, and the message stays accepted"
    );
    assert_eq!(error.to_string(), text);
    let entry = listed(&started, "addresses", |entry| entry["failures"] == 1).await;
    assert_eq!(entry["last_failure"], cause);
}
