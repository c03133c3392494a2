//! The sample module, from the shell: functions, state, an outage of the destination, dead letters, stop and start.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ::http::{HeaderValue, Method};
use serde_json::{Value, json};
use stateful_functions::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest};

use super::{Running, output, statefun};
use crate::support::until::until;

/// `statefun run` and where it listens.
struct Runtime {
    process: Running,
    ingress: String,
    admin: String,
}

impl Runtime {
    /// Starts the sample module on free ports, with its pipeline's destination at `sink`.
    fn start(data: &Path, sink: &str, more: &[&str]) -> Self {
        let sink = format!("SINK=http://{sink}");
        let data = data.to_str().unwrap();
        let args = [
            "run",
            "--json",
            "--data",
            data,
            "--set",
            "LISTEN=127.0.0.1:0",
            "--set",
            &sink,
            "--admin",
            "127.0.0.1:0",
        ];
        let mut process = Running::start(&[&args, more].concat());
        let (mut ingress, mut admin) = (String::new(), String::new());
        loop {
            let line = process.json_line();
            let address = || line["address"].as_str().unwrap().to_owned();
            match line["listener"].as_str() {
                Some("http ingress") => ingress = address(),
                Some("admin api") => admin = address(),
                Some(other) => panic!("an unknown listener: {other}"),
                None => break assert_eq!(line, json!({"ready": true})),
            }
        }
        Self {
            process,
            ingress,
            admin,
        }
    }

    async fn call(&self, target: &str, body: &str) -> String {
        post(
            &format!("http://{}/call/{target}", self.ingress),
            "text/plain",
            body,
        )
        .await
    }

    async fn event(&self, body: &str) {
        let url = format!("http://{}/send/pipelines/events/probe-1", self.ingress);
        let accepted = post(&url, "application/json", body).await;
        assert_eq!(
            serde_json::from_str::<Value>(&accepted).unwrap()["accepted"],
            true
        );
    }

    /// A command that speaks to the runtime; it must succeed.
    fn ask(&self, args: &[&str]) -> String {
        let (code, out, err) = output(&[args, &["--admin", &self.admin]].concat());
        assert_eq!(code, 0, "{args:?}: {err}");
        out
    }

    fn ask_json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ask(&[args, &["--json"]].concat())).unwrap()
    }

    /// The items of a list, once there are `count` of them.
    fn list(&self, args: &[&str], count: usize) -> Vec<Value> {
        loop {
            let items = self.ask_json(args).as_array().unwrap().clone();
            if items.len() == count {
                return items;
            }
        }
    }

    /// Ends it as a service manager does.
    fn terminate(mut self) {
        let pid = self.process.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(self.process.child.wait().unwrap().code(), Some(0));
    }
}

struct Sink {
    _process: Running,
    address: String,
}

impl Sink {
    fn start(more: &[&str]) -> Self {
        let mut process =
            Running::start(&[&["sink", "127.0.0.1:0", "--json", "--quiet"], more].concat());
        let address = process.json_line()["listening"]
            .as_str()
            .unwrap()
            .to_owned();
        Self {
            _process: process,
            address,
        }
    }

    async fn switch(&self, path: &str) {
        post(&format!("http://{}{path}", self.address), "text/plain", "").await;
    }

    /// The totals, once this many distinct keys have arrived.
    async fn totals(&self, distinct_keys: u64) -> Value {
        loop {
            let url = format!("http://{}/", self.address);
            let totals = request(Method::GET, &url, "text/plain", "").await;
            let totals: Value = serde_json::from_str(&totals).unwrap();
            if totals["distinct_keys"] == distinct_keys {
                return totals;
            }
        }
    }
}

async fn post(url: &str, content_type: &'static str, body: &str) -> String {
    request(Method::POST, url, content_type, body).await
}

async fn request(method: Method, url: &str, content_type: &'static str, body: &str) -> String {
    let mut request = HttpRequest::new(method, url.parse().unwrap());
    request
        .headers
        .insert("content-type", HeaderValue::from_static(content_type));
    request.body = body.to_owned().into();
    let client = HttpClient::new(HttpClientConfig::default()).unwrap();
    let response = client.send(request, Duration::from_secs(60)).await.unwrap();
    assert!(response.status.is_success(), "{url}: {}", response.status);
    String::from_utf8(response.body.to_vec()).unwrap()
}

#[test]
fn the_sample_module_is_fine() {
    assert_eq!(
        output(&["check"]),
        (0, "no faults, no warnings\n".to_owned(), String::new())
    );
}

