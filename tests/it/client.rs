//! The HTTP client against servers that answer exactly as the test says.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::header::{ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use stateful_functions::transport::http::client::{
    HttpClient, HttpClientConfig, HttpError, HttpRequest, HttpResponse,
};
use tokio::net::TcpListener;

use crate::support::canned::{Answer, Canned, ok};
use crate::support::tls;

/// Far longer than any of these tests takes.
const LONG: Duration = Duration::from_secs(60);
/// Short, because a test waits for it to pass.
const SHORT: Duration = Duration::from_millis(50);

const CERTIFICATE: &[u8] = include_bytes!("../data/tls/localhost.crt");

fn client(change: impl FnOnce(&mut HttpClientConfig)) -> HttpClient {
    let mut config = HttpClientConfig::default();
    change(&mut config);
    HttpClient::new(config).unwrap()
}

async fn post(client: &HttpClient, server: &Canned, path: &str) -> Result<HttpResponse, HttpError> {
    client
        .send(HttpRequest::post(server.url(path), "in"), LONG)
        .await
}

/// The error and what caused it, in one line.
fn chain(err: &HttpError) -> String {
    let mut text = err.to_string();
    let mut source = err.source();
    while let Some(err) = source {
        text = format!("{text}: {err}");
        source = err.source();
    }
    text
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn sf_07_headers_go_out_as_given_then_host_and_content_length() {
    let server = Canned::start([ok("", b"out")]).await;
    let mut request = HttpRequest::post(server.url("/statefun?a=%20b"), "four");
    for (name, value) in [
        (CONTENT_TYPE, "application/octet-stream"),
        (ACCEPT, "application/octet-stream"),
        (ACCEPT_ENCODING, "gzip,deflate"),
        (CONNECTION, "keep-alive"),
        (USER_AGENT, "statefun"),
    ] {
        request
            .headers
            .insert(name, HeaderValue::from_static(value));
    }
    let response = client(|_| ()).send(request, LONG).await.unwrap();
    assert_eq!(
        (response.status, &response.body[..]),
        (StatusCode::OK, &b"out"[..])
    );
    let expected = format!(
        "POST /statefun?a=%20b HTTP/1.1\r\n\
         content-type: application/octet-stream\r\n\
         accept: application/octet-stream\r\n\
         accept-encoding: gzip,deflate\r\n\
         connection: keep-alive\r\n\
         user-agent: statefun\r\n\
         host: {}\r\n\
         content-length: 4\r\n",
        server.address
    );
    let (_, sent) = &server.received()[0];
    assert_eq!(sent.head, expected);
    assert_eq!(sent.body, b"four");
}

#[tokio::test]
async fn request_without_body_and_headers_has_a_host_only() {
    let server = Canned::start([ok("", b"")]).await;
    let request = HttpRequest::new(Method::GET, server.url(""));
    client(|_| ()).send(request, LONG).await.unwrap();
    let expected = format!("GET / HTTP/1.1\r\nhost: {}\r\n", server.address);
    assert_eq!(server.received()[0].1.head, expected);
}

#[tokio::test]
async fn connections_are_reused_and_a_closed_one_is_replaced() {
    let closing = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".to_vec();
    let server = Canned::start([
        ok("", b"1"),
        ok("", b"2"),
        Answer::Last(closing),
        ok("", b"4"),
    ])
    .await;
    let client = client(|_| ());
    for expected in ["1", "2", "", "4"] {
        assert_eq!(post(&client, &server, "/").await.unwrap().body, expected);
    }
    let connections: Vec<usize> = server
        .received()
        .iter()
        .map(|(connection, _)| *connection)
        .collect();
    assert_eq!(connections, [0, 0, 0, 1]);
}

/// A request from another runtime than the one that drives a connection would have two threads wake each other.
#[test]
fn each_runtime_has_its_own_connections() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    };
    let (here, there) = (runtime(), runtime());
    for allowed in [2, 1] {
        let answers = std::iter::repeat_with(|| ok("", b"out")).take(6);
        let server = here.block_on(Canned::start(answers));
        let client = client(|config| config.max_idle_per_host = allowed);
        for runtime in [&here, &there, &here, &there, &here, &there] {
            let sent = runtime.block_on(post(&client, &server, "/"));
            assert_eq!(sent.unwrap().body, "out");
        }
        let received = server.received();
        let used = |first| -> BTreeSet<usize> {
            let requests = received.iter().skip(first).step_by(2);
            requests.map(|(connection, _)| *connection).collect()
        };
        assert!(used(0).is_disjoint(&used(1)), "{allowed}: {received:?}");
    }
}

