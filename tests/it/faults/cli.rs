//! The `statefun` binary on a module of a test.

use std::ffi::OsStr;
use std::process::Command;

/// What `statefun check` says about `module`, and its exit code; the file is called `MODULE`.
pub(super) fn check(module: &str, more: &[&str]) -> (i32, String) {
    said("check", module, more)
}

/// What `statefun COMMAND` prints about `module`, and its exit code; the file is called `MODULE`.
pub(super) fn said(command: &str, module: &str, more: &[&str]) -> (i32, String) {
    said_with(command, module, more, &[])
}

/// The same, with variables in the environment.
pub(super) fn said_with(
    command: &str,
    module: &str,
    more: &[&str],
    variables: &[(&str, &OsStr)],
) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("MODULE"), module).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_statefun"))
        .args([command, "MODULE"])
        .args(more)
        .env_remove("STATEFUN_LOG")
        .env_remove("STATEFUN_ADMIN_TOKEN")
        .envs(variables.iter().copied())
        .current_dir(folder.path())
        .output()
        .unwrap();
    let printed = [output.stdout, output.stderr].concat();
    let code = output.status.code().unwrap();
    (code, String::from_utf8(printed).unwrap())
}

/// What a command says to a runtime at `admin`, or without one: exit code, output, errors.
pub(super) async fn statefun(args: &[&str], admin: &str) -> (i32, String, String) {
    let output = command(args, admin).output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// The command, to be started; it ends with the test.
pub(super) fn command(args: &[&str], admin: &str) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_statefun"));
    command
        .args(args)
        .env_remove("STATEFUN_LOG")
        .env_remove("STATEFUN_ADMIN_TOKEN")
        .env("STATEFUN_ADMIN", admin)
        .kill_on_drop(true);
    command
}
