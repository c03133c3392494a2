//! Users, passwords, certificates, databases, and what `statefun check --connect` says of a server.

use std::fs;
use std::time::Duration;

use stateful_functions::module::{Module, ModuleFile, Placeholders};
use stateful_functions::runtime::{Asking, Runtime, Verdict, ask_systems};

use super::server::{Server, to_stream};
use crate::faults::hidden_attempts::{listed, started};

fn module(url: &str, more: &str) -> String {
    format!(
        "kind: statefun.redis.v1/ingress
spec:
  id: test/in
  url: {url}
  startupPosition: earliest
  streams: [{{stream: in, valueType: statefun/json, targets: [pipelines/p]}}]
{more}{}",
        to_stream(url, "out").replace("to: streams", &format!("to: streams{}", flow(more)))
    )
}

/// Lines of a block as keys of a flow mapping.
fn flow(block: &str) -> String {
    let lines = block.lines().map(str::trim);
    lines.map(|line| format!(", {line}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_signs_in_with_a_password_of_a_file_and_a_wrong_one_is_reported_without_being_shown()
{
    let user = [
        "--user",
        "sensor",
        "on",
        ">right-secret",
        "~*",
        "&*",
        "+@all",
    ];
    let Some(server) = Server::start_with("redis users", &user).await else {
        return;
    };
    let file = server.folder.path().join("password");
    fs::write(&file, "right-secret\n").unwrap();
    let sign_in = format!("  username: sensor\n  passwordFile: {}\n", file.display());
    let well = started(Runtime::builder(), &module(&server.url(), &sign_in)).await;
    server.ask(&["XADD", "in", "*", "value", "1"]);
    server.holds("out", 1).await;
    drop(well);
    let wrong = "  username: sensor\n  password: wrong-secret\n";
    let wrong = started(Runtime::builder(), &module(&server.url(), wrong)).await;
    let entry = listed(&wrong, "ingresses", |entry| {
        let told = entry["last_failure"].as_str().unwrap_or_default();
        told.contains("WRONGPASS")
    })
    .await;
    assert!(!entry.to_string().contains("wrong-secret"), "{entry}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_is_chosen_by_its_number() {
    let Some(server) = Server::start("redis database").await else {
        return;
    };
    let url = format!("{}/3", server.url());
    let _started = started(Runtime::builder(), &module(&url, "")).await;
    server.ask(&["-n", "3", "XADD", "in", "*", "value", "1"]);
    crate::support::until::until("the entry", async || {
        (server.ask(&["-n", "3", "XLEN", "out"]) == "1").then_some(())
    })
    .await;
    assert_eq!(server.ask(&["EXISTS", "out"]), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_shown_and_checked_on_both_sides() {
    let file = |name: &str| format!("{}/{name}", crate::support::tls::DATA);
    let (ca, cert, key) = (
        file("authority.crt"),
        file("server.crt"),
        file("server.key"),
    );
    // `PORT` is the port of the server; the plain one is off.
    let settings = [
        "--tls-port",
        "PORT",
        "--tls-ca-cert-file",
        &ca,
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
    ];
    let Some(server) = Server::start_with("redis certificates", &settings).await else {
        return;
    };
    let url = format!("rediss://localhost:{}", server.port);
    let tls = format!(
        "  tls: {{ca: {ca}, cert: {}, key: {}}}\n",
        file("client.crt"),
        file("client.key")
    );
    let well = started(Runtime::builder(), &module(&url, &tls)).await;
    listed(&well, "ingresses", |entry| {
        entry["ingress"] == "test/in" && entry["last_failure"].is_null()
    })
    .await;
    let answers = asked(&module(&url, &tls)).await;
    assert!(
        answers.iter().all(|(verdict, _)| *verdict == Verdict::Fine),
        "{answers:?}"
    );
    let unknown = started(Runtime::builder(), &module(&url, "")).await;
    listed(&unknown, "ingresses", |entry| {
        let told = entry["last_failure"].as_str().unwrap_or_default();
        told.contains("certificate")
    })
    .await;
}

async fn asked(text: &str) -> Vec<(Verdict, String)> {
    let file = ModuleFile {
        name: "module.yaml",
        text,
    };
    let module = Module::parse(&[file], &Placeholders::Literal).unwrap();
    let answers = ask_systems(&module, &Asking::within(Duration::from_secs(10))).await;
    let told = answers.into_iter();
    told.map(|answer| (answer.verdict, answer.finding.to_string()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_asks_the_server_for_its_streams_and_changes_nothing() {
    let Some(server) = Server::start("redis check").await else {
        return;
    };
    let text = module(&server.url(), "");
    let answers = asked(&text).await;
    assert!(
        answers.iter().all(|(verdict, _)| *verdict == Verdict::Fine),
        "{answers:?}"
    );
    assert_eq!(server.ask(&["EXISTS", "in"]), "0");
    server.ask(&["SET", "in", "x"]);
    let answers = asked(&text).await;
    let fault = answers
        .iter()
        .find(|(verdict, _)| *verdict == Verdict::Fault);
    assert!(
        fault.unwrap().1.contains("`in` is a string, not a stream"),
        "{answers:?}"
    );
    server.stop();
    let answers = asked(&text).await;
    assert!(
        answers
            .iter()
            .all(|(verdict, _)| *verdict == Verdict::Fault),
        "{answers:?}"
    );
}
