//! Kind: a guess instead of a refusal, here of HTTP requests. Requests without a host or with two, with two different idempotency keys, with an invalid type name
//! or with a broken percent escape were served as if they were something else, or got "no such path".

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::runtime::Started;
use crate::support::raw::{RawMessage, ask};

async fn asked(started: &Started, listener: &str, line: &str, headers: &str) -> RawMessage {
    let request = format!("{line} HTTP/1.1\r\n{headers}content-length: 1\r\n\r\n5");
    ask(&started.address(listener), request.as_bytes()).await
}

const SEND: &str = "POST /send/statefun.samples/counter/a";
const HOST: &str = "host: localhost\r\n";

#[tokio::test]
async fn http_1_1_without_a_host_or_with_two_is_400_at_every_listener() {
    let started = Started::with_all_listeners().await;
    for (listener, line) in [
        ("http ingress", SEND),
        ("playground ingress", "POST /statefun.samples/counter/a"),
        ("playground egress", "GET /a"),
        ("admin api", "GET /health"),
        ("admin api", "GET /api/queues"),
    ] {
        for headers in ["", "host: localhost\r\nhost: localhost\r\n"] {
            let answer = asked(&started, listener, line, headers).await;
            assert_eq!(answer.status(), 400, "{listener} {headers}");
        }
        let other = format!(
            "{} http://localhost:1{}",
            line.split(' ').next().unwrap(),
            line.split(' ').nth(1).unwrap()
        );
        assert_eq!(
            asked(&started, listener, &other, HOST).await.status(),
            400,
            "{other}"
        );
    }
    // HTTP/1.0 has no host to name.
    let old = format!("{SEND} HTTP/1.0\r\ncontent-length: 1\r\n\r\n5");
    assert_eq!(
        ask(&started.address("http ingress"), old.as_bytes())
            .await
            .status(),
        202
    );
}

#[tokio::test]
async fn a_query_is_refused_at_every_listener_that_takes_messages() {
    let started = Started::with_all_listeners().await;
    for (listener, line) in [
        ("http ingress", "POST /send/statefun.samples/counter/a?x"),
        ("http ingress", "POST /call/statefun.samples/counter/a?x=1"),
        ("playground ingress", "POST /statefun.samples/counter/a?x"),
        ("admin api", "POST /api/send/statefun.samples/counter/a?x"),
        ("admin api", "POST /api/call/statefun.samples/counter/a?x=1"),
    ] {
        let answer = asked(&started, listener, line, HOST).await;
        assert_eq!(answer.status(), 400, "{listener} {line}");
    }
}

#[tokio::test]
async fn headers_that_contradict_each_other_are_400() {
    let started = Started::with_all_listeners().await;
    for (twice, code) in [
        (
            "idempotency-key: a\r\nidempotency-key: b\r\n",
            "idempotency.invalid",
        ),
        (
            "statefun-type: io.statefun.types/int\r\nstatefun-type: io.statefun.types/long\r\n",
            "type.invalid",
        ),
        (
            "content-type: text/plain\r\ncontent-type: application/json\r\n",
            "head.invalid",
        ),
        (
            "authorization: Bearer a\r\nauthorization: Bearer b\r\n",
            "head.invalid",
        ),
    ] {
        for listener in ["http ingress", "admin api"] {
            let line = match listener {
                "admin api" => SEND.replace("/send", "/api/send"),
                _ => SEND.to_owned(),
            };
            let answer = asked(&started, listener, &line, &format!("{HOST}{twice}")).await;
            assert_eq!(answer.status(), 400, "{twice}");
            assert!(answer.text().contains(code), "{}", answer.text());
        }
    }
    let same = format!("{HOST}idempotency-key: a\r\nidempotency-key: a\r\n");
    assert_eq!(
        asked(&started, "http ingress", SEND, &same).await.status(),
        202
    );
}

/// hyperium/hyper#4123: a length and chunks in one request are how another request is smuggled past a proxy.
#[tokio::test]
async fn a_request_with_a_length_and_chunks_is_the_last_of_its_connection() {
    let started = Started::with_all_listeners().await;
    let smuggled = "GET /none HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for both in [
        "content-length: 100\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 100\r\n",
    ] {
        let request = format!("{SEND} HTTP/1.1\r\n{HOST}{both}\r\n1\r\n5\r\n0\r\n\r\n{smuggled}");
        let mut connection = TcpStream::connect(started.address("http ingress"))
            .await
            .unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut all = String::new();
        connection.read_to_string(&mut all).await.unwrap();
        assert_eq!(all.matches("HTTP/1.1 ").count(), 1, "{all}");
    }
    for wrong in [
        "content-length: 1\r\ncontent-length: 2\r\n",
        "content-length: +1\r\n",
        "transfer-encoding: chunked, identity\r\n",
    ] {
        let request = format!("{SEND} HTTP/1.1\r\n{HOST}{wrong}\r\n5");
        let answer = ask(&started.address("http ingress"), request.as_bytes()).await;
        assert_eq!(answer.status(), 400, "{wrong}");
    }
}

