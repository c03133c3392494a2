//! Does what a guide says.
//!
//! `statefun run`, `statefun sink` and `cargo run` keep running, with free ports and a folder of their own; a second `run` comes after a kill of the first.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::guide::{Change, Piece, are_like};
use super::process::Process;
use super::{ROOT, is_there};

const STATEFUN: &str = env!("CARGO_BIN_EXE_statefun");
/// Where the tutorial's project is built: what it depends on is built once.
const TARGET: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/tutorial");
/// Something is broken when it takes longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same, of what is built first.
const PATIENCE_WITH_CARGO: Duration = Duration::from_secs(900);

/// A reader with terminals.
pub(super) struct Tour {
    /// Where commands are typed.
    folder: PathBuf,
    own: TempDir,
    _sink: Process,
    functions: Option<Process>,
    runtime: Option<Process>,
    /// A port in the guide, and the one that stands for it.
    ports: Vec<(&'static str, String)>,
    /// The code it shows is that of the project it has made.
    pub(super) is_tutorial: bool,
}

impl Tour {
    /// `None` when a program is missing.
    pub(super) fn start(folder: &Path) -> Option<Self> {
        if !is_there("curl") {
            return None;
        }
        let own = tempfile::tempdir().unwrap();
        // In a terminal curl shows no progress either.
        std::fs::write(own.path().join(".curlrc"), "silent\nshow-error\n").unwrap();
        let mut sink = Process::start(Command::new(STATEFUN).args(["sink", "127.0.0.1:0"]));
        let line = sink.wait_for("sink listens on http://127.0.0.1:…", PATIENCE);
        Some(Self {
            folder: folder.to_owned(),
            own,
            _sink: sink,
            functions: None,
            runtime: None,
            ports: vec![("9000", port(&line))],
            is_tutorial: false,
        })
    }

    pub(super) fn take(mut self, pieces: Vec<Piece>) {
        for piece in pieces {
            match piece {
                Piece::Step { command, shown } => self.step(&command, &shown),
                Piece::Stop(command) => match command.as_str() {
                    "cargo run" => self.functions = None,
                    other => panic!("{other} cannot be stopped"),
                },
                Piece::Edit { file, change } => self.edit(&file, change),
                Piece::Code { language, text } if self.is_tutorial && language == "rust" => {
                    self.must_have(&text);
                }
                Piece::Code { .. } => {}
            }
        }
    }

    fn step(&mut self, command: &str, shown: &[String]) {
        match command {
            "statefun run" => self.run(),
            // It has been there from the start, because the runtime is given its port.
            "statefun sink" => {}
            "cargo run" => self.start_functions(),
            "" => {
                let runtime = self.runtime.as_mut().unwrap();
                for line in shown {
                    runtime.wait_for(line, PATIENCE);
                }
            }
            command => match command.strip_prefix("cd ") {
                Some(folder) => self.folder.push(folder),
                None => self.type_in(command, shown),
            },
        }
        if command.starts_with("statefun new ") {
            // The versions that are here, so that nothing has to be fetched.
            let project = self
                .folder
                .join(command.trim_start_matches("statefun new "));
            std::fs::copy(
                Path::new(ROOT).join("Cargo.lock"),
                project.join("Cargo.lock"),
            )
            .unwrap();
        }
    }

    fn run(&mut self) {
        self.runtime = None;
        let mut command = self.command(STATEFUN);
        command
            .args(["run", "--admin", "127.0.0.1:0", "--data"])
            .arg(self.own.path().join("data"))
            .env("LISTEN", "127.0.0.1:0")
            .env("SINK", self.here("http://127.0.0.1:9000"))
            .env("FUNCTIONS", self.here("http://127.0.0.1:8000/"));
        let mut runtime = Process::start(&mut command);
        for (listener, stands_for) in [("http ingress", "8090"), ("admin api", "8191")] {
            let shown = format!("{listener} listens on 127.0.0.1:…");
            let line = runtime.wait_for(&shown, PATIENCE);
            self.set_port(stands_for, port(&line));
        }
        runtime.wait_for("ready", PATIENCE);
        self.runtime = Some(runtime);
    }

