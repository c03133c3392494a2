//! SIGHUP. A user closed the terminal, and the runtime ended at once, in the middle of what it did.

use std::process::Command;

use crate::support::process::Process;

#[test]
fn a_closed_terminal_ends_the_runtime_as_a_service_manager_does() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("module.yaml");
    std::fs::write(&module, "kind: statefun.samples.v1/functions\nspec: {}\n").unwrap();
    let statefun = Process::command(&module, &folder.path().join("data"));
    // The tests may run under `nohup`, which has children ignore the signal.
    let mut command = Command::new("env");
    command
        .arg("--default-signal=HUP")
        .arg(statefun.get_program());
    command.args(statefun.get_args());
    for (name, value) in statefun.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut runtime = Process::of(command);
    assert_eq!(runtime.hang_up(), Some(0));
}
