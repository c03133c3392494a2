//! Kind: a browser can drive listeners on loopback. The admin API checked `Origin` and `Host`; the HTTP ingress and the playground accepted a
//! cross-site POST of a web page, and a name that a foreign DNS server points to 127.0.0.1 was as good as `localhost`.

use ::http::Method;

use super::cli::check;
use crate::runtime::{SAMPLES, Started, text};

const DOORS: &[(&str, Method, &str)] = &[
    (
        "http ingress",
        Method::POST,
        "/send/statefun.samples/counter/a",
    ),
    (
        "playground ingress",
        Method::POST,
        "/statefun.samples/counter/a",
    ),
    ("playground egress", Method::GET, "/a"),
    ("admin api", Method::GET, "/api/queues"),
    (
        "admin api",
        Method::POST,
        "/api/send/statefun.samples/counter/a",
    ),
];

#[tokio::test]
async fn a_page_of_another_origin_is_refused_by_every_listener_without_a_token() {
    let started = Started::with_all_listeners().await;
    for (listener, method, path) in DOORS {
        let ask = async |headers: &[(&str, &str)]| {
            let answer = started
                .request(method.clone(), listener, path, headers, "5")
                .await;
            (answer.status.as_u16(), text(&answer).to_owned())
        };
        // What a page may send without asking first.
        for page in [
            ("origin", "http://example.org"),
            ("origin", "null"),
            ("origin", "http://localhost:3000"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let (status, told) = ask(&[("content-type", "text/plain"), page]).await;
            assert!(
                status == 403 && told.contains("origin_refused"),
                "{listener} {page:?} {told}"
            );
        }
        let own = started.url(listener, "");
        for own in [
            ("origin", own.as_str()),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "none"),
        ] {
            let (status, told) = ask(&[own]).await;
            assert_ne!(status, 403, "{listener} {own:?} {told}");
        }
    }
}

#[tokio::test]
async fn a_name_that_may_lead_anywhere_is_refused_by_every_listener_without_a_token() {
    let started = Started::with_all_listeners().await;
    for (listener, method, path) in DOORS {
        let ask = async |host: &str| {
            let answer = started
                .request(method.clone(), listener, path, &[("host", host)], "5")
                .await;
            answer.status.as_u16()
        };
        assert_eq!(ask("rebound.example:8090").await, 403, "{listener}");
        assert_ne!(ask("localhost:1").await, 403, "{listener}");
    }
}

#[tokio::test]
async fn with_a_token_any_name_does_and_the_token_decides() {
    let module = SAMPLES.replace("callTimeout: 5s", "token: open-sesame");
    let started = Started::ephemeral(&module).await;
    let host = ("host", "statefun.example");
    let token = ("authorization", "Bearer open-sesame");
    let path = "/send/statefun.samples/counter/a";
    assert_eq!(started.post(path, &[host], "5").await.status, 401);
    assert_eq!(started.post(path, &[host, token], "5").await.status, 202);
}

#[test]
fn a_listener_that_the_network_reaches_without_a_token_is_a_warning() {
    for (listener, key) in [
        (
            "kind: statefun.http.v1/ingress\nspec: {listen: '0.0.0.0:8090'}",
            "`spec.listen`",
        ),
        (
            "kind: io.statefun.playground.v1/ingress\nspec: {port: 8090, host: 192.168.1.5}",
            "`spec.host`",
        ),
        (
            "kind: io.statefun.playground.v1/egress\nspec: {port: 8091, host: '::', topics: [a]}",
            "`spec.host`",
        ),
    ] {
        let (code, out) = check(listener, &[]);
        assert_eq!(code, 0, "{out}");
        let warned = out
            .lines()
            .any(|line| line.contains(key) && line.contains("anyone who reaches this address"));
        assert!(warned, "{out}");
    }
    for quiet in [
        "kind: statefun.http.v1/ingress\nspec: {listen: '0.0.0.0:8090', token: open-sesame}",
        "kind: statefun.http.v1/ingress\nspec: {listen: 'localhost:8090'}",
        "kind: io.statefun.playground.v1/ingress\nspec: {port: 8090, host: 127.0.0.2}",
    ] {
        let (_, out) = check(quiet, &[]);
        assert!(!out.contains("everybody"), "{out}");
    }
}
