//! The interpreters of `tests/functions` with the official SDKs, each as a server in a process of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use super::made::{Lack, build, fetch, made_once, skipped};
use super::ports::free_port;

/// A language of an official SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Python,
    Go,
    JavaScript,
    Java,
}

impl Language {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Go => "go",
            Self::JavaScript => "javascript",
            Self::Java => "java",
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
        static MADE: [OnceLock<Result<PathBuf, Lack>>; 4] = [const { OnceLock::new() }; 4];
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
            Self::JavaScript => &["package.json", "package-lock.json", "server.js"],
            Self::Java => &["pom.xml", "Server.java", "Interpreter.java"],
        }
    }

    fn make(self, folder: &Path) -> Result<(), Lack> {
        match self {
            Self::Python => self.make_python(folder),
            Self::Go => self.make_go(folder),
            Self::JavaScript => self.make_javascript(folder),
            Self::Java => self.make_java(folder),
        }
    }

    fn make_python(self, folder: &Path) -> Result<(), Lack> {
        fetch(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let mut pip = Command::new(folder.join("bin/pip"));
        let requirements = self.source().join("requirements.txt");
        fetch(pip.args(["install", "--quiet", "-r"]).arg(requirements))
    }

    fn make_go(self, folder: &Path) -> Result<(), Lack> {
        let go = |arguments: &[&str]| {
            let mut go = Command::new("go");
            go.args(arguments).current_dir(self.source());
            go
        };
        fetch(&mut go(&["mod", "download"]))?;
        build(go(&["build", "-o"]).arg(folder.join("server")));
        Ok(())
    }

    /// Node searches for packages next to the script.
    fn make_javascript(self, folder: &Path) -> Result<(), Lack> {
        fetch(Command::new("node").arg("--version"))?;
        for file in self.inputs() {
            std::fs::copy(self.source().join(file), folder.join(file)).unwrap();
        }
        fetch(
            Command::new("npm")
                .args(["ci", "--loglevel=error"])
                .current_dir(folder),
        )
    }

    fn make_java(self, folder: &Path) -> Result<(), Lack> {
        fetch(Command::new("javac").arg("-version"))?;
        let mut maven = Command::new("mvn");
        maven.args(["--quiet", "--batch-mode", "dependency:copy-dependencies"]);
        maven.arg(format!("-DoutputDirectory={}/jars", folder.display()));
        fetch(maven.current_dir(self.source()))?;
        let mut javac = Command::new("javac");
        javac.args(["-Xlint:all", "-Werror", "-proc:none", "-cp"]);
        javac
            .arg(folder.join("jars/*"))
            .arg("-d")
            .arg(folder.join("classes"));
        build(
            javac
                .args(["Server.java", "Interpreter.java"])
                .current_dir(self.source()),
        );
        Ok(())
    }

    /// Its server, not yet started.
    fn command(self) -> Command {
        let made = self.made().as_ref().unwrap();
        let mut command = Command::new(match self {
            Self::Python => made.join("bin/python"),
            Self::Go => made.join("server"),
            Self::JavaScript => "node".into(),
            Self::Java => "java".into(),
        });
        match self {
            Self::Python => command.arg(self.source().join("server.py")),
            Self::Go => &mut command,
            Self::JavaScript => command.arg(made.join("server.js")),
            Self::Java => command
                .args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "Server"])
                .env(
                    "CLASSPATH",
                    format!("{0}/classes:{0}/jars/*", made.display()),
                ),
        };
        command
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
