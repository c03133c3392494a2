//! The `statefun` binary, as it is called from a shell.

#[cfg(feature = "testing")]
mod environment;
mod new;
#[cfg(feature = "testing")]
mod pipelines;
mod tour;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use stateful_functions::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest};

use crate::support::raw::ask;

fn statefun() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_statefun"));
    command
        .env_remove("STATEFUN_LOG")
        .env_remove("STATEFUN_ADMIN")
        .env_remove("STATEFUN_ADMIN_TOKEN")
        .env_remove("SINK")
        .env_remove("LISTEN")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")));
    command
}

fn output(args: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = statefun().args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

const GOOD: &str = "tests/data/modules/good";
const BAD: &str = "tests/data/modules/bad";
/// Whether this build has the Kafka connector.
const HAS_KAFKA: bool = cfg!(feature = "kafka");

#[test]
fn check_ends_with_0_1_or_2() {
    let (code, out, _) = output(&["check", &format!("{GOOD}/upstream.yaml")]);
    // It names a file that is not on this machine.
    assert_eq!(code, 0, "{out}");
    assert!(
        out.contains("`trust_cacerts` /certs/ca.pem: No such file"),
        "{out}"
    );
    assert!(out.ends_with("no faults, 1 warning\n"), "{out}");

    let (code, out, _) = output(&["check", &format!("{BAD}/syntax.yaml")]);
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains(
            "fault: tests/data/modules/bad/syntax.yaml:4:1: `spec`: key `spec` occurs again"
        ),
        "{out}"
    );
    assert!(out.ends_with("3 faults, no warnings\n"), "{out}");

    let (code, out, _) = output(&["check", &format!("{GOOD}/kafka.yaml")]);
    assert_eq!(code, 0, "{out}");
    if HAS_KAFKA {
        assert!(out.ends_with("no faults, no warnings\n"), "{out}");
    } else {
        let note = "io.statefun.kafka.v1/egress com.example/plain needs a connector";
        assert!(out.contains("note: ") && out.contains(note), "{out}");
        assert!(out.ends_with("no faults, no warnings, 4 notes\n"), "{out}");
    }

    let (code, out, err) = output(&["check", "absent.yaml"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(
        err.starts_with("statefun: cannot read absent.yaml: "),
        "{err}"
    );

    let (code, _, err) = output(&["check", "--for", "spark"]);
    assert_eq!(code, 2);
    assert!(err.contains("flink"), "{err}");
}

#[test]
fn pipelines_are_drawn_as_a_flowchart() {
    let (code, out, err) = output(&["pipeline", "graph", "tests/data/edgex.yaml"]);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.starts_with("flowchart LR\n  subgraph p0[\"gateway/all\"]\n"),
        "{out}"
    );
    assert!(
        out.contains("(\"http://h:80\")") && out.contains("p0 -- \"old/#35;\" --> p2"),
        "{out}"
    );
    let (code, _, err) = output(&["pipeline", "graph", &format!("{GOOD}/kafka.yaml")]);
    assert_eq!(code, 1);
    assert!(err.contains("declares no pipeline"), "{err}");
    let (code, _, err) = output(&["pipeline", "graph", &format!("{BAD}/syntax.yaml")]);
    assert_eq!(code, 1);
    assert!(err.contains("occurs again"), "{err}");
}

#[test]
fn sf_57_lazy_faults_are_errors_for_check() {
    let (code, out, _) = output(&["check", &format!("{GOOD}/lazy_faults.yaml")]);
    assert_eq!(code, 1);
    assert!(
        out.contains("fault: ") && out.contains("Timeout durations must be larger than 0."),
        "{out}"
    );
    let (_, strict, _) = output(&["check", "--strict", &format!("{GOOD}/lazy_faults.yaml")]);
    let upstream = "Unable to parse Netty transport spec. Timeout durations must be larger than 0.";
    assert!(strict.contains(upstream), "{strict}");
}

#[test]
fn sf_29_check_reads_certificates_and_keys() {
    let folder = tempfile::tempdir().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls");
    for file in [
        "client.crt",
        "client.key",
        "client.encrypted.key",
        "client.old.key",
        "client.password",
    ] {
        std::fs::copy(data.join(file), folder.path().join(file)).unwrap();
    }
    std::fs::write(folder.path().join("bare.password"), "open sesame").unwrap();
    let module = folder.path().join("module.yaml");
    let check = |files: &str| {
        let text = format!(
            "kind: io.statefun.endpoints.v2/http\nspec:\n  functions: a/b\n  urlPathTemplate: https://localhost/\n  \
             transport: {{client_cert: 'classpath:client.crt', {files}}}\n"
        );
        std::fs::write(&module, text).unwrap();
        output(&["check", "--for", "flink", module.to_str().unwrap()]).1
    };
    for (files, said) in [
        (
            "client_key: 'classpath:missing.key'",
            "warning: MODULE:3:3: `spec.transport`: `client_key` ",
        ),
        (
            "client_key: 'classpath:client.encrypted.key', client_key_password: 'classpath:client.password'",
            "not for flink: MODULE:3:3: `spec.transport`: `client_key` is under PBES2",
        ),
        (
            "client_key: 'classpath:client.old.key', client_key_password: 'classpath:client.password'",
            "not for flink: MODULE:3:3: `spec.transport`: `client_key_password` ends with a line end",
        ),
        (
            "client_key: 'classpath:client.key', client_key_password: 'classpath:client.password'",
            "not for flink: MODULE:3:3: `spec.transport`: `client_key_password` is given",
        ),
    ] {
        let said = said.replace("MODULE", module.to_str().unwrap());
        let out = check(files);
        assert!(out.contains(&said), "{files}: {out}");
    }
    for files in [
        "client_key: 'classpath:client.key'",
        "client_key: 'classpath:client.old.key', client_key_password: 'classpath:bare.password'",
    ] {
        let out = check(files);
        assert!(!out.contains("spec.transport"), "{files}: {out}");
    }
}

#[test]
fn the_example_behind_statefun_has_nothing_that_flink_would_not_run() {
    let module = "examples/behind_statefun/module.yaml";
    let (code, out, _) = output(&["check", "--for", "flink", module]);
    assert_eq!(code, 0, "{out}");
    if HAS_KAFKA {
        let summary = "no faults, 0 not for flink, no warnings\n";
        assert!(out.ends_with(summary), "{out}");
    } else {
        let summary = "no faults, 0 not for flink, no warnings, 2 notes\n";
        assert!(out.ends_with(summary), "{out}");
        let (code, _, err) = output(&["run", "--ephemeral", module]);
        assert_eq!(code, 1);
        let note = "io.statefun.kafka.v1/ingress example/logins needs a connector";
        assert!(err.contains(note), "{err}");
    }
    let embedded = output(&["check", "examples/behind_statefun/embedded.yaml"]);
    assert_eq!((embedded.0, &*embedded.1), (0, "no faults, no warnings\n"));
}

#[test]
fn check_for_flink_reports_what_would_not_run_there() {
    let file = format!("{GOOD}/own_kinds.yaml");
    assert_eq!(output(&["check", &file, "--set", "PORT=1"]).0, 0);
    let (code, out, _) = output(&[
        "check", &file, "--set", "PORT=1", "--for", "flink", "--json",
    ]);
    assert_eq!(code, 1);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&report["fine"], &report["faults"]),
        (&Value::Bool(false), &Value::Array(vec![]))
    );
    assert!(report["flink"].as_array().unwrap().len() > 10, "{report}");
    let findings = report["flink"].as_array().unwrap();
    let is_first_kind = |found: &&Value| found["line"] == 2 && found["path"] == "kind";
    assert_eq!(findings.iter().filter(is_first_kind).count(), 1, "{report}");
}

