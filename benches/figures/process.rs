//! Servers as child processes, so that each has its own CPU time and memory.

use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// A child that serves on `address`. It is killed with this value.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts this program again as the server that `arguments` name; it ends with this program, too.
    pub(crate) fn start(arguments: &[&str]) -> Result<Self> {
        let mut program = Command::new(std::env::current_exe()?);
        Self::spawn(program.arg("--serve").args(arguments), |line| {
            Ok(line.trim().parse().ok())
        })
    }

    /// `statefun sink` at any port.
    pub(crate) fn sink() -> Result<Self> {
        let mut program = Command::new(STATEFUN);
        program.args(["sink", "127.0.0.1:0", "--quiet", "--json"]);
        Self::spawn(&mut program, |line| {
            let line: Value = serde_json::from_str(line)?;
            let address = line["listening"].as_str().context("no address")?;
            Ok(Some(address.parse()?))
        })
    }

    /// `statefun run` with one HTTP ingress and its data in `folder`; returns when it is ready.
    pub(crate) fn statefun(module: &Path, folder: &Path) -> Result<Self> {
        let mut program = Command::new(STATEFUN);
        program.args([
            "run",
            "--json",
            "--log",
            "error",
            "--admin",
            "127.0.0.1:0",
            "--data",
        ]);
        program.arg(folder).arg(module);
        let mut ingress = None;
        Self::spawn(&mut program, |line| {
            let line: Value = serde_json::from_str(line)?;
            if line["listener"]
                .as_str()
                .is_some_and(|name| name.contains("ingress"))
            {
                ingress = Some(line["address"].as_str().context("no address")?.parse()?);
            }
            Ok(ingress.filter(|_| line["ready"] == true))
        })
    }

    /// Reads lines of the child's output until `address` finds in them where it serves.
    fn spawn(
        program: &mut Command,
        mut address: impl FnMut(&str) -> Result<Option<SocketAddr>>,
    ) -> Result<Self> {
        let mut child = program
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().context("a piped stdout")?);
        let mut line = String::new();
        while stdout.read_line(&mut line)? > 0 {
            if let Some(address) = address(&line)? {
                // Or the child would stop when the pipe is full.
                thread::spawn(move || io::copy(&mut stdout, &mut io::sink()));
                return Ok(Self { child, address });
            }
            line.clear();
        }
        bail!("{program:?} ended before it was ready")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: nothing is flushed, nothing is finished.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const STATEFUN: &str = env!("CARGO_BIN_EXE_statefun");

/// In the child: ends the process when the parent is gone.
pub(crate) fn end_with_parent() {
    thread::spawn(|| {
        // The parent never writes: this returns when its end of the pipe is closed.
        let _ = io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
}
