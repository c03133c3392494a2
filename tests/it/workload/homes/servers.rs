//! The function server in Rust, as those of the other languages in `support::sdk_servers`.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::support::process::Process;

/// The functions behind a runtime, as a process that can be killed.
pub(crate) trait Server {
    fn url(&self) -> String;
    /// SIGKILL, at once.
    fn kill(&mut self);
    /// Starts it again if it has ended; whether it had.
    fn revive(&mut self) -> bool;
}

/// An ignored test of this binary as a process of its own.
pub(crate) fn own_process(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([test, "--exact", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null());
    command
}

pub(crate) struct RustServer {
    port: u16,
    marks: PathBuf,
    process: Process,
}

impl RustServer {
    pub(crate) fn start(marks: &Path) -> Self {
        let (port, marks) = (free_port(), marks.to_owned());
        let process = Self::process(port, &marks);
        Self {
            port,
            marks,
            process,
        }
    }

    fn process(port: u16, marks: &Path) -> Process {
        let mut command = own_process("workload::interpreter::process_of_the_workload_functions");
        command.env("PORT", port.to_string()).env("MARKS", marks);
        Process::of(command)
    }
}

impl Server for RustServer {
    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    fn kill(&mut self) {
        self.process.kill();
    }

    fn revive(&mut self) -> bool {
        let ended = self.process.has_ended();
        if ended {
            self.process = Self::process(self.port, &self.marks);
        }
        ended
    }
}

/// A port that nobody listens on, and that no connection is given while its server is down: below those that systems hand out.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = std::process::id() as u16;
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + own.wrapping_mul(37).wrapping_add(next) % 10_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
