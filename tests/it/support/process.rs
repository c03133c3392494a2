//! The `statefun` binary as a process of its own, that can be killed as a machine would lose it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A runtime in its own process; killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    /// What was printed up to `ready`.
    pub(crate) started: Vec<String>,
}

impl Process {
    /// `statefun run` with a module and a data folder; returns when it is ready.
    pub(crate) fn run(module: &Path, data: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_statefun"))
            .arg("run")
            .arg(module)
            .arg("--data")
            .arg(data)
            .args(["--admin", "127.0.0.1:0"])
            .env_remove("STATEFUN_LOG")
            .env("STATEFUN_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut started = Vec::new();
        while started.last().is_none_or(|line| line != "ready") {
            started.push(lines.next().expect("it ended before it was ready").unwrap());
        }
        // What it prints later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, started }
    }

    /// `http://host:port` of a listener.
    pub(crate) fn url(&self, listener: &str) -> String {
        let prefix = format!("{listener} listens on ");
        let address = self
            .started
            .iter()
            .find_map(|line| line.strip_prefix(&prefix));
        format!(
            "http://{}",
            address.unwrap_or_else(|| panic!("no {listener} in {:?}", self.started))
        )
    }

    /// SIGKILL, at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
