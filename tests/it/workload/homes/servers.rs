//! Function servers: the one in Rust, which is this binary again, and those with the official SDKs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::ports::free_port;
use crate::support::process::Process;
use crate::support::sdk_servers::SdkServer;

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
        .stdin(Stdio::piped());
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

impl Server for SdkServer {
    fn url(&self) -> String {
        self.url()
    }

    fn kill(&mut self) {
        self.kill();
    }

    fn revive(&mut self) -> bool {
        self.revive()
    }
}
