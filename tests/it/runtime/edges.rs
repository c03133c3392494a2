//! Playground, file egress, remote functions.

use std::time::Duration;

use ::http::Method;
use ::http::StatusCode;
use stateful_functions::transport::http::serve;
use stateful_functions::{Address, BoxError};
use stateful_functions::{
    Context, EgressMessageBuilder, FunctionSpec, Message, MessageBuilder, StatefulFunctions,
    TypeName, ValueSpec, types,
};
use tokio::net::TcpListener;

use super::{SAMPLES, Started, text};
use crate::support::canned::{self, Canned};
use crate::support::ports::free_port;
use crate::support::served::served;

const SEEN: ValueSpec<i32> = ValueSpec::new("seen", types::INT);
const RECORD: TypeName = TypeName::new("io.statefun.playground/egress");

/// Counts, and sends a record to the playground.
async fn greet(context: &mut Context, message: Message) -> Result<(), BoxError> {
    let seen = context.storage().get(&SEEN)?.unwrap_or(0) + 1;
    context.storage().set(&SEEN, seen)?;
    let body = String::from_utf8_lossy(&message.raw_value().unwrap_or_default()).into_owned();
    let record = serde_json::json!({ "topic": "greetings", "payload": format!("{body} {seen}") })
        .to_string();
    context.send_egress(
        EgressMessageBuilder::to(RECORD)
            .raw("io.statefun.playground/EgressRecord", record.as_bytes()),
    );
    if let Some(caller) = context.caller().cloned() {
        context.send(MessageBuilder::to(caller).value(seen));
    }
    Ok(())
}

/// A function server on a port of its own.
async fn function_server() -> u16 {
    let spec = FunctionSpec::new(TypeName::new("example/greeter"), greet).value(SEEN);
    let functions = StatefulFunctions::new().with(spec).unwrap();
    served(functions).await.port()
}

