//! Which failures are retried, and which fail at once.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::Value;
use stateful_functions::Timestamp;
use stateful_functions::clock::ManualClock;
use stateful_functions::runtime::Runtime;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket};

use super::{ASYNC, Caller, NO_EFFECTS, OKHTTP, fine, functions_at, status};
use crate::runtime::{Started, admin, text};
use crate::support::canned::{Answer, Canned, ok};
use crate::support::raw::RawMessage;
use crate::support::until::until;

const OCTET_STREAM: &str = "content-type: application/octet-stream\r\n";

/// Every kind of bad answer, by name.
fn bad_answers() -> Vec<(&'static str, Answer)> {
    let with_type = |value: &str| ok(&format!("content-type: {value}\r\n"), NO_EFFECTS);
    let cut = format!("HTTP/1.1 200 OK\r\n{OCTET_STREAM}content-length: 10\r\n\r\nhalf");
    let location = "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n";
    let huge = format!("HTTP/1.1 200 OK\r\n{OCTET_STREAM}content-length: 1001\r\n\r\n");
    vec![
        ("500", status("500 Internal Server Error")),
        ("404", status("404 Not Found")),
        ("400", status("400 Bad Request")),
        ("302", Answer::Bytes(location.into())),
        ("no content-type", ok("", NO_EFFECTS)),
        ("content-type", with_type("text/plain")),
        (
            "parameters",
            with_type("application/octet-stream; charset=utf-8"),
        ),
        ("garbage", ok(OCTET_STREAM, b"garbage")),
        ("cut body", Answer::Last(cut.into())),
        ("no answer", Answer::Last(Vec::new())),
        ("no HTTP", Answer::Last(b"SSH-2.0-server\r\n\r\n".to_vec())),
        ("oversized", Answer::Last(huge.into())),
    ]
}

#[tokio::test]
async fn sf_24_async_tries_every_kind_of_bad_answer_again_with_doubling_waits() {
    for (kind, bad) in bad_answers() {
        let bad = [bad.clone(), bad.clone(), bad.clone(), bad];
        let server = Canned::always(bad, fine()).await;
        let transport = format!("{ASYNC}, payload_max_bytes: 1000");
        let caller = Caller::new(&server.url("/").to_string(), &transport).await;
        caller.send("a").await;
        caller.succeeds(1).await;
        assert_eq!(server.received().len(), 5, "{kind}");
        assert_eq!(caller.failed_attempts().await, 4, "{kind}");
        // Never earlier: how much later is the machine's affair.
        let arrived = server.arrived();
        for (pair, wait) in arrived.windows(2).zip([4, 8, 16, 32]) {
            assert!(
                pair[1] - pair[0] >= Duration::from_millis(wait),
                "{kind}: {arrived:?}"
            );
        }
        let (_, first) = &server.received()[0];
        assert!(
            server
                .received()
                .iter()
                .all(|(_, request)| request == first),
            "the same bytes"
        );
    }
}

#[tokio::test]
async fn sf_24_async_tries_again_after_a_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let caller = Caller::new(&url, ASYNC).await;
    caller.send("a").await;
    for _ in 0..3 {
        let (mut socket, _) = listener.accept().await.unwrap();
        // What is unread when it is dropped makes a reset of it.
        socket.read_u8().await.unwrap();
    }
    let (mut socket, _) = listener.accept().await.unwrap();
    assert!(RawMessage::read(&mut socket).await.is_some());
    assert_eq!(caller.failed_attempts().await, 3);
}

#[tokio::test]
async fn sf_24_async_tries_again_until_there_is_a_server() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/", socket.local_addr().unwrap());
    let caller = Caller::new(&url, ASYNC).await;
    caller.send("a").await;
    // Bound, but not listening: refused.
    until("three attempts", async || {
        (caller.failed_attempts().await >= 3).then_some(())
    })
    .await;
    let listener = socket.listen(8).unwrap();
    let (mut socket, _) = listener.accept().await.unwrap();
    assert!(RawMessage::read(&mut socket).await.is_some());
}