#[test]
fn sf_62_set_overrides_the_environment_and_strict_leaves_placeholders() {
    let file = format!("{GOOD}/own_kinds.yaml");
    let code = |args: &[&str]| {
        statefun()
            .env("PORT", "80")
            .arg("check")
            .arg(&file)
            .args(args)
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(code(&[]), Some(0));
    assert_eq!(code(&["--set", "PORT=none"]), Some(1));
    let global = "statefun.module.global-config.PORT";
    assert_eq!(code(&["--set", &format!("{global}=none")]), Some(1));
    let both = ["--set", "PORT=81", "--set", &format!("{global}=none")];
    assert_eq!(code(&both), Some(0));
    assert_eq!(code(&["--strict"]), Some(1));
    assert_eq!(code(&["--set", "PORT"]), Some(2));
}

/// A process that is ended with the test.
struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut child = statefun()
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("another line").unwrap()
    }

    fn json_line(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn the_sink_counts_and_is_switched_off_and_on() {
    let mut sink = Running::start(&["sink", "127.0.0.1:0", "--json"]);
    let address = sink.json_line()["listening"].as_str().unwrap().to_owned();
    let client = HttpClient::new(HttpClientConfig::default()).unwrap();
    let post = async |path: &str, key: &str| {
        let mut request =
            HttpRequest::post(format!("http://{address}{path}").parse().unwrap(), "hello");
        if !key.is_empty() {
            request
                .headers
                .insert("idempotency-key", key.parse().unwrap());
        }
        client
            .send(request, Duration::from_secs(10))
            .await
            .unwrap()
            .status
            .as_u16()
    };
    assert_eq!(post("/events", "a").await, 200);
    assert_eq!(post("/events", "a").await, 200);
    assert_eq!(post("/off", "").await, 200);
    assert_eq!(post("/events", "b").await, 503);
    assert_eq!(post("/status/418", "").await, 200);
    assert_eq!(post("/events", "b").await, 418);
    assert_eq!(post("/status/hot", "").await, 400);
    assert_eq!(post("/on", "").await, 200);
    assert_eq!(post("/events", "b").await, 200);

    let url = format!("http://{address}/").parse().unwrap();
    let totals = client
        .send(
            HttpRequest::new(http::Method::GET, url),
            Duration::from_secs(10),
        )
        .await
        .unwrap();
    // In a terminal the prompt follows in a line of its own.
    assert!(totals.body.ends_with(b"}\n"), "{:?}", totals.body);
    let totals: Value = serde_json::from_slice(&totals.body).unwrap();
    assert_eq!(
        totals,
        serde_json::json!({"up": true, "status": 200, "received": 3, "refused": 2, "duplicates": 1, "distinct_keys": 2, "without_key": 0, "bytes": 15})
    );
    let first = sink.json_line();
    assert_eq!(
        (&first["status"], &first["key"], &first["body"]),
        (&200.into(), &"a".into(), &"hello".into())
    );
    assert_eq!(sink.json_line()["duplicate"], true);
    assert_eq!(sink.json_line()["status"], 503);
}

#[tokio::test]
async fn the_sink_reads_bodies_within_the_limits_of_every_listener() {
    let mut sink = Running::start(&["sink", "127.0.0.1:0", "--json"]);
    let address = sink.json_line()["listening"].as_str().unwrap().to_owned();
    for (head, status) in [
        ("host: x\r\ncontent-length: 68719476736", 413),
        ("content-length: 1", 400),
    ] {
        let request = format!("POST /events HTTP/1.1\r\n{head}\r\n\r\n");
        let answer = ask(&address, request.as_bytes()).await;
        assert_eq!(answer.status(), status, "{head}: {}", answer.text());
        assert!(answer.text().contains("message"), "{}", answer.text());
    }
}

#[test]
fn a_port_in_use_is_reported_in_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, err) = output(&["sink", &address]);
    assert_eq!((code, err.lines().count()), (1, 1), "{err}");
    assert!(
        err.contains(&format!("cannot listen on {address}")),
        "{err}"
    );
}

