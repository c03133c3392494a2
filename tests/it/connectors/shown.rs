//! What `statefun queues` prints of a source: its rate, and the position and lag of each split. The API and the metrics of each system are looked at in its own
//! tests.

use std::fs;
use std::process::Command;

use crate::support::process::Process;
use crate::support::until::until;

#[tokio::test]
async fn queues_prints_the_position_and_the_lag_of_a_source() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let input = path("in.jsonl");
    let line = "{\"target\":\"statefun.samples/counter/a\",\"value\":1}\n";
    fs::write(&input, line.repeat(2)).unwrap();
    let module = format!(
        "kind: statefun.samples.v1/functions
spec: {{}}
---
kind: statefun.file.v1/ingress
spec: {{id: test/in, path: '{}'}}
",
        input.display()
    );
    fs::write(path("module.yaml"), module).unwrap();
    let process = Process::run(&path("module.yaml"), &path("data"));
    let told = until("both lines to be shown", async || {
        let mut queues = Command::new(env!("CARGO_BIN_EXE_statefun"));
        queues.args(["queues", "--admin", &process.url("admin api")]);
        let asked = queues.output().unwrap();
        assert!(asked.status.success(), "{asked:?}");
        let told = String::from_utf8(asked.stdout).unwrap();
        let split = format!("  {}: at ", input.display());
        let split = told.lines().find(|line| line.starts_with(&split))?;
        split.ends_with(", 0 behind").then(|| told.clone())
    })
    .await;
    let source = "ingress test/in: 2 messages taken in";
    assert!(told.lines().any(|line| line == source), "{told}");
}
