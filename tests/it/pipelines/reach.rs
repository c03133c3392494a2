//! How an export reaches its destination, and what it reports if it does not: private authorities, certificates, proxies, redirects.

use serde_json::{Value, json};
use stateful_functions::pipeline::{Pipeline, PipelineBuilder, PipelineConfig};
use stateful_functions::transport::http::client::{Network, Proxies};

use super::town::Town;
use crate::support::canned::{Canned, ok};
use crate::support::destination::{Destination, Reaction};
use crate::support::proxy::Proxy;
use crate::support::tls::{self, DATA};

fn spec(mut export: Value, url: &str) -> Value {
    export["url"] = json!(url);
    if export["retry"].is_null() {
        export["retry"] = json!({"every": "1h"});
    }
    json!({"name": "p", "stages": [{"name": "crm", "http-export": export}]})
}

fn pipeline(export: Value, url: &str) -> PipelineBuilder {
    Pipeline::declared(PipelineConfig::from_json(&spec(export, url)).unwrap())
}

/// What became of one record.
struct Outcome {
    /// Where it stands, unless it was delivered.
    stands: Option<String>,
    summary: Value,
}

impl Outcome {
    fn is_delivered(&self) -> bool {
        self.stands.is_none()
    }

    /// The failure that stands in its history.
    fn told(&self) -> &str {
        self.summary["error"]["message"]
            .as_str()
            .unwrap_or("nothing")
    }
}

async fn sent(builder: PipelineBuilder) -> Outcome {
    let mut town = Town::new(builder);
    town.send("d1", "one").await;
    if town.kept().is_empty() {
        let (stands, summary) = (None, Value::Null);
        return Outcome { stands, summary };
    }
    let (_, kept) = town.only();
    Outcome {
        summary: kept.summary(),
        stands: Some(town.stands()),
    }
}

/// The faults of an export's settings, each with its path.
fn faults(export: Value) -> Vec<String> {
    let read = PipelineConfig::from_json(&spec(export, "https://localhost/"));
    let faults = read.unwrap_err();
    faults.iter().map(ToString::to_string).collect()
}

/// It had the code of a destination that is down.
#[tokio::test]
async fn a_host_without_an_address_has_a_code_of_its_own() {
    let outcome = sent(pipeline(json!({}), "http://no-such-host.invalid/")).await;
    let code = &outcome.summary["error"]["code"];
    assert_eq!(code, "dns", "{}", outcome.told());
}

#[tokio::test]
async fn a_destination_of_a_private_authority_is_trusted_when_its_file_is_named() {
    let canned = Canned::start([ok("", b"")]).await;
    let port = tls::open_to_all(canned.clone(), "server").await;
    let url = format!("https://localhost:{port}/hook");
    let outcome = sent(pipeline(json!({}), &url)).await;
    assert!(
        outcome.told().contains("UnknownIssuer"),
        "{}",
        outcome.told()
    );
    assert_eq!(outcome.summary["error"]["code"], "tls");
    let trusting = json!({"tls": {"ca": format!("{DATA}/authority.crt")}});
    let outcome = sent(pipeline(trusting, &url)).await;
    assert!(outcome.is_delivered(), "{}", outcome.told());
    assert_eq!(canned.received().len(), 1);
}

#[tokio::test]
async fn a_destination_that_asks_for_a_certificate_gets_it() {
    let canned = Canned::start([ok("", b"")]).await;
    let url = format!(
        "https://localhost:{}/hook",
        tls::mutual(canned.clone()).await
    );
    let file = |name: &str| format!("{DATA}/{name}");
    let mut files = json!({"ca": file("authority.crt")});
    let outcome = sent(pipeline(json!({"tls": files}), &url)).await;
    assert_eq!(outcome.stands.as_deref(), Some("awaiting retry 1"));
    files["cert"] = json!(file("client.crt"));
    files["key"] = json!(file("client.key"));
    let outcome = sent(pipeline(json!({"tls": files}), &url)).await;
    assert!(outcome.is_delivered(), "{}", outcome.told());
    assert_eq!(canned.received().len(), 1);
}

