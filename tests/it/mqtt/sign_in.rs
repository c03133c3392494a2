//! Users, passwords and certificates.

use std::process::Command;

use stateful_functions::module::{Module, ModuleFile, Placeholders};
use stateful_functions::runtime::Runtime;

use super::broker::{Broker, certificate};
use crate::faults::hidden_attempts::{listed, started};
use crate::runtime::SAMPLES;
use crate::support::asked::{ask, has};

fn ingress(url: &str, more: &str) -> String {
    format!(
        "{SAMPLES}---
kind: statefun.mqtt.v1/ingress
spec:
  id: test/in
  url: {url}
  topics: [{{topic: a/#, valueType: statefun/json, targets: [statefun.samples/counter]}}]
{more}"
    )
}

fn set_password(broker: &Broker, password: &str) {
    let file = broker.path("users");
    std::fs::File::create(&file).unwrap();
    let set = Command::new("mosquitto_passwd")
        .arg("-b")
        .arg(&file)
        .args(["sensor", password])
        .output()
        .unwrap();
    assert!(set.status.success(), "{set:?}");
}

#[tokio::test]
async fn a_wrong_password_is_reported_and_the_ingress_recovers_when_the_broker_accepts_it() {
    let test = "mqtt with a password";
    let settings = "allow_anonymous false\npassword_file FOLDER/users\n";
    let Some(broker) = Broker::start_with(test, settings).await else {
        return;
    };
    set_password(&broker, "right");
    broker.reload();
    let more = "  username: sensor\n  password: wrong-secret\n";
    let started = started(Runtime::builder(), &ingress(&broker.url(), more)).await;
    let entry = listed(&started, "ingresses", |entry| {
        let told = entry["last_failure"].as_str().unwrap_or_default();
        entry["ingress"] == "test/in" && told.contains("refuses")
    })
    .await;
    assert!(!entry.to_string().contains("wrong-secret"), "{entry}");
    set_password(&broker, "wrong-secret");
    broker.reload();
    listed(&started, "ingresses", |entry| {
        entry["ingress"] == "test/in" && entry["last_failure"].is_null()
    })
    .await;
}

#[tokio::test]
async fn certificates_are_shown_and_checked_on_both_sides() {
    let settings = format!(
        "allow_anonymous true\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n",
        certificate("authority.crt"),
        certificate("server.crt"),
        certificate("server.key"),
    );
    let Some(broker) = Broker::start_with("mqtt with certificates", &settings).await else {
        return;
    };
    let url = format!("mqtts://localhost:{}", broker.port);
    let identity = format!(
        "cert: {}, key: {}",
        certificate("client.crt"),
        certificate("client.key")
    );
    let ca = format!("ca: {}", certificate("authority.crt"));
    let tls = format!("  tls: {{{ca}, {identity}}}\n");
    let well = started(Runtime::builder(), &ingress(&url, &tls)).await;
    listed(&well, "ingresses", |entry| {
        entry["splits"].to_string().contains("subscriptions")
    })
    .await;
    let unknown = started(Runtime::builder(), &ingress(&url, "")).await;
    listed(&unknown, "ingresses", |entry| {
        let told = entry["last_failure"].as_str().unwrap_or_default();
        told.contains("certificate")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_asks_the_broker_and_disconnects_no_client() {
    let settings = "allow_anonymous false\npassword_file FOLDER/users\n";
    let Some(broker) = Broker::start_with("mqtt check --connect", settings).await else {
        return;
    };
    set_password(&broker, "right");
    broker.reload();
    let module = |password: &str| {
        let more = format!("  username: sensor\n  password: {password}\n");
        let url = broker.url();
        let egress = format!(
            "---\nkind: statefun.mqtt.v1/egress\nspec:\n  id: test/out\n  url: {url}\n  topic: out\n{more}"
        );
        ingress(&url, &more) + &egress
    };
    let runs = started(
        Runtime::builder(),
        &ingress(&broker.url(), "  username: sensor\n  password: right\n"),
    )
    .await;
    let subscribed =
        |entry: &serde_json::Value| entry["splits"].to_string().contains("subscriptions");
    listed(&runs, "ingresses", subscribed).await;
    let check = |password: &str| tokio::task::block_in_place(|| ask(&module(password), &[]));
    let (code, answers) = check("right");
    assert_eq!(code, 0, "{answers:#?}");
    has(&answers, "fine", "spec.url", "accepts the client");
    has(
        &answers,
        "fine",
        "spec.topics",
        "takes a subscription to a/#",
    );
    has(
        &answers,
        "unknown",
        "spec",
        "whether topics may be published to",
    );
    let (code, answers) = check("wrong-secret");
    assert_eq!(code, 1, "{answers:#?}");
    assert_eq!(answers.len(), 2, "{answers:#?}");
    has(&answers, "fault", "spec.url", "it refuses");
    assert!(
        !format!("{answers:?}").contains("wrong-secret"),
        "{answers:#?}"
    );
    let entry = listed(&runs, "ingresses", subscribed).await;
    assert!(entry["last_failure"].is_null(), "{entry}");
    broker.stop();
    let (code, answers) = check("right");
    assert_eq!(code, 1, "{answers:#?}");
    assert_eq!(answers.len(), 2, "{answers:#?}");
    has(&answers, "fault", "spec.url", "Connection refused");
}

#[test]
fn a_file_that_is_not_a_certificate_stops_the_start_and_is_named() {
    let not_one = certificate("server.key");
    let more = format!("  tls: {{ca: '{not_one}'}}\n");
    let module = ingress("mqtts://localhost:1", &more);
    let file = ModuleFile {
        name: "module.yaml",
        text: &module,
    };
    let module = Module::parse(&[file], &Placeholders::Literal).unwrap();
    let refused = Runtime::builder().module(&module).unwrap_err().to_string();
    assert!(
        refused.contains("module.yaml:") && refused.contains("tls.ca"),
        "{refused}"
    );
}