#[tokio::test]
async fn redirects_and_failures_are_answers() {
    let redirect = b"HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n".to_vec();
    let failure =
        b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 7\r\ncontent-length: 4\r\n\r\nbusy"
            .to_vec();
    let server = Canned::start([Answer::Bytes(redirect), Answer::Bytes(failure)]).await;
    let client = client(|_| ());
    let redirect = post(&client, &server, "/").await.unwrap();
    assert_eq!(
        (redirect.status.as_u16(), &redirect.headers["location"]),
        (302, &HeaderValue::from_static("/other"))
    );
    let failure = post(&client, &server, "/").await.unwrap();
    assert_eq!(
        (failure.status.as_u16(), &failure.body[..]),
        (503, &b"busy"[..])
    );
    assert_eq!(failure.headers["retry-after"], "7");
}

#[tokio::test]
async fn chunked_answers_are_read_completely() {
    let chunked =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
            .to_vec();
    let server = Canned::start([Answer::Bytes(chunked)]).await;
    assert_eq!(
        post(&client(|_| ()), &server, "/").await.unwrap().body,
        "abcdefg"
    );
}

#[tokio::test]
async fn compressed_answers_arrive_plain_and_without_their_old_length() {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(b"deflated").unwrap();
    let server = Canned::start([
        ok("content-encoding: gzip\r\n", &gzip(b"zipped")),
        ok("content-encoding: deflate\r\n", &zlib.finish().unwrap()),
        ok("content-encoding: br\r\n", b"as it is"),
        ok("content-encoding: gzip\r\n", b""),
    ])
    .await;
    let client = client(|_| ());
    for expected in ["zipped", "deflated"] {
        let response = post(&client, &server, "/").await.unwrap();
        assert_eq!(response.body, expected);
        assert!(response.headers.is_empty(), "{:?}", response.headers);
    }
    let unknown = post(&client, &server, "/").await.unwrap();
    assert_eq!(unknown.body, "as it is");
    assert_eq!(unknown.headers["content-encoding"], "br");
    assert_eq!(post(&client, &server, "/").await.unwrap().body, "");
}

#[tokio::test]
async fn decompression_can_be_left_to_the_caller() {
    let server = Canned::start([ok("content-encoding: gzip\r\n", &gzip(b"zipped"))]).await;
    let response = post(&client(|config| config.decompress = false), &server, "/")
        .await
        .unwrap();
    assert_eq!(response.body, gzip(b"zipped"));
    assert_eq!(response.headers["content-encoding"], "gzip");
}

#[tokio::test]
async fn bodies_beyond_the_limit_fail_in_every_framing() {
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\n123456\r\n5\r\n12345\r\n0\r\n\r\n".to_vec();
    let server = Canned::start([
        ok("", b"0123456789"),
        Answer::Stall(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n".to_vec()),
        Answer::Bytes(chunked),
        ok("content-encoding: gzip\r\n", &gzip(&[0; 100_000])),
    ])
    .await;
    let small = client(|config| config.max_response_body_bytes = 10);
    assert_eq!(post(&small, &server, "/").await.unwrap().body, "0123456789");
    for _ in 0..2 {
        let err = post(&small, &server, "/").await.unwrap_err();
        assert!(err.is_body_too_large() && !err.is_timeout(), "{err:?}");
        let text = format!(
            "the response is larger than 10 bytes (POST http://{}/)",
            server.address
        );
        assert_eq!(err.to_string(), text);
    }
    let middle = client(|config| config.max_response_body_bytes = 99_999);
    assert!(
        post(&middle, &server, "/")
            .await
            .unwrap_err()
            .is_body_too_large()
    );
}

#[tokio::test]
async fn answers_that_cannot_be_decompressed_fail() {
    let server = Canned::start([ok("content-encoding: gzip\r\n", b"plain")]).await;
    let err = post(&client(|_| ()), &server, "/").await.unwrap_err();
    assert!(err.is_malformed_body(), "{err:?}");
}

#[tokio::test]
async fn time_limit_covers_the_head_and_the_body() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec();
    let server = Canned::start([Answer::Stall(Vec::new()), Answer::Stall(half)]).await;
    let client = client(|_| ());
    for _ in 0..2 {
        let request = HttpRequest::post(server.url("/hook?token=secret"), "in");
        let err = client.send(request, SHORT).await.unwrap_err();
        assert!(err.is_timeout() && !err.is_connect(), "{err:?}");
        let text = format!(
            "no complete response within 50 ms (POST http://{}/hook)",
            server.address
        );
        assert_eq!(err.to_string(), text);
    }
}

#[tokio::test]
async fn connecting_has_a_limit_of_its_own() {
    // Accepted by the kernel, but the TLS handshake is not answered.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let client = client(|config| config.connect_timeout = SHORT);
    let err = client
        .send(HttpRequest::post(url, "in"), LONG)
        .await
        .unwrap_err();
    assert!(err.is_connect() && err.is_timeout(), "{err:?}");
}

