//! SIGHUP. A user closed the terminal, and the runtime ended at once, in the middle of what it did.

use crate::support::process::Process;

#[test]
fn a_closed_terminal_ends_the_runtime_as_a_service_manager_does() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("module.yaml");
    std::fs::write(&module, "kind: statefun.samples.v1/functions\nspec: {}\n").unwrap();
    let mut runtime = Process::run(&module, &folder.path().join("data"));
    assert_eq!(runtime.hang_up(), Some(0));
}