#[tokio::test]
async fn sf_24_a_hanging_attempt_takes_what_is_left_of_the_budget() {
    let server = Canned::always([], Answer::Stall(Vec::new())).await;
    let transport = format!("{ASYNC}, call: 80ms");
    let caller = Caller::new(&server.url("/").to_string(), &transport).await;
    caller.send("a").await;
    let cause = caller.failure().await;
    let text = "RequestTimeoutException: no answer within 80 ms; last attempt: no complete response within ";
    assert!(cause.starts_with(text), "{cause}");
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn sf_26_attempts_end_with_the_budget() {
    // 4 + 8 + 16 + 32 + 64 ms go by before a sixth one, and 128 more would be too many.
    let server = Canned::always([], status("404 Not Found")).await;
    let transport = format!("{ASYNC}, call: 150ms");
    let caller = Caller::new(&server.url("/").to_string(), &transport).await;
    caller.send("a").await;
    let cause = caller.failure().await;
    let text = "RequestTimeoutException: no answer within 150 ms; last attempt: ";
    assert!(cause.starts_with(text), "{cause}");
    let attempts = server.received().len();
    assert!((1..=6).contains(&attempts), "{attempts}");
    assert_eq!(caller.failed_attempts().await, attempts as u64);
}

#[tokio::test]
async fn sf_25_okhttp_tries_some_statuses_again() {
    for line in [
        "409 Conflict",
        "420 Calm",
        "429 Too Many",
        "499 Gone",
        "500 Error",
        "503 Busy",
        "599 ?",
    ] {
        let server = Canned::always([status(line), status(line), status(line)], fine()).await;
        let caller = Caller::new(&server.url("/").to_string(), OKHTTP).await;
        caller.send("a").await;
        caller.succeeds(1).await;
        assert_eq!(server.received().len(), 4, "{line}");
        assert_eq!(
            caller.failed_attempts().await,
            0,
            "{line}: an answer is not a failure"
        );
        for (pair, wait) in server.arrived().windows(2).zip([10, 20, 40]) {
            assert!(pair[1] - pair[0] >= Duration::from_millis(wait), "{line}");
        }
    }
}

#[tokio::test]
async fn sf_25_okhttp_tries_again_when_no_answer_came() {
    let none = || Answer::Last(Vec::new());
    let hang = || Answer::Stall(Vec::new());
    for bad in [[none(), none(), none()], [hang(), hang(), hang()]] {
        let server = Canned::always(bad, fine()).await;
        let transport = format!("{OKHTTP}, timeouts: {{read: 200ms}}");
        let caller = Caller::new(&server.url("/").to_string(), &transport).await;
        caller.send("a").await;
        caller.succeeds(1).await;
        assert_eq!(server.received().len(), 4);
        assert_eq!(caller.failed_attempts().await, 3);
    }
}

#[tokio::test]
async fn sf_25_okhttp_sends_again_at_once_when_a_used_connection_ends_without_an_answer() {
    let server = Canned::always([fine(), Answer::Last(Vec::new())], fine()).await;
    let caller = Caller::new(&server.url("/").to_string(), OKHTTP).await;
    caller.send("a").await;
    caller.succeeds(1).await;
    caller.send("a").await;
    caller.succeeds(2).await;
    let received = server.received().into_iter();
    let connections: Vec<_> = received.map(|(connection, _)| connection).collect();
    assert_eq!(connections, [0, 0, 1]);
    assert_eq!(caller.failed_attempts().await, 0, "one attempt");
}

#[tokio::test]
async fn sf_25_okhttp_fails_at_once_for_good() {
    let typed = |value: &str| ok(&format!("content-type: {value}\r\n"), NO_EFFECTS);
    let cut = format!("HTTP/1.1 200 OK\r\n{OCTET_STREAM}content-length: 10\r\n\r\nhalf");
    for (answer, text) in [
        (
            status("404 Not Found"),
            "Non successful HTTP response code 404",
        ),
        (
            status("400 Bad Request"),
            "Non successful HTTP response code 400",
        ),
        (
            status("307 Temporary"),
            "Non successful HTTP response code 307",
        ),
        (ok("", NO_EFFECTS), "Wrong HTTP content-type null"),
        (
            typed("Application/Octet-Stream"),
            "Wrong HTTP content-type Application/Octet-Stream",
        ),
        (
            typed("application/octet-stream; charset=utf-8"),
            "Wrong HTTP content-type application/octet-stream; charset=utf-8",
        ),
        (
            ok(OCTET_STREAM, b"garbage"),
            "Unable to parse a Protobuf message: ",
        ),
        (
            Answer::Last(cut.into()),
            "Unable to parse a Protobuf message: the exchange broke off (POST ",
        ),
    ] {
        let server = Canned::always([answer], fine()).await;
        let caller = Caller::new(&server.url("/").to_string(), OKHTTP).await;
        caller.send("a").await;
        let cause = caller.failure().await;
        assert!(cause.starts_with(text), "{cause}");
        assert_eq!(server.received().len(), 1, "{text}");
        assert_eq!(caller.failed_attempts().await, 0, "{text}");
    }
}

#[tokio::test]
async fn sf_25_okhttp_says_why_its_budget_is_used_up() {
    let server = Canned::always([], status("503 Busy")).await;
    let short =
        format!("{OKHTTP}, timeouts: {{call: 60ms, connect: 60ms, read: 20ms, write: 20ms}}");
    let caller = Caller::new(&server.url("/").to_string(), &short).await;
    caller.send("a").await;
    let cause = caller.failure().await;
    // The last attempt has so little time that it may see no answer.
    assert!(
        cause.starts_with("Maximal request time has elapsed. Last "),
        "{cause}"
    );

    let server = Canned::always([], Answer::Last(Vec::new())).await;
    let caller = Caller::new(&server.url("/").to_string(), &short).await;
    caller.send("a").await;
    let cause = caller.failure().await;
    assert!(
        cause.starts_with("Maximal request time has elapsed. Last cause is attached: the exchange broke off (POST "),
        "{cause}"
    );
}

#[tokio::test]
async fn sf_25_okhttp_follows_a_redirect_with_a_get() {
    let location = "HTTP/1.1 302 Found\r\nlocation: /elsewhere?a=%20b\r\ncontent-length: 0\r\n\r\n";
    let server = Canned::always([Answer::Bytes(location.into())], fine()).await;
    let caller = Caller::new(&server.url("/statefun").to_string(), OKHTTP).await;
    caller.send("a").await;
    caller.succeeds(1).await;
    let received = server.received();
    let expected = format!(
        "GET /elsewhere?a=%20b HTTP/1.1\r\nHost: {}\r\nConnection: Keep-Alive\r\nAccept-Encoding: gzip\r\nUser-Agent: okhttp/3.14.6\r\n",
        server.address
    );
    assert_eq!(
        (received.len(), received[1].1.head.as_str()),
        (2, expected.as_str())
    );
}

#[tokio::test]
async fn sf_25_okhttp_gives_up_on_circular_redirects() {
    let location = "HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n";
    let server = Canned::always([], Answer::Bytes(location.into())).await;
    let transport = format!("{OKHTTP}, timeouts: {{call: 1s, connect: 1s, read: 1s, write: 1s}}");
    let caller = Caller::new(&server.url("/").to_string(), &transport).await;
    caller.send("a").await;
    let cause = caller.failure().await;
    assert!(cause.contains("Too many follow-up requests: 21"), "{cause}");
}

#[tokio::test]
async fn urls_are_sent_as_they_are_written_without_their_fragment() {
    for transport in [ASYNC, OKHTTP] {
        let server = Canned::always([], fine()).await;
        let url = format!(
            "http://{}/%7Bx%2F/{{function.name}}/../a%20b?c=%3D&d#fragment",
            server.address
        );
        let caller = Caller::new(&format!("'{url}'"), transport).await;
        caller.send("a").await;
        caller.succeeds(1).await;
        let head = server.received()[0].1.head.clone();
        assert_eq!(
            head.lines().next(),
            Some("POST /%7Bx%2F/f/../a%20b?c=%3D&d HTTP/1.1")
        );
    }
}

/// A function that was overloaded said so, and was called again after 4 ms.
#[tokio::test]
async fn a_wait_that_a_function_asks_for_is_waited_out_within_the_call() {
    let busy = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
    for transport in [ASYNC, OKHTTP] {
        let server = Canned::always([Answer::Bytes(busy.into())], fine()).await;
        let caller = Caller::new(&server.url("/").to_string(), transport).await;
        caller.send("a").await;
        caller.succeeds(1).await;
        let arrived = server.arrived();
        assert_eq!(arrived.len(), 2);
        assert!(arrived[1] - arrived[0] >= Duration::from_secs(1));
    }
}

#[tokio::test]
async fn a_longer_wait_than_the_call_has_time_for_ends_the_call_and_is_that_of_its_address() {
    let busy =
        "HTTP/1.1 429 Too Many Requests\r\nretry-after: 600\r\ncontent-length: 4\r\n\r\nbusy";
    let server = Canned::always([], Answer::Bytes(busy.into())).await;
    let ingress = "kind: statefun.http.v1/ingress\nspec: {listen: '127.0.0.1:0'}\n---\n";
    let module = format!(
        "{ingress}{}",
        functions_at(&server.url("/").to_string(), ASYNC)
    );
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    let builder = Runtime::builder().clock(Arc::new(clock)).admin(admin());
    let started = Started::with(builder, &module).await;
    let sent = started.post("/send/example/f/a", &[], "hi").await;
    assert_eq!(sent.status, 202, "{}", text(&sent));
    let waiting = until("a waiting address", async || {
        let queues = started.request(Method::GET, "admin api", "/api/queues", &[], "");
        let queues: Value = serde_json::from_str(text(&queues.await)).unwrap();
        let addresses = queues["addresses"].as_array().unwrap().clone();
        addresses
            .into_iter()
            .find(|one| one["activity"] == "backs_off")
    });
    let waiting = waiting.await;
    assert_eq!(waiting["retry_at"], "2023-11-14T22:23:20.000Z", "{waiting}");
    let told = waiting["last_failure"].as_str().unwrap();
    assert!(
        told.contains("busy") && told.contains("it asks to wait 10 min (`retry-after`)"),
        "{told}"
    );
    assert_eq!(server.received().len(), 1);
}
