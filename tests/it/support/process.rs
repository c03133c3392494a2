//! The `statefun` binary as a process that can be killed as in a power failure.

use std::io::{BufRead, BufReader, Lines, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A runtime in its own process; killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    /// What was printed up to `ready`.
    pub(crate) started: Vec<String>,
}

impl Process {
    /// `statefun run` with a module and a data folder; returns when it is ready.
    pub(crate) fn run(module: &Path, data: &Path) -> Self {
        Self::of(Self::command(module, data))
    }

    /// Another program that prints as `statefun run` does; returns when it is ready.
    pub(crate) fn of(command: Command) -> Self {
        Self::try_of(command).expect("it ended before it was ready")
    }

    /// As [`of`](Self::of), where the program may end before it is ready.
    pub(crate) fn try_of(command: Command) -> Option<Self> {
        let (mut process, mut lines) = Self::start(command);
        while process.started.last().is_none_or(|line| line != "ready") {
            process.started.push(lines.next()?.unwrap());
        }
        // What it prints later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Some(process)
    }

    /// As [`run`](Self::run), without waiting.
    pub(crate) fn spawn(module: &Path, data: &Path) -> Self {
        Self::start(Self::command(module, data)).0
    }

    fn start(mut command: Command) -> (Self, Lines<BufReader<ChildStdout>>) {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let started = Vec::new();
        (Self { child, started }, lines)
    }

    /// The command line of [`run`](Self::run).
    pub(crate) fn command(module: &Path, data: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_statefun"));
        command
            .arg("run")
            .arg(module)
            .arg("--data")
            .arg(data)
            .args(["--admin", "127.0.0.1:0"])
            .env_remove("STATEFUN_ADMIN_TOKEN")
            .env("STATEFUN_LOG", "error");
        command
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

    /// Whether it has ended, by itself or killed.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What it wrote to its error stream, which must be piped, until it ended.
    pub(crate) fn told(&mut self) -> String {
        let mut told = String::new();
        let mut errors = self.child.stderr.take().expect("a piped error stream");
        errors.read_to_string(&mut told).unwrap();
        told
    }

    /// Its exit code, once it has ended by itself.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// SIGKILL, at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, as a service manager ends it; its exit code, unless the signal was its end.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        self.end_by("-TERM")
    }

    /// SIGHUP, as a terminal that is closed sends it; its exit code, unless the signal was its end.
    pub(crate) fn hang_up(&mut self) -> Option<i32> {
        self.end_by("-HUP")
    }

    fn end_by(&mut self, signal: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