/// hyper refuses these before a listener sees them, and did so with a bare status.
#[tokio::test]
async fn a_request_that_cannot_be_read_is_refused_with_words() {
    let started = Started::with_all_listeners().await;
    let many: String = (0..150).map(|n| format!("x{n}: 1\r\n")).collect();
    for (request, status, words) in [
        (
            format!("{SEND} HTTP/1.1\r\n{HOST}content-length: -1\r\n\r\n"),
            400,
            "content-length",
        ),
        ("POST\r\n\r\n".to_owned(), 400, "first line"),
        (
            format!("{SEND} HTTP/1.1\r\n{HOST}{many}\r\n"),
            431,
            "100 headers",
        ),
        (
            format!("{SEND} HTTP/1.1\r\n{HOST}x: {}\r\n\r\n", "a".repeat(70_000)),
            431,
            "64 KiB",
        ),
        (
            format!(
                "{SEND} HTTP/1.1\r\n{HOST}content-length: {}\r\n\r\n",
                u64::MAX
            ),
            413,
            "larger than any that is accepted",
        ),
    ] {
        let answer = ask(&started.address("http ingress"), request.as_bytes()).await;
        assert_eq!(answer.status(), status);
        assert!(answer.text().contains(words), "{}", answer.text());
    }
}

/// Only the last coding was looked at: gzip below the chunks was taken for the body, with 202.
#[tokio::test]
async fn a_transfer_encoding_other_than_chunked_is_refused_at_every_listener() {
    let started = Started::with_all_listeners().await;
    for (listener, line) in [
        ("http ingress", SEND),
        ("playground ingress", "POST /statefun.samples/counter/a"),
        ("playground egress", "GET /a"),
        ("admin api", "POST /api/send/statefun.samples/counter/a"),
    ] {
        for (encoding, status) in [("gzip, chunked", 501), ("chunked, chunked", 400)] {
            let request = format!(
                "{line} HTTP/1.1\r\n{HOST}transfer-encoding: {encoding}\r\n\r\n1\r\n5\r\n0\r\n\r\n"
            );
            let answer = ask(&started.address(listener), request.as_bytes()).await;
            assert_eq!(answer.status(), status, "{listener} {encoding}");
            assert!(
                answer.text().contains("transfer-encoding"),
                "{}",
                answer.text()
            );
        }
    }
}

/// The charset was not looked at: the two bytes of a `1` in UTF-16 became the text "1\0".
#[tokio::test]
async fn text_in_another_charset_than_utf_8_is_415_and_other_values_are_carried() {
    let started = Started::with_all_listeners().await;
    let put = "PUT /api/state/statefun.samples/counter/a/total";
    for (listener, line) in [
        ("http ingress", SEND),
        ("admin api", "POST /api/send/statefun.samples/counter/a"),
        ("admin api", put),
    ] {
        for more in ["", "statefun-type: io.statefun.types/long\r\n"] {
            if line == put && more.is_empty() {
                continue; // nothing has declared its type yet
            }
            for (content_type, status) in [
                ("text/plain; charset=utf-16", 415),
                ("application/json; charset=iso-8859-1", 415),
                ("text/plain; charset=UTF-8", 202),
            ] {
                let headers = format!("{HOST}content-type: {content_type}\r\n{more}");
                let answer = asked(&started, listener, line, &headers).await;
                let done = [status, if status == 202 { 200 } else { status }];
                assert!(done.contains(&answer.status()), "{line} {headers}");
            }
        }
    }
    let raw =
        format!("{HOST}content-type: text/plain; charset=utf-16\r\nstatefun-type: shop/note\r\n");
    let answer = asked(&started, "http ingress", SEND, &raw).await;
    assert_eq!(answer.status(), 202);
}

#[tokio::test]
async fn a_malformed_type_is_400_with_what_is_right() {
    let started = Started::with_all_listeners().await;
    for wrong in ["counter", "/counter", "statefun.samples/"] {
        let headers = format!("{HOST}statefun-type: {wrong}\r\n");
        let answer = asked(&started, "http ingress", SEND, &headers).await;
        assert_eq!(answer.status(), 400, "{wrong}");
        let told = answer.text();
        assert!(
            told.contains(wrong) && told.contains("<namespace>/<name>"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_broken_percent_escape_in_a_path_is_400() {
    let started = Started::with_all_listeners().await;
    for (listener, line) in [
        ("http ingress", "POST /send/statefun.samples/counter/%zz"),
        ("http ingress", "POST /call/statefun.samples/%f/a"),
        ("playground ingress", "POST /statefun.samples/counter/%ff"),
        ("admin api", "GET /api/state/a/b/c/%zz"),
        ("admin api", "POST /api/send/a/b/%"),
    ] {
        let answer = asked(&started, listener, line, HOST).await;
        assert_eq!(answer.status(), 400, "{line}");
        assert!(
            answer.text().contains("percent-encoded"),
            "{}",
            answer.text()
        );
    }
}
