//! The interpreters of `tests/functions` with the official SDKs, each as a server in a process of its own.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use super::made::{Lack, build, fetch, made_once, skipped};

/// A language of an official SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Python,
    Go,
}

impl Language {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Go => "go",
        }
    }

    /// Whether its server is fetched and built. Otherwise says that `test` is skipped, and why.
    pub(crate) fn is_there(self, test: &str) -> bool {
        let made = self.made();
        if let Err(lack) = made {
            skipped(test, &format!("no {} functions: {lack}", self.name()));
        }
        made.is_ok()
    }

    /// The folder with all that its server needs; made once in a process.
    fn made(self) -> &'static Result<PathBuf, Lack> {
        static MADE: [OnceLock<Result<PathBuf, Lack>>; 2] = [const { OnceLock::new() }; 2];
        MADE[self as usize].get_or_init(|| {
            let inputs = self.inputs().iter().map(|file| self.source().join(file));
            let inputs: Vec<_> = inputs.collect();
            let name = format!("functions/{}", self.name());
            made_once(&name, &inputs, |folder| self.make(folder))
        })
    }

    fn source(self) -> PathBuf {
        let functions = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/functions");
        functions.join(self.name())
    }

    /// What its folder is made of.
    fn inputs(self) -> &'static [&'static str] {
        match self {
            Self::Python => &["requirements.txt"],
            Self::Go => &["go.mod", "go.sum", "main.go", "interpreter.go"],
        }
    }

    fn make(self, folder: &Path) -> Result<(), Lack> {
        let source = self.source();
        let mut go = Command::new("go");
        match self {
            Self::Python => {
                fetch(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
                let mut pip = Command::new(folder.join("bin/pip"));
                let requirements = source.join("requirements.txt");
                fetch(pip.args(["install", "--quiet", "-r"]).arg(requirements))?;
            }
            Self::Go => {
                fetch(go.args(["mod", "download"]).current_dir(&source))?;
                let mut go = Command::new("go");
                let server = folder.join("server");
                build(go.args(["build", "-o"]).arg(server).current_dir(&source));
            }
        }
        Ok(())
    }

    /// Its server, not yet started.
    fn command(self) -> Command {
        let made = self.made().as_ref().unwrap();
        match self {
            Self::Python => {
                let mut python = Command::new(made.join("bin/python"));
                python.arg(self.source().join("server.py"));
                python
            }
            Self::Go => Command::new(made.join("server")),
        }
    }
}

/// A function server; killed when it is dropped, and it ends when this process does.
#[derive(Debug)]
pub(crate) struct SdkServer {
    language: Language,
    port: u16,
    marks: PathBuf,
    child: Child,
}

impl SdkServer {
    /// Starts it on a free port; returns when it listens. Its language [is there](Language::is_there).
    pub(crate) fn start(language: Language, marks: &Path) -> Self {
        let (port, marks) = (free_port(), marks.to_owned());
        Self {
            language,
            port,
            child: spawn(language, port, &marks),
            marks,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// SIGKILL, at once. It stays down until it is [restarted](Self::restart).
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Starts it again, killed before if it still runs, at the same address; returns when it listens.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.child = spawn(self.language, self.port, &self.marks);
    }

    /// Starts it again if it has ended by itself; whether it had.
    pub(crate) fn revive(&mut self) -> bool {
        let ended = self.child.try_wait().unwrap().is_some();
        if ended {
            self.restart();
        }
        ended
    }
}

impl Drop for SdkServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(language: Language, port: u16, marks: &Path) -> Child {
    let mut child = language
        .command()
        .env("PORT", port.to_string())
        .env("MARKS", marks)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.any(|line| line.unwrap() == "ready");
    assert!(
        ready,
        "the {} server ended before it was ready",
        language.name()
    );
    // What it prints later must not fill the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

/// A port that nobody listens on, and that no connection is given while its server is down: below those that systems hand out.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = std::process::id() as u16;
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + own.wrapping_mul(37).wrapping_add(next) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