#[tokio::test]
async fn state_survives_a_stop_and_can_be_changed_while_nothing_runs() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let runtime = Runtime::start(&data, "127.0.0.1:9", &[]);
    assert_eq!(
        runtime.call("statefun.samples/greeter/bob", "hi").await,
        "Hello bob, visit 1"
    );
    assert_eq!(
        runtime.call("statefun.samples/counter/bob", "41").await,
        "41"
    );
    runtime.ask(&[
        "send",
        "statefun.samples/counter/bob",
        "1",
        "--type",
        "io.statefun.types/int",
        "--key",
        "once",
    ]);
    runtime.ask(&[
        "send",
        "statefun.samples/counter/bob",
        "1",
        "--type",
        "io.statefun.types/int",
        "--key",
        "once",
    ]);
    assert_eq!(
        runtime.call("statefun.samples/counter/bob", "0").await,
        "42"
    );
    assert_eq!(
        runtime.ask(&["state", "list", "statefun.samples/counter"]),
        "statefun.samples/counter/bob  total  io.statefun.types/long  42\n"
    );
    assert!(
        runtime
            .ask(&["queues"])
            .starts_with("0 messages pending, 0 calls running")
    );

    assert_eq!(
        runtime.ask(&["call", "statefun.samples/counter/bob", "0"]),
        "42\n"
    );
    let answer = runtime.ask_json(&["call", "statefun.samples/counter/bob", "0"]);
    assert_eq!(
        answer,
        json!({"typename": "io.statefun.types/long", "value": 42})
    );
    let status = runtime.ask(&["status"]);
    assert!(
        status.starts_with("status: ok\n0 messages pending"),
        "{status}"
    );
    assert!(
        status.ends_with("no failing functions\nno destinations\nno dead letters\n"),
        "{status}"
    );
    assert!(status.contains(" free (intake stops below "), "{status}");
    assert_eq!(runtime.ask_json(&["status"])["disk"]["store_writable"], 1);
    assert_eq!(
        runtime.ask(&["deliveries", "list"]),
        "no deliveries are waiting\n"
    );
    assert_eq!(runtime.ask(&["dead-letters", "list"]), "no dead letters\n");
    assert_eq!(runtime.ask_json(&["dead-letters", "list"]), json!([]));

    let stopped = ["--data", data.to_str().unwrap()];
    let (code, _, err) = output(&[&["state", "list"][..], &stopped].concat());
    assert_eq!(code, 1);
    assert!(err.contains("is in use by another process"), "{err}");
    runtime.terminate();

    let offline = |args: &[&str]| {
        let (code, out, err) = output(&[args, &stopped].concat());
        assert_eq!(code, 0, "{args:?}: {err}");
        out
    };
    let total = ["statefun.samples/counter/bob", "total"];
    assert_eq!(
        offline(&[&["state", "get"][..], &total].concat()),
        "statefun.samples/counter/bob  total  io.statefun.types/long  42\n"
    );
    offline(&[&["state", "set"][..], &total, &["7"]].concat());
    let export = offline(&["state", "export"]);
    assert_eq!(export.lines().count(), 2);
    assert!(export.contains(r#"{"address":"statefun.samples/counter/bob","base64":"CQcAAAAAAAAA","state":"total","typename":"io.statefun.types/long"}"#), "{export}");
    let lines = folder.path().join("state.jsonl");
    std::fs::write(&lines, &export).unwrap();
    offline(&["state", "delete", "statefun.samples/greeter/bob", "visits"]);
    sf_53_an_import_into_an_empty_store_reproduces_all_state(folder.path(), &export);

    let runtime = Runtime::start(&data, "127.0.0.1:9", &[]);
    assert_eq!(runtime.call("statefun.samples/counter/bob", "1").await, "8");
    assert_eq!(
        runtime.call("statefun.samples/greeter/bob", "hi").await,
        "Hello bob, visit 1"
    );
    runtime.terminate();
}

/// An export on file brought into a folder that was not there, twice; a line that is not a value leaves everything as it was.
fn sf_53_an_import_into_an_empty_store_reproduces_all_state(folder: &Path, export: &str) {
    let (lines, copy) = (folder.join("state.jsonl"), folder.join("copy"));
    let (lines, copy) = (lines.to_str().unwrap(), copy.to_str().unwrap());
    let import = ["state", "import", lines, "--data", copy];
    for _ in 0..2 {
        assert_eq!(output(&import).1, "2 values imported\n");
    }
    let exported = || output(&["state", "export", "--data", copy]).1;
    assert_eq!(exported(), export);

    let torn = export.replacen("DQ", "!!", 1).replacen("CQ", "CR", 1);
    std::fs::write(folder.join("state.jsonl"), torn).unwrap();
    let (code, _, err) = output(&import);
    assert_eq!(code, 1);
    assert!(err.contains("line 2: `base64`"), "{err}");
    assert_eq!(exported(), export);
}

#[tokio::test]
async fn events_survive_an_outage_of_their_destination_and_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start(&[]);
    let runtime = Runtime::start(folder.path(), &sink.address, &[]);
    runtime.event(r#"{"severity": 5, "n": 0}"#).await;
    runtime.event(r#"{"severity": 1, "n": 1}"#).await;
    sink.totals(1).await;

    sink.switch("/off").await;
    for n in 2..22 {
        runtime
            .event(&format!(r#"{{"severity": 5, "n": {n}}}"#))
            .await;
    }
    let waiting = runtime.list(&["deliveries", "list", "--state", "awaiting"], 20);
    let address = waiting[0]["address"].as_str().unwrap();
    let shown = runtime.ask(&["deliveries", "show", address]);
    assert!(
        shown
            .lines()
            .nth(1)
            .unwrap()
            .contains("attempt 0  acknowledged"),
        "{shown}"
    );
    runtime.terminate();

    let runtime = Runtime::start(folder.path(), &sink.address, &[]);
    // While an attempt is in progress there is nothing to retry; it fails soon, because the sink is still off.
    let retry = ["deliveries", "retry", address, "--actor", "alice"];
    let told = ["--reason", "just now", "--admin", &runtime.admin];
    until("a retry that is taken", async || {
        let (code, ..) = output(&[&retry[..], &told].concat());
        (code == 0).then_some(())
    })
    .await;
    sink.switch("/on").await;
    let totals = sink.totals(21).await;
    assert_eq!(
        (&totals["duplicates"], &totals["without_key"]),
        (&json!(0), &json!(0))
    );
    runtime.list(&["deliveries", "list"], 0);

    sink.switch("/off").await;
    runtime.event(r#"{"severity": 5, "n": 22}"#).await;
    let waiting = runtime.list(&["deliveries", "list"], 1);
    let address = waiting[0]["address"].as_str().unwrap();
    let cancel = ["deliveries", "cancel", address];
    let told = ["--reason", "sent by hand", "--admin", &runtime.admin];
    until("a cancel that is taken", async || {
        let (code, ..) = output(&[&cancel[..], &told].concat());
        (code == 0).then_some(())
    })
    .await;
    runtime.list(&["deliveries", "list"], 0);
    let cancelled = runtime.list(&["deliveries", "list", "--ended"], 1);
    assert_eq!(cancelled[0]["state"], "cancelled");
    runtime.terminate();
}

#[tokio::test]
async fn a_record_that_its_destination_refuses_is_a_dead_letter_until_it_is_redriven() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start(&["--status", "400"]);
    let runtime = Runtime::start(folder.path(), &sink.address, &[]);
    for n in 0..3 {
        runtime
            .event(&format!(r#"{{"severity": 5, "n": {n}}}"#))
            .await;
    }
    let letters = runtime.list(&["dead-letters", "list", "--why", "permanent"], 3);
    // They have ended, and are not among those that wait.
    runtime.list(&["deliveries", "list"], 0);
    runtime.list(&["deliveries", "list", "--ended"], 3);
    let address = letters[0]["address"].as_str().unwrap();
    assert!(
        runtime
            .ask(&["dead-letters", "show", address])
            .contains("discarded (permanent)")
    );
    let export = runtime.ask(&["dead-letters", "export"]);
    assert_eq!(
        export
            .lines()
            .filter(|line| line.contains("\"base64\""))
            .count(),
        3
    );
    let all = ["dead-letters", "redrive", "--all", "--reason", "repaired"];
    assert_eq!(
        runtime.ask(&[&all[..], &["--dry-run"]].concat()),
        "3 would be sent again\n"
    );

    sink.switch("/on").await;
    runtime.ask(&["dead-letters", "redrive", address, "--reason", "repaired"]);
    sink.totals(1).await;
    assert_eq!(runtime.ask(&all), "2 sent again\n");
    sink.totals(3).await;
    runtime.list(&["dead-letters", "list"], 0);
}

#[tokio::test]
async fn commands_need_the_token_the_runtime_was_started_with() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::start(
        folder.path(),
        "127.0.0.1:9",
        &["--admin-token", "open-sesame"],
    );
    let (code, _, err) = output(&["queues", "--admin", &runtime.admin]);
    assert_eq!(code, 1);
    assert!(err.contains("(unauthorised)"), "{err}");
    runtime.ask(&["queues", "--token", "open-sesame"]);
}

#[test]
fn a_runtime_that_cannot_start_says_everything_that_is_wrong_and_ends_with_1() {
    let (code, out, err) = output(&["run", "tests/data/modules/bad/endpoints.yaml"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("the module has 13 faults"), "{err}");
    assert!(
        err.contains("endpoints.yaml:25:58: `spec.transport`: expected a mapping, found text"),
        "{err}"
    );

    let (_, _, err) = output(&["run", "absent.yaml"]);
    assert!(
        err.contains("cannot read absent.yaml: No such file")
            && err.contains("make a project that has one with `statefun new NAME`"),
        "{err}"
    );

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("LISTEN={}", taken.local_addr().unwrap());
    let (code, _, err) = output(&[
        "run",
        "--ephemeral",
        "--admin",
        "127.0.0.1:0",
        "--set",
        &listen,
    ]);
    assert_eq!(code, 1);
    assert!(
        err.contains("the http ingress cannot listen on 127.0.0.1:")
            && err.contains("the port is in use; change its address at module.yaml:6"),
        "{err}"
    );
    assert_eq!(
        statefun()
            .args(["run", "--data", "x", "--ephemeral"])
            .output()
            .unwrap()
            .status
            .code(),
        Some(2)
    );
}

#[test]
fn a_folder_that_is_not_a_data_folder_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, err) = output(&["state", "list", "--data", folder.path().to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(err.contains("is not a data folder of a runtime"), "{err}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