#[test]
fn unusable_files_and_proxies_are_faults_with_their_location() {
    let file = |name: &str| format!("{DATA}/{name}");
    for (export, path, words) in [
        (
            json!({"tls": {"ca": "no/such.pem"}}),
            "tls.ca",
            "no/such.pem cannot be read: No such file",
        ),
        (
            json!({"tls": {"ca": file("README.md")}}),
            "tls.ca",
            "holds no PEM certificates",
        ),
        (
            json!({"tls": {"cert": file("client.crt")}}),
            "tls.key",
            "is missing",
        ),
        (
            json!({"tls": {"key": file("client.key")}}),
            "tls.cert",
            "is missing",
        ),
        (
            json!({"tls": {"cert": file("client.crt"), "key": file("client.encrypted.key")}}),
            "tls.key",
            "openssl pkey",
        ),
        (
            json!({"tls": {"cert": file("client.crt"), "key": file("server.key")}}),
            "tls.cert",
            "can't be used together",
        ),
        (
            json!({"tls": {"cacert": "x"}}),
            "tls.cacert",
            "key `cacert` is unknown",
        ),
        (
            json!({"proxy": "socks5://h:1"}),
            "proxy",
            "is not an HTTP proxy",
        ),
        (
            json!({"proxy": "http://me:secret@h:99999"}),
            "proxy",
            "http://host:port",
        ),
        (json!({"proxy": true}), "proxy", "or false for none"),
    ] {
        let faults = faults(export.clone());
        let (path, count) = (format!("stages[0].http-export.{path}"), faults.len());
        let found = faults
            .iter()
            .any(|fault| fault.contains(&path) && fault.contains(words));
        assert!(found && count == 1, "{export}: {faults:?}");
        assert!(!faults.join("").contains("secret"), "{faults:?}");
    }
}

#[tokio::test]
async fn an_export_with_a_proxy_sends_its_requests_there() {
    let proxy = Proxy::start(None).await;
    let through = json!({"proxy": proxy.with_credentials()});
    let outcome = sent(pipeline(through, "http://crm.invalid/hook?a=b")).await;
    assert!(outcome.is_delivered(), "{}", outcome.told());
    let request = &proxy.received()[0];
    assert!(
        request
            .head
            .starts_with("POST http://crm.invalid/hook?a=b HTTP/1.1\r\n"),
        "{}",
        request.head
    );
    assert_eq!(request.header("host"), Some("crm.invalid"));
    assert_eq!(
        request.header("proxy-authorization"),
        Some("Basic bWU6c2VjcmV0")
    );
    assert_eq!(request.body, b"one");
}

#[tokio::test]
async fn behind_a_proxy_tls_goes_through_a_tunnel() {
    let canned = Canned::start([ok("", b"")]).await;
    let port = tls::open_to_all(canned.clone(), "server").await;
    let proxy = Proxy::start(Some(port)).await;
    let export =
        json!({"proxy": proxy.with_credentials(), "tls": {"ca": format!("{DATA}/authority.crt")}});
    let outcome = sent(pipeline(export, "https://localhost:7443/hook")).await;
    assert!(outcome.is_delivered(), "{}", outcome.told());
    let asked = &proxy.received()[0];
    assert!(
        asked
            .head
            .starts_with("CONNECT localhost:7443 HTTP/1.1\r\n"),
        "{}",
        asked.head
    );
    assert_eq!(
        asked.header("proxy-authorization"),
        Some("Basic bWU6c2VjcmV0")
    );
    // What goes through the tunnel is for the destination alone.
    let (_, request) = &canned.received()[0];
    assert!(
        request.head.starts_with("POST /hook HTTP/1.1\r\n"),
        "{}",
        request.head
    );
    assert_eq!(request.header("proxy-authorization"), None);
}

