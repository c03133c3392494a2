//! Standard error that nobody takes. A user logged to a disk that was full, and each log line could end the runtime; another stopped the program
//! that read the log, and after some hundred lines nothing was answered any more, not even SIGTERM.

use std::fs::OpenOptions;
use std::process::Stdio;

use super::stage_gone::Api;
use crate::support::process::Process;

/// Logs much, asks often, and ends the runtime.
async fn runs_with(errors: Stdio) {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("module.yaml");
    std::fs::write(&module, "kind: statefun.samples.v1/functions\nspec: {}\n").unwrap();
    let mut command = Process::command(&module, &folder.path().join("data"));
    command.env("STATEFUN_LOG", "trace").stderr(errors);
    let mut runtime = Process::of(command);
    let admin = Api::of(&runtime, "admin api");
    for _ in 0..300 {
        assert_eq!(admin.get("/health").await["status"], "ok");
    }
    assert_eq!(runtime.terminate(), Some(0));
}

#[tokio::test]
async fn a_full_disk_under_the_log_loses_log_lines_and_nothing_else() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    runs_with(full.into()).await;
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_nothing() {
    runs_with(Stdio::piped()).await;
}
