//! The same servers under the real runtime and under ours: the requests and the texts of failures are the same.

use std::future::IntoFuture;
use std::time::Duration;

use stateful_functions::transport::http::serve;
use stateful_functions::{
    Address, BoxError, Context, EgressMessageBuilder, FunctionSpec, Message, MessageBuilder,
    StatefulFunctions, TypeName, types,
};
use tokio::net::UnixListener;

use super::{ASYNC, Caller, NO_EFFECTS, OKHTTP, bodies, fine, functions_at, mutual_tls, status};
use crate::support::canned::{Answer, Canned, ok};
use crate::support::flink::{Flink, Settings};
use crate::support::until::until;

const OCTET_STREAM: &str = "content-type: application/octet-stream\r\n";

const EXHAUSTED: &str = "Maximal request time has elapsed.";

fn typed(content_types: &[&str]) -> Answer {
    let lines = content_types
        .iter()
        .map(|value| format!("content-type: {value}\r\n"));
    ok(&lines.collect::<String>(), NO_EFFECTS)
}

fn encoded(encoding: &str, body: &[u8]) -> Answer {
    ok(
        &format!("{OCTET_STREAM}content-encoding: {encoding}\r\n"),
        body,
    )
}

/// A status with one more header.
fn with(line: &str, header: &str) -> Answer {
    Answer::Bytes(format!("HTTP/1.1 {line}\r\n{header}\r\ncontent-length: 0\r\n\r\n").into_bytes())
}

fn cut() -> Answer {
    Answer::Last(
        format!("HTTP/1.1 200 OK\r\n{OCTET_STREAM}content-length: 10\r\n\r\nhalf").into_bytes(),
    )
}

fn none() -> Answer {
    Answer::Last(Vec::new())
}

/// After these answers a server behaves.
fn recovering(transport: &str) -> Vec<Vec<Answer>> {
    let no_content = format!("HTTP/1.1 204 No Content\r\n{OCTET_STREAM}\r\n");
    let mut both = vec![
        vec![],
        vec![status("500 X"), status("503 X")],
        vec![status("408 X"), status("408 X"), status("408 X")],
        vec![with("408 X", "retry-after: 1")],
        vec![
            with("408 X", "retry-after: 0"),
            with("503 X", "retry-after: 0"),
        ],
        vec![
            with("503 X", "retry-after: 0"),
            with("503 X", "retry-after: 0"),
        ],
        vec![with("302 X", "location: /elsewhere?a=%20b")],
        vec![with("303 X", "location: elsewhere"), status("409 X")],
        vec![none(), none()],
        vec![fine(), none()],
        vec![Answer::Last(b"SSH\r\n\r\n".to_vec())],
        vec![typed(&["text/plain", "application/octet-stream"])],
        vec![Answer::Bytes(no_content.into())],
        vec![encoded("gzip", &bodies::gzip(NO_EFFECTS))],
    ];
    if transport == ASYNC {
        both.extend([
            vec![status("404 X"), status("307 X"), status("200 X")],
            vec![typed(&["Application/Octet-Stream"])],
            vec![typed(&["text/plain, application/octet-stream"])],
            vec![typed(&["application/octet-stream; charset=utf-8"])],
            vec![typed(&["application/octet-stream", "text/plain"])],
            vec![ok(OCTET_STREAM, b"garbage")],
            vec![cut()],
            vec![encoded("deflate", &bodies::deflate(NO_EFFECTS))],
        ]);
    }
    both
}

fn message(value: i32) -> Message {
    let target = Address::new("example/f".parse().unwrap(), "a");
    MessageBuilder::to(target).value(value)
}

/// Feeds one message, and a second one while the first is on its way; every request up to the second one's.
async fn asked(server: &Canned, feed: &mut impl FnMut(&Message)) -> Vec<String> {
    feed(&message(1));
    until("a request", async || {
        (!server.received().is_empty()).then_some(())
    })
    .await;
    feed(&message(2));
    until("the second batch", async || {
        let received = server.received();
        let first = &received[0].1.body;
        let is_second = |body: &Vec<u8>| !body.is_empty() && body != first;
        let last = received
            .iter()
            .position(|(_, request)| is_second(&request.body))?;
        let host = server.address.to_string();
        let requests = received.iter().take(last + 1);
        Some(
            requests
                .map(|(_, request)| request.head.replace(&host, "HOST"))
                .collect(),
        )
    })
    .await
}

#[tokio::test]
async fn sf_24_sf_25_a_server_that_recovers_gets_the_requests_of_the_real_runtime() {
    for transport in [ASYNC, OKHTTP] {
        for (number, answers) in recovering(transport).into_iter().enumerate() {
            let server = Canned::always(answers.clone(), fine()).await;
            let module = functions_at(&server.url("/").to_string(), transport);
            let settings = Settings::capturing([]).without_restarts();
            let Some(mut flink) = Flink::start(&module, settings).await else {
                return;
            };
            let theirs = asked(&server, &mut |message| flink.feed(message)).await;
            flink.stop().await;

            let server = Canned::always(answers, fine()).await;
            let caller = Caller::new(&server.url("/").to_string(), transport).await;
            let sender = &caller.started.runtime;
            let (send, mut queue) = tokio::sync::mpsc::unbounded_channel::<Message>();
            let sending = async {
                while let Some(message) = queue.recv().await {
                    sender.send(&message).await.unwrap();
                }
            };
            let asking = async move {
                let mut send = Some(send);
                let asked = asked(&server, &mut |message| {
                    send.as_ref().unwrap().send(message.clone()).unwrap();
                })
                .await;
                send.take();
                asked
            };
            let (ours, ()) = tokio::join!(asking, sending);
            assert_eq!(ours, theirs, "{transport}, number {number}");
        }
    }
}