#[test]
fn every_command_has_examples_in_its_help() {
    let (_, help, _) = output(&["--help"]);
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.len() >= 2, "{help}");
    for command in commands {
        let (code, help, _) = output(&[command, "--help"]);
        assert_eq!(code, 0);
        assert!(help.contains("Examples:"), "{command}: {help}");
    }
}

#[tokio::test]
async fn the_state_of_a_stopped_runtime_is_read_and_repaired_in_its_folder() {
    use stateful_functions::runtime::{Runtime, samples};
    use stateful_functions::{Address, MessageBuilder, TypeName, types};

    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let counter = Address::new(TypeName::new("statefun.samples/counter"), "a");
    let start = || {
        Runtime::builder()
            .functions(samples::functions().unwrap())
            .data(folder.path())
            .start()
    };
    let add = |number: i64| MessageBuilder::to(counter.clone()).value(number);
    let runtime = start().await.unwrap();
    runtime
        .call(&add(41), Duration::from_secs(5))
        .await
        .unwrap();

    // While it runs its folder is locked, and the refusal says so.
    let (code, _, err) = output(&["state", "list", "--data", data]);
    assert_eq!(code, 1);
    assert!(err.contains("in use"), "{err}");
    runtime.shutdown().await;

    let (code, out, err) = output(&["state", "list", "--data", data]);
    assert_eq!(
        (code, out.trim()),
        (
            0,
            "statefun.samples/counter/a  total  io.statefun.types/long  41"
        ),
        "{err}"
    );
    let set = [
        "state",
        "set",
        "statefun.samples/counter/a",
        "total",
        "7",
        "--data",
        data,
    ];
    assert_eq!(output(&set).0, 0);

    // A copy without it is read, as `run` opens it.
    std::fs::remove_file(folder.path().join("lock")).unwrap();
    for (what, printed) in [("list", "7\n"), ("verify", "no damage")] {
        let (code, out, err) = output(&["state", what, "--data", data]);
        assert_eq!(code, 0, "{err}");
        assert!(out.contains(printed), "{out}");
    }

    let runtime = start().await.unwrap();
    let answer = runtime.call(&add(1), Duration::from_secs(5)).await.unwrap();
    assert_eq!(answer.require(&types::LONG).unwrap(), 8);
    runtime.shutdown().await;

    let (code, _, err) = output(&["state", "list", "--data", "no/such/folder"]);
    assert_eq!(code, 1);
    assert!(err.contains("no/such/folder is not a data folder"), "{err}");
}