fn playground(port: u16) -> String {
    format!(
        "{SAMPLES}---
kind: io.statefun.endpoints.v2/http
spec: {{functions: example/*, urlPathTemplate: 'http://127.0.0.1:{port}/{{function.name}}'}}
---
kind: io.statefun.playground.v1/ingress
spec: {{port: 0}}
---
kind: io.statefun.playground.v1/egress
spec: {{port: 0, topics: [greetings]}}
"
    )
}

/// Fetches records of a topic until there is one.
async fn fetch(started: &Started) -> String {
    loop {
        let answer = started
            .request(Method::GET, "playground egress", "/greetings", &[], "")
            .await;
        match answer.status {
            StatusCode::OK => return text(&answer).to_owned(),
            StatusCode::NOT_FOUND => tokio::task::yield_now().await,
            other => panic!("{other}: {}", text(&answer)),
        }
    }
}

#[tokio::test]
async fn sf_61_playground_records_come_in_order_and_survive_a_restart() {
    let port = function_server().await;
    let folder = tempfile::tempdir().unwrap();
    let started = Started::on_disk(folder.path(), &playground(port)).await;
    let typed = [("content-type", "application/vnd.shop/order")];
    for n in 0..3 {
        let sent = started
            .request(
                Method::POST,
                "playground ingress",
                "/example/greeter/a",
                &typed,
                &format!("n{n}"),
            )
            .await;
        assert_eq!(
            (sent.status.as_u16(), &sent.headers["status"]),
            (200, &"200".parse::<::http::HeaderValue>().unwrap())
        );
    }
    assert_eq!(fetch(&started).await, "n0 1");
    // Whatever of the rest was fetched before the stop, nothing is gone after it.
    started.runtime.shutdown().await;
    let started = Started::on_disk(folder.path(), &playground(port)).await;
    assert_eq!(fetch(&started).await, "n1 2");
    assert_eq!(fetch(&started).await, "n2 3");

    let unknown = started
        .request(Method::GET, "playground egress", "/other", &[], "")
        .await;
    assert_eq!(unknown.status, 405);
    let empty = started
        .request(Method::GET, "playground egress", "/greetings", &[], "")
        .await;
    assert_eq!(
        (empty.status.as_u16(), &empty.headers["status"]),
        (404, &"404".parse::<::http::HeaderValue>().unwrap())
    );
    let path = started
        .request(
            Method::POST,
            "playground ingress",
            "/example/greeter",
            &[],
            "x",
        )
        .await;
    assert_eq!(path.status, 400);
}

#[tokio::test]
async fn a_remote_function_keeps_its_state_in_the_runtime() {
    let started = Started::ephemeral(&playground(function_server().await)).await;
    for seen in ["1", "2", "3"] {
        assert_eq!(
            text(&started.post("/call/example/greeter/bob", &[], "hi").await),
            seen
        );
    }
    assert_eq!(
        text(&started.post("/call/example/greeter/eve", &[], "hi").await),
        "1"
    );
}

#[tokio::test]
async fn a_function_server_that_starts_late_gets_all_waiting_messages() {
    let port = free_port();
    let started = Started::ephemeral(&playground(port)).await;
    for _ in 0..5 {
        assert_eq!(
            started
                .post("/send/example/greeter/bob", &[], "hi")
                .await
                .status,
            202
        );
    }
    let spec = FunctionSpec::new(TypeName::new("example/greeter"), greet).value(SEEN);
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    tokio::spawn(serve(listener, StatefulFunctions::new().with(spec).unwrap()).into_future());
    assert_eq!(
        text(&started.post("/call/example/greeter/bob", &[], "hi").await),
        "6"
    );
}

#[tokio::test]
async fn records_for_a_file_are_lines_of_json_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let module = format!(
        "{SAMPLES}---\nkind: statefun.file.v1/egress\nspec: {{id: statefun.samples/out, path: '{}'}}\n",
        path.display()
    );
    let started = Started::ephemeral(&module).await;
    for n in 0..3 {
        let body = format!(r#"{{"after":"1ms","text":"remember {n}"}}"#);
        let json = [("content-type", "application/json")];
        assert_eq!(
            started
                .post(
                    &format!("/send/statefun.samples/reminder/{n}"),
                    &json,
                    &body
                )
                .await
                .status,
            202
        );
    }
    let lines = loop {
        let text = tokio::fs::read_to_string(&path).await.unwrap_or_default();
        if text.lines().count() == 3 {
            break text;
        }
        tokio::task::yield_now().await;
    };
    let mut values: Vec<String> = lines
        .lines()
        .map(|line| {
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(json["egress"], "statefun.samples/out");
            json["value"].as_str().unwrap().to_owned()
        })
        .collect();
    values.sort();
    assert!(
        values
            .iter()
            .enumerate()
            .all(|(n, value)| value.contains(&format!("remember {n}"))),
        "{values:?}"
    );
}

#[tokio::test]
async fn the_library_calls_functions_without_a_socket() {
    let started = Started::ephemeral(SAMPLES).await;
    let counter = Address::new(TypeName::new("statefun.samples/counter"), "x");
    started
        .runtime
        .send(&MessageBuilder::to(counter.clone()).value(2))
        .await
        .unwrap();
    let answer = started
        .runtime
        .call(
            &MessageBuilder::to(counter).value(3),
            Duration::from_secs(5),
        )
        .await
        .unwrap();
    assert_eq!(answer.require(&types::LONG).unwrap(), 5);
}

#[tokio::test]
async fn sf_07_requests_to_functions_carry_exactly_the_headers_of_their_transport() {
    for (transport, expected) in [
        (
            "io.statefun.transports.v1/async",
            vec![
                ("content-type", "application/octet-stream"),
                ("accept", "application/octet-stream"),
                ("accept-encoding", "gzip,deflate"),
                ("connection", "keep-alive"),
                ("user-agent", "statefun"),
                ("host", "HOST"),
                ("content-length", "LENGTH"),
            ],
        ),
        (
            "io.statefun.transports.v1/okhttp",
            vec![
                ("Content-Type", "application/octet-stream"),
                ("Content-Length", "LENGTH"),
                ("Host", "HOST"),
                ("Connection", "Keep-Alive"),
                ("Accept-Encoding", "gzip"),
                ("User-Agent", "okhttp/3.14.6"),
            ],
        ),
    ] {
        let server = Canned::start([canned::ok(
            "content-type: application/octet-stream\r\n",
            b"",
        )])
        .await;
        let module = format!(
            "{SAMPLES}---
kind: io.statefun.endpoints.v2/http
spec:
  functions: example/*
  urlPathTemplate: {}
  transport: {{type: {transport}}}
",
            server.url("/statefun?a=%20b")
        );
        let started = Started::ephemeral(&module).await;
        assert_eq!(
            started
                .post("/send/example/greeter/bob", &[], "hi")
                .await
                .status,
            202
        );
        let request = loop {
            match server.received().pop() {
                Some((_, request)) => break request,
                None => tokio::task::yield_now().await,
            }
        };
        let mut lines = request.head.lines();
        assert_eq!(lines.next(), Some("POST /statefun?a=%20b HTTP/1.1"));
        let (host, length) = (server.address.to_string(), request.body.len().to_string());
        let expected: Vec<String> = expected
            .into_iter()
            .map(|(name, value)| {
                format!(
                    "{name}: {}",
                    value.replace("HOST", &host).replace("LENGTH", &length)
                )
            })
            .collect();
        let sent: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
        assert_eq!(sent, expected, "{transport}");
    }
}
