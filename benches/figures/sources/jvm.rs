//! The real StateFun 3.3.0, in a Java machine of its own, steered by lines of JSON (`tests/flink`).

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::scratch;
use crate::support::installation;

const PATIENCE: Duration = Duration::from_secs(90);
/// A task manager of 2 GiB with the default collector and compilers, and enough managed memory for RocksDB.
const SIZE: [&str; 4] = [
    "-Xms512m",
    "-Xmx2g",
    "-Dcluster.taskmanager.memory.managed.size=512m",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
];

/// It is killed when this value is dropped.
pub(super) struct Jvm {
    child: Child,
    input: ChildStdin,
    lines: Receiver<Value>,
    /// Checkpoints, temporary files and the log.
    folder: TempDir,
    /// As Flink names it.
    backend: &'static str,
    jobs: u64,
    /// The job that has ended by itself.
    over: Option<String>,
}

impl Jvm {
    /// # Errors
    /// If Java, Maven or an artifact cannot be had here.
    pub(super) fn start(backend: &'static str) -> Result<Self> {
        let class_path = installation::class_path().map_err(|lack| anyhow!("{lack}"))?;
        let folder = scratch()?;
        let temporary = folder.path().join("temporary");
        fs::create_dir(&temporary)?;
        let mut java = installation::java();
        java.args(SIZE)
            .arg(format!("-Djava.io.tmpdir={}", temporary.display()));
        let mut child = java
            .args(["-cp", class_path, "driver.Driver"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.path().join("log"))?)
            .spawn()?;
        let input = child.stdin.take().context("a piped stdin")?;
        let output = BufReader::new(child.stdout.take().context("a piped stdout")?);
        let (tell, lines) = channel();
        thread::spawn(move || {
            let lines = output.lines().map_while(Result::ok);
            for line in lines.filter_map(|line| serde_json::from_str(&line).ok()) {
                if tell.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            child,
            input,
            lines,
            folder,
            backend,
            jobs: 0,
            over: None,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Starts a job with this module; returns its name.
    pub(super) fn submit(&mut self, module: &Path) -> Result<String> {
        self.jobs += 1;
        let job = format!("job-{}", self.jobs);
        let request = json!({
            "id": self.jobs,
            "verb": "start",
            "job": job,
            "settings": self.settings(module),
            "egresses": [],
        });
        self.tell(&request)?;
        // In any order.
        let (number, mut answered, mut started) = (self.jobs, false, false);
        self.wait("start of the job", |line| {
            answered |= line["id"] == number;
            started |= line["event"] == "started" && line["job"] == *job;
            answered && started
        })?;
        Ok(job)
    }

    /// Exactly once, with a checkpoint each second; a failure is the end.
    fn settings(&self, module: &Path) -> Map<String, Value> {
        let checkpoints: PathBuf = self.folder.path().join("checkpoints");
        let settings = [
            ("statefun.remote.module-name", module.display().to_string()),
            ("parallelism.default", PARALLELISM.to_owned()),
            ("execution.checkpointing.interval", "1 s".to_owned()),
            ("execution.checkpointing.mode", "EXACTLY_ONCE".to_owned()),
            ("restart-strategy", "none".to_owned()),
            ("state.backend", self.backend.to_owned()),
            ("state.backend.incremental", "true".to_owned()),
            (
                "state.checkpoints.dir",
                format!("file://{}", checkpoints.display()),
            ),
            (
                "execution.buffer-timeout",
                format!("{} ms", BUFFER_TIMEOUT.as_millis()),
            ),
        ];
        let settings = settings.map(|(key, value)| (key.to_owned(), Value::from(value)));
        settings.into_iter().collect()
    }

    /// Fails if the job has ended.
    pub(super) fn must_run(&mut self, job: &str) -> Result<()> {
        while let Ok(line) = self.lines.try_recv() {
            if line["event"] == "ended" && line["job"] == *job {
                self.over = Some(job.to_owned());
                bail!("the job of the real StateFun has ended: {line}");
            }
        }
        Ok(())
    }

    /// Cancels a job, and waits for its end.
    pub(super) fn cancel(&mut self, job: &str) -> Result<()> {
        if self.over.as_deref() == Some(job) {
            return Ok(());
        }
        self.tell(&json!({"verb": "cancel", "job": job}))?;
        self.wait("end of the job", |line| {
            line["event"] == "ended" && line["job"] == *job
        })
    }

    fn tell(&mut self, request: &Value) -> Result<()> {
        writeln!(self.input, "{request}")?;
        Ok(self.input.flush()?)
    }

    fn wait(&self, what: &str, mut is_it: impl FnMut(&Value) -> bool) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                bail!("the real StateFun: no {what}; {}", self.end_of_log());
            };
            if line.get("failure").is_some() {
                bail!("the real StateFun, waiting for {what}: {line}");
            }
            if is_it(&line) {
                return Ok(());
            }
        }
    }

    fn end_of_log(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.len().saturating_sub(20);
        format!("its log ends:\n{}", lines[last..].join("\n"))
    }
}

/// Of its operators.
const PARALLELISM: &str = "1";
/// How long it may collect records between its operators: the default is 100 ms.
const BUFFER_TIMEOUT: Duration = Duration::from_millis(1);

impl Drop for Jvm {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