#[tokio::test]
async fn a_proxy_that_is_down_or_refuses_is_named_in_the_failure() {
    let refusing = Proxy::start(None).await;
    let export = json!({"proxy": format!("http://{}", refusing.address)});
    let outcome = sent(pipeline(export, "https://crm.invalid/")).await;
    let words = r"refused to open a tunnel to crm.invalid:443: it answered `HTTP/1.1 407 Who are you?\u{1b}[2J`";
    assert!(outcome.told().contains(words), "{}", outcome.told());
    let outcome = sent(pipeline(
        json!({"proxy": "http://127.0.0.1:1"}),
        "http://crm.invalid/",
    ))
    .await;
    let words = "the proxy 127.0.0.1:1 cannot be reached";
    assert!(outcome.told().contains(words), "{}", outcome.told());
}

#[tokio::test]
async fn the_proxy_of_the_process_is_used_unless_the_export_says_otherwise() {
    let proxy = Proxy::start(None).await;
    let mut network = Network::default();
    let address = proxy.address.to_string();
    network.proxies =
        Proxies::from_variables(Some(&address), None, Some("direct.invalid")).unwrap();
    let through = |url: &str| pipeline(json!({}), url).network(&network);
    assert!(sent(through("http://crm.invalid/")).await.is_delivered());
    assert_eq!(proxy.received().len(), 1);
    // This machine and the exceptions are asked directly, and an export may want no proxy at all.
    let destination = Destination::start().await;
    assert!(sent(through(&destination.url("/"))).await.is_delivered());
    assert!(!sent(through("http://direct.invalid/")).await.is_delivered());
    let direct = pipeline(json!({"proxy": false}), "http://crm.invalid/").network(&network);
    assert!(!sent(direct).await.is_delivered());
    assert_eq!(
        (proxy.received().len(), destination.received().len()),
        (1, 1)
    );
}

#[tokio::test]
async fn a_redirect_becomes_a_dead_letter_with_its_location() {
    let destination = Destination::start().await;
    destination.react(Reaction::Answer(
        308,
        "location: https://other.example/hook?token=secret\r\n",
        b"moved".to_vec(),
    ));
    let outcome = sent(pipeline(json!({}), &destination.url("/"))).await;
    assert_eq!(outcome.stands.as_deref(), Some("discarded permanent 1"));
    let told = outcome.told().to_owned();
    assert!(
        told.ends_with(": 308 to https://other.example/hook moved"),
        "{told}"
    );
    assert_eq!(
        destination.received().len(),
        1,
        "redirects are not followed"
    );
}

#[tokio::test]
async fn the_first_line_of_an_error_answer_is_shown_up_to_a_limit() {
    let destination = Destination::start().await;
    let body = format!(
        "\n  quota of \u{1b}[31mshop-7 exceeded {}\nat com.example.Quota",
        "x".repeat(400)
    );
    destination.react(Reaction::Answer(400, "", body.into_bytes()));
    let outcome = sent(pipeline(json!({}), &destination.url("/"))).await;
    let told = outcome.told();
    assert!(
        told.contains(r": 400 quota of \u{1b}[31mshop-7 exceeded xxx") && told.ends_with("x…"),
        "{told}"
    );
    assert!(told.len() < 400, "{told}");
}

#[tokio::test]
async fn the_retry_after_of_a_too_large_error_answer_is_respected() {
    let destination = Destination::start().await;
    destination.react(Reaction::Answer(
        503,
        "retry-after: 3600\r\n",
        vec![b'x'; 4096],
    ));
    let export = json!({"maxResponseBytes": 1024, "retry": {"first": "1s", "max": "2h"}});
    let outcome = sent(pipeline(export, &destination.url("/"))).await;
    assert!(
        outcome
            .told()
            .contains(": 503 the response is larger than 1024 bytes"),
        "{}",
        outcome.told()
    );
    let summary = &outcome.summary;
    let time = |name: &str| {
        let text = summary[name].as_str().unwrap();
        text.split('T').nth(1).unwrap()[..2].parse::<u32>().unwrap()
    };
    assert_eq!((time("last_at") + 1) % 24, time("due"), "{summary}");
}