    fn start_functions(&mut self) {
        self.functions = None;
        let known = self.ports.iter().find(|(guide, _)| *guide == "8000");
        let port_now = known.map_or("0", |(_, port)| port);
        let mut cargo = self.command("cargo");
        let cargo = cargo.args(["run", "--quiet"]);
        let cargo = cargo.env("LISTEN", format!("127.0.0.1:{port_now}"));
        let mut functions = Process::start(cargo);
        let line = functions.wait_for("functions of shop on http://…", PATIENCE_WITH_CARGO);
        self.set_port("8000", port(&line));
        self.functions = Some(functions);
    }

    fn edit(&self, file: &str, change: Change) {
        let path = self.folder.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        let text = match change {
            Change::Append(more) => format!("{text}\n{more}\n"),
            Change::Replace { before, after } => {
                let count = text.matches(&before).count();
                assert_eq!(count, 1, "{file} has {count} times:\n{before}");
                text.replace(&before, &after)
            }
        };
        std::fs::write(path, text).unwrap();
    }

    /// Some file of the project has this code.
    fn must_have(&self, code: &str) {
        let has = |folder: &str| {
            let files = std::fs::read_dir(self.folder.join(folder)).unwrap();
            files.into_iter().any(|file| {
                let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
                text.contains(code)
            })
        };
        assert!(
            has("src") || has("tests"),
            "no file of the project has\n{code}"
        );
    }

    /// What only reads is repeated until it shows what the guide shows: effects take their time.
    fn type_in(&self, command: &str, shown: &[String]) {
        let command = self.here(command);
        let acts = [
            " -d ",
            " -X ",
            "cargo ",
            "statefun call ",
            "statefun jobs retry ",
            "statefun new ",
            "statefun send ",
        ];
        let reads = !acts.iter().any(|act| command.contains(act));
        let expected: Vec<String> = shown.iter().map(|line| self.here(line)).collect();
        let since = Instant::now();
        loop {
            let output = self.bash(&command);
            let lines: Vec<_> = output.lines().collect();
            if are_like(&lines, &expected) {
                return;
            }
            let again = reads && since.elapsed() < PATIENCE;
            assert!(
                again,
                "$ {command}\n{output}\nbut the guide shows {expected:#?}"
            );
        }
    }

    fn bash(&self, command: &str) -> String {
        let output = self
            .command("bash")
            .args(["-c", &format!("{command} 2>&1")])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// A program in the folder of the guide, with the binary in its path and nothing of this test's own cargo.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let is_cargos =
                |name: &str| name.starts_with("CARGO_TARGET_") || name == "RUSTC_BOOTSTRAP";
            if name.to_str().is_some_and(is_cargos) {
                command.env_remove(name);
            }
        }
        let bin = Path::new(STATEFUN).parent().unwrap().display();
        let path = format!("{bin}:{}", std::env::var("PATH").unwrap());
        command
            .current_dir(&self.folder)
            .env("CURL_HOME", self.own.path())
            .env("PATH", path)
            .env("CARGO_TARGET_DIR", TARGET)
            .env("CARGO_NET_OFFLINE", "true")
            .env("STATEFUN_ADMIN", self.here("127.0.0.1:8191"))
            .env_remove("STATEFUN_ADMIN_TOKEN")
            .env("NO_PROXY", "localhost,127.0.0.1");
        command
    }

    fn set_port(&mut self, guide: &'static str, here: String) {
        self.ports.retain(|(known, _)| *known != guide);
        self.ports.push((guide, here));
    }

    /// With the ports of this run.
    fn here(&self, text: &str) -> String {
        let ports = self.ports.iter();
        ports.fold(text.to_owned(), |text, (guide, here)| {
            text.replace(guide, here)
        })
    }
}

fn port(line: &str) -> String {
    let after = line.split("127.0.0.1:").nth(1).unwrap();
    after.chars().take_while(char::is_ascii_digit).collect()
}