#[tokio::test]
async fn a_refused_connection_is_distinguished_from_a_broken_exchange() {
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let client = client(|_| ());
    let url = format!("http://{free}/").parse().unwrap();
    let err = client
        .send(HttpRequest::post(url, "in"), LONG)
        .await
        .unwrap_err();
    assert!(err.is_connect() && !err.is_timeout(), "{err:?}");
    assert!(!err.is_tls() && !err.is_dns(), "{err:?}");
    assert!(chain(&err).contains("refused"), "{}", chain(&err));

    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec();
    let server = Canned::start([Answer::Last(cut), Answer::Last(Vec::new())]).await;
    for _ in 0..2 {
        let err = post(&client, &server, "/").await.unwrap_err();
        assert!(
            !err.is_connect() && !err.is_timeout() && !err.is_body_too_large(),
            "{err:?}"
        );
        assert!(
            err.to_string().starts_with("the exchange broke off (POST "),
            "{err}"
        );
    }
}

#[tokio::test]
async fn unusable_urls_are_named_without_their_secrets() {
    let client = client(|_| ());
    for (url, text) in [
        (
            "/path",
            "an absolute http or https URL is required (GET /path)",
        ),
        (
            "ftp://example.com/",
            "an absolute http or https URL is required (GET ftp://example.com/)",
        ),
        (
            "http://me:secret@example.com/a?key=secret",
            "the URL carries credentials; send them in an `authorization` header (GET http://example.com/a)",
        ),
    ] {
        let request = HttpRequest::new(Method::GET, url.parse().unwrap());
        assert!(!format!("{request:?}").contains("secret"));
        let err = client.send(request, LONG).await.unwrap_err();
        assert!(err.is_invalid_request());
        assert_eq!(err.to_string(), text);
    }
}

#[tokio::test]
async fn https_needs_a_trusted_certificate() {
    let canned = Canned::start([ok("", b"over TLS")]).await;
    let port = tls::open_to_all(canned.clone(), "localhost").await;
    let url: http::Uri = format!("https://localhost:{port}/").parse().unwrap();

    let strangers = client(|_| ());
    let err = strangers
        .send(HttpRequest::post(url.clone(), "in"), LONG)
        .await
        .unwrap_err();
    assert!(err.is_connect() && !err.is_timeout(), "{err:?}");
    assert!(err.is_tls() && !err.is_dns(), "{err:?}");
    assert!(chain(&err).contains("UnknownIssuer"), "{}", chain(&err));

    let friends = client(|config| config.trusted_certificates_pem = CERTIFICATE.to_vec());
    let response = friends
        .send(HttpRequest::post(url, "in"), LONG)
        .await
        .unwrap();
    assert_eq!(response.body, "over TLS");
    let (_, request) = &canned.received()[0];
    let host = format!("localhost:{port}");
    assert_eq!(request.header("host"), Some(host.as_str()));
}

#[tokio::test]
async fn unused_connections_are_bounded_over_all_hosts() {
    let one = Canned::always([], ok("", b"")).await;
    let other = Canned::always([], ok("", b"")).await;
    let client = client(|config| config.max_idle = 1);
    for server in [&one, &other, &one, &other] {
        let request = HttpRequest::post(server.url("/"), "in");
        assert_eq!(client.send(request, LONG).await.unwrap().status, 200);
    }
    let connections = |server: &Canned| server.received().last().unwrap().0 + 1;
    assert_eq!((connections(&one), connections(&other)), (1, 2));
}

#[test]
fn unreadable_trusted_certificates_are_refused() {
    for pem in [
        "not a certificate",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let mut config = HttpClientConfig::default();
        config.trusted_certificates_pem = pem.into();
        let err = HttpClient::new(config).unwrap_err();
        assert!(err.is_invalid_request());
        assert_eq!(
            err.to_string(),
            "`trusted_certificates_pem` contains something other than PEM certificates"
        );
    }
}

#[tokio::test]
async fn http2_is_spoken_by_prior_knowledge_when_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let echo = service_fn(|request: http::Request<hyper::body::Incoming>| async move {
            let text = format!("{:?} {}", request.version(), request.uri().path());
            let body = request.into_body().collect().await?.to_bytes();
            Ok::<_, hyper::Error>(http::Response::new(format!("{text} {}", body.len())))
        });
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        server.serve_connection(TokioIo::new(socket), echo).await
    });
    let client = client(|config| config.http2 = true);
    let url: http::Uri = format!("http://{address}/a").parse().unwrap();
    for body in ["1", "22"] {
        let response = client
            .send(HttpRequest::post(url.clone(), body), LONG)
            .await
            .unwrap();
        assert_eq!(response.body, format!("HTTP/2.0 /a {}", body.len()));
    }
}
