//! The README shows what happens: its first example is one of the repository, its links lead somewhere, its tour is taken.
//!
//! In a `console` block `$ …` is typed, and the lines below are its output; `…` stands for anything. `run` and `sink` stay, and
//! are started with free ports and a folder of their own; a second `run` comes after a kill of the first. A line without a
//! command above it is printed by `run`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const README: &str = include_str!("../../README.md");
const STATEFUN: &str = env!("CARGO_BIN_EXE_statefun");
/// Something is broken when it takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn the_first_example_is_the_greeter() {
    let example = blocks("rust").remove(0).join("\n");
    let greeter = include_str!("../../examples/greeter.rs");
    assert!(
        greeter.contains(&example),
        "examples/greeter.rs differs from\n{example}"
    );
}

#[test]
fn its_links_resolve() {
    let links = README
        .split("](")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap());
    for link in links.filter(|link| !link.contains("://")) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(link);
        assert!(path.exists(), "there is no {link}");
    }
}

#[test]
fn the_tour_shows_what_happens() {
    if Command::new("curl").arg("--version").output().is_err() {
        // Past the capture of a test's output, to be counted.
        let _ = writeln!(std::io::stderr(), "\nSKIPPED readme: there is no curl");
        return;
    }
    let mut tour = Tour::start();
    for block in blocks("console") {
        let mut lines = block.into_iter().peekable();
        while let Some(first) = lines.next() {
            let mut step = Step::default();
            match first.strip_prefix("$ ") {
                Some(command) => step.command = command.to_owned(),
                None => step.shown.push(first),
            }
            while let Some(line) = lines.next_if(|line| !line.starts_with("$ ")) {
                step.shown.push(line);
            }
            tour.take(&step);
        }
    }
}

/// The code blocks of a language.
fn blocks(language: &str) -> Vec<Vec<String>> {
    let mut blocks = Vec::new();
    let mut lines = README.lines();
    while let Some(line) = lines.next() {
        if let Some(opened) = line.strip_prefix("```") {
            let block = lines.by_ref().take_while(|line| *line != "```");
            let block = block.map(str::to_owned).collect();
            if opened == language {
                blocks.push(block);
            }
        }
    }
    blocks
}

#[derive(Debug, Default)]
struct Step {
    /// Empty: the lines come from the runtime.
    command: String,
    shown: Vec<String>,
}

struct Tour {
    folder: TempDir,
    _sink: Process,
    runtime: Option<Process>,
    /// A port in the README, and the one that stands for it.
    ports: Vec<(&'static str, String)>,
}

impl Tour {
    fn start() -> Self {
        let mut sink = Process::start(Command::new(STATEFUN).args(["sink", "127.0.0.1:0"]));
        let port = port(&sink.wait_for("sink listens on http://127.0.0.1:…"));
        let folder = tempfile::tempdir().unwrap();
        // In a terminal curl shows no progress either.
        std::fs::write(folder.path().join(".curlrc"), "silent\nshow-error\n").unwrap();
        Self {
            folder,
            _sink: sink,
            runtime: None,
            ports: vec![("9000", port)],
        }
    }

    fn take(&mut self, step: &Step) {
        if step.command.starts_with("PATH=") || step.command.ends_with("statefun sink") {
            return;
        }
        if step.command.ends_with("-- run") {
            self.run();
        }
        if step.command.is_empty() || step.command.ends_with("-- run") {
            let runtime = self.runtime.as_mut().unwrap();
            // The lines up to `ready` are awaited by `run`.
            for line in step.shown.iter().filter(|_| step.command.is_empty()) {
                runtime.wait_for(line);
            }
            return;
        }
        self.type_in(step);
    }

    fn run(&mut self) {
        self.runtime = None;
        let mut command = Command::new(STATEFUN);
        command
            .args(["run", "--admin", "127.0.0.1:0", "--data"])
            .arg(self.folder.path().join("data"))
            .env("LISTEN", "127.0.0.1:0")
            .env("SINK", self.here("http://127.0.0.1:9000"));
        let mut runtime = Process::start(&mut command);
        self.ports.truncate(1);
        for (listener, stands_for) in [("http ingress", "8090"), ("admin api", "8191")] {
            let line = runtime.wait_for(&format!("{listener} listens on 127.0.0.1:…"));
            self.ports.push((stands_for, port(&line)));
        }
        runtime.wait_for("ready");
        self.runtime = Some(runtime);
    }

    /// What only reads is repeated until it shows what the README shows: effects take their time.
    fn type_in(&self, step: &Step) {
        let command = self.here(&step.command);
        let reads = !command.contains(" -d ") && !command.contains(" -X ");
        let since = Instant::now();
        loop {
            let output = self.bash(&command);
            let lines: Vec<_> = output.lines().collect();
            let shown = step.shown.iter().map(|line| self.here(line));
            if lines.len() == step.shown.len()
                && shown.zip(&lines).all(|(shown, line)| is_like(line, &shown))
            {
                return;
            }
            let again = reads && since.elapsed() < PATIENCE;
            assert!(
                again,
                "$ {command}\n{output}\nbut the README shows {:#?}",
                step.shown
            );
        }
    }

    fn bash(&self, command: &str) -> String {
        let bin = Path::new(STATEFUN).parent().unwrap().display();
        let path = format!("{bin}:{}", std::env::var("PATH").unwrap());
        let output = Command::new("bash")
            .args(["-c", &format!("{command} 2>&1")])
            .env("CURL_HOME", self.folder.path())
            .env("PATH", path)
            .env("STATEFUN_ADMIN", self.here("127.0.0.1:8191"))
            .env("NO_PROXY", "localhost")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// With the ports of this run.
    fn here(&self, text: &str) -> String {
        let ports = self.ports.iter();
        ports.fold(text.to_owned(), |text, (readme, here)| {
            text.replace(readme, here)
        })
    }
}

/// Whether `line` is `shown`, in which `…` stands for anything.
fn is_like(line: &str, shown: &str) -> bool {
    let mut parts = shown.split('…');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn port(line: &str) -> String {
    let after = line.split("127.0.0.1:").nth(1).unwrap();
    after.chars().take_while(char::is_ascii_digit).collect()
}

/// A process that is killed with this value, and what it prints.
struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .env("STATEFUN_LOG", "error")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
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
    fn wait_for(&mut self, shown: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
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