#[tokio::test]
async fn sf_24_sf_25_a_call_that_fails_for_good_has_the_text_of_the_real_runtime() {
    let short = |budget: u32| {
        format!(
            "{OKHTTP}, timeouts: {{call: {budget}ms, connect: 200ms, read: 200ms, write: 200ms}}"
        )
    };
    for (transport, answer) in [
        (OKHTTP.to_owned(), status("404 X")),
        (OKHTTP.to_owned(), with("308 X", "location: /elsewhere")),
        (
            OKHTTP.to_owned(),
            with("302 X", "location: ftp://elsewhere"),
        ),
        (OKHTTP.to_owned(), typed(&[])),
        (OKHTTP.to_owned(), typed(&["Application/Octet-Stream"])),
        (
            OKHTTP.to_owned(),
            typed(&["application/octet-stream; charset=utf-8"]),
        ),
        (
            OKHTTP.to_owned(),
            typed(&["application/octet-stream", "text/plain"]),
        ),
        (OKHTTP.to_owned(), ok(OCTET_STREAM, b"garbage")),
        (OKHTTP.to_owned(), cut()),
        (short(700), status("503 X")),
        (short(700), none()),
        (format!("{ASYNC}, call: 50ms"), status("404 X")),
        (format!("{ASYNC}, call: 50ms"), Answer::Stall(Vec::new())),
    ] {
        let server = Canned::always([], answer).await;
        let url = server.url("/").to_string();
        let settings = Settings::capturing([]).without_restarts();
        let Some(mut flink) = Flink::start(&functions_at(&url, &transport), settings).await else {
            return;
        };
        flink.feed(&message(1));
        let end = flink.ended().await;
        let causes: Vec<_> = end.causes.iter().collect();
        let forwarding = "Failure forwarding a message to a remote function Address(example, f, a)";
        let at = causes.iter().position(|cause| cause.message == forwarding);
        let theirs = causes[at.unwrap() + 1];
        let words = match theirs.message.as_str() {
            "" | "null" => theirs.class.rsplit('.').next().unwrap(),
            // An attempt at the end of the budget may see an answer or not.
            message if message.starts_with(EXHAUSTED) => EXHAUSTED,
            message => message,
        };

        let caller = Caller::new(&url, &transport).await;
        tokio::time::timeout(
            Duration::from_secs(60),
            caller.started.runtime.send(&message(1)),
        )
        .await
        .unwrap()
        .unwrap();
        let ours = caller.failure().await;
        assert!(
            ours.starts_with(words),
            "{transport}\nours: {ours}\ntheirs: {causes:?}"
        );
    }
}

#[tokio::test]
async fn sf_29_the_real_runtime_reads_the_same_files_for_mutual_tls() {
    let data = crate::support::tls::DATA;
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    // The real runtime takes a line end for a part of the password.
    std::fs::write(&password, "open sesame").unwrap();
    let encrypted = format!(
        "client.old.key, client_key_password: {}",
        password.display()
    );
    for key in ["client.key", &encrypted] {
        let transport = format!(
            "{ASYNC}, trust_cacerts: {data}/authority.crt, client_cert: {data}/client.crt, client_key: {data}/{key}"
        );
        let server = Canned::always([], fine()).await;
        let url = mutual_tls::start(server.clone()).await;
        let settings = Settings::capturing([]).without_restarts();
        let Some(mut flink) = Flink::start(&functions_at(&url, &transport), settings).await else {
            return;
        };
        flink.feed(&message(1));
        until("a request", async || {
            (!server.received().is_empty()).then_some(())
        })
        .await;
        flink.stop().await;
        let caller = Caller::new(&url, &transport).await;
        caller.send("a").await;
        caller.succeeds(1).await;
    }
}

#[tokio::test]
async fn sf_30_the_real_runtime_finds_our_functions_behind_a_unix_socket() {
    async fn repeat(context: &mut Context, message: Message) -> Result<(), BoxError> {
        let value = message.require(&types::INT)?;
        context.send_egress(EgressMessageBuilder::to(TypeName::new("test/out")).value(value));
        Ok(())
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fn.sock");
    let functions = StatefulFunctions::new()
        .with(FunctionSpec::new(TypeName::new("example/f"), repeat))
        .unwrap();
    let serving = serve(UnixListener::bind(&path).unwrap(), functions);
    tokio::spawn(serving.into_future());
    let module = functions_at(&format!("http+unix://{}/statefun", path.display()), OKHTTP);
    let Some(mut flink) = Flink::start(&module, Settings::capturing(["test/out"])).await else {
        return;
    };
    for value in [1, 2, 3] {
        flink.feed(&message(value));
    }
    let records = flink
        .records_until("three records", |records| records.len() == 3)
        .await;
    let values: Vec<i32> = records
        .iter()
        .map(|record| record.get(&types::INT))
        .collect();
    assert_eq!(values, [1, 2, 3]);
    flink.stop().await;
}
