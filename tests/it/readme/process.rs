//! A command that keeps running in a terminal of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use super::guide::is_like;

/// A process that is killed with this value, and what it prints.
pub(super) struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    pub(super) fn start(command: &mut Command) -> Self {
        let mut child = command
            .env("STATEFUN_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let lines = stdout.lines().map_while(Result::ok);
            lines.for_each(|line| drop(send.send(line)));
        });
        Self { child, lines }
    }

    /// The next line that is like `shown`.
    pub(super) fn wait_for(&mut self, shown: &str, patience: Duration) -> String {
        loop {
            let line = self.lines.recv_timeout(patience);
            let line = line.unwrap_or_else(|err| panic!("no line like {shown}: {err}"));
            if is_like(&line, shown) {
                return line;
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
