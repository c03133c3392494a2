//! An example, started with the command that its first lines name.

use std::path::Path;
use std::process::{Child, Command};

/// It is killed when this value is dropped.
pub(crate) struct Example(Child);

impl Example {
    /// Runs `cargo run … -- ADDRESS`, which stands in the example's first lines, with another address and with its data in `data`.
    pub(crate) fn start(name: &str, command: &str, address: &str, data: &Path) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(source.join(format!("examples/{name}/main.rs")));
        assert!(
            text.unwrap().contains(command),
            "the example names another command"
        );
        let named = format!("cargo run --features {name} --example {name} -- ");
        assert!(command.starts_with(&named), "{command}");
        // What this test was built with: other features would build everything again.
        let features = match (cfg!(feature = "kafka-tls"), cfg!(feature = "kafka")) {
            (true, _) => "full,kafka-tls",
            (false, true) => "full,kafka",
            (false, false) => "full",
        };
        let cargo = |verb: &str| {
            let mut cargo = Command::new(env!("CARGO"));
            cargo
                .args([verb, "--locked", "--features", features])
                .args(["--example", name])
                .current_dir(source);
            cargo
        };
        // However long it takes to build it: only the run has to be prompt.
        assert!(cargo("build").status().unwrap().success());
        let mut run = cargo("run");
        Self(run.args(["--", address]).arg(data).spawn().unwrap())
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // Cargo replaces itself by the example.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
