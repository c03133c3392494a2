//! Servers as child processes, so that each has its own CPU time and memory.

use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// A child that serves on `address`. It is killed when this value is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts this program again as the server given by `arguments`; it ends together with this program.
    pub(crate) fn start(arguments: &[&str]) -> Result<Self> {
        let mut program = Command::new(std::env::current_exe()?);
        Self::spawn(program.arg("--serve").args(arguments), |line| {
            Ok(line.trim().parse().ok())
        })
    }

    /// `statefun sink` on a free port.
    pub(crate) fn sink() -> Result<Self> {
        let mut program = Command::new(STATEFUN);
        program.args(["sink", "127.0.0.1:0", "--quiet", "--json"]);
        Self::spawn(&mut program, |line| {
            let line: Value = serde_json::from_str(line)?;
            let address = line["listening"].as_str().context("no address")?;
            Ok(Some(address.parse()?))
        })
    }

    /// A program that will listen on `address` without printing a line when it does.
    pub(crate) fn listening(program: &mut Command, address: SocketAddr) -> Result<Self> {
        let child = program
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {program:?}"))?;
        let mut server = Self { child, address };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{program:?} ended with {status} before it listened");
            }
            ensure!(
                start.elapsed() < PATIENCE,
                "{program:?} does not listen on {address} after {PATIENCE:?}"
            );
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Reads lines of the child's output until `address` finds its address in one.
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
                // Otherwise the child would block when the pipe is full.
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

    /// Sends SIGKILL: nothing is flushed or finished.
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

/// Time limit for a third-party server to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A free loopback port.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// `statefun run`. The server's address is that of its HTTP ingress, or of its admin API if it has none.
pub(crate) struct Statefun {
    server: Server,
    pub(crate) admin: SocketAddr,
}

impl Statefun {
    /// With its data in `folder`; returns when it is ready.
    pub(crate) fn durable(module: &Path, folder: &Path) -> Result<Self> {
        Self::run(module, &["--data".as_ref(), folder.as_os_str()])
    }

    /// With everything in memory.
    pub(crate) fn ephemeral(module: &Path) -> Result<Self> {
        Self::run(module, &["--ephemeral".as_ref()])
    }

    fn run(module: &Path, storage: &[&std::ffi::OsStr]) -> Result<Self> {
        let mut program = Command::new(STATEFUN);
        program.args(["run", "--json", "--log", "error", "--admin", "127.0.0.1:0"]);
        program.args(storage).arg(module);
        let (mut ingress, mut admin) = (None, None);
        let server = Server::spawn(&mut program, |line| {
            let line: Value = serde_json::from_str(line)?;
            if let Some(name) = line["listener"].as_str() {
                let address = line["address"].as_str().context("no address")?.parse()?;
                let kind = if name.contains("ingress") {
                    &mut ingress
                } else {
                    &mut admin
                };
                *kind = Some(address);
            }
            let address = ingress.or(admin);
            Ok(address.filter(|_| line["ready"] == true))
        })?;
        let admin = admin.context("the runtime names no admin listener")?;
        Ok(Self { server, admin })
    }

    pub(crate) fn kill(self) -> Result<()> {
        self.server.kill()
    }
}

impl Deref for Statefun {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

/// The binary that is measured.
pub(crate) const STATEFUN: &str = env!("CARGO_BIN_EXE_statefun");

/// In the child: ends the process when the parent is gone.
pub(crate) fn end_with_parent() {
    thread::spawn(|| {
        // The parent never writes: this returns when its end of the pipe is closed.
        let _ = io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
}
