//! The process of the driver: requests and their answers, and the events of jobs, each a line of JSON.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::cause::causes;
use super::job::Job;
use super::{ROOT, installation};

/// For the answer to one request.
const PATIENCE: Duration = Duration::from_secs(60);

/// One running driver. Many jobs, one after another or a few at once. It ends with this process, however that ends.
pub(super) struct Jvm {
    child: Mutex<Child>,
    input: Mutex<ChildStdin>,
    shared: Arc<Shared>,
    /// Its temporary files and its log. The process removes them, too: what is shared is never dropped here.
    scratch: TempDir,
}

/// What the reading thread knows, too.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    gone: bool,
    requests: u64,
    answers: HashMap<u64, oneshot::Sender<Value>>,
    jobs: HashMap<String, Arc<Job>>,
}

impl Jvm {
    /// Starts a process of its own.
    pub(super) fn start(class_path: &str) -> Arc<Self> {
        let scratch = tempfile::Builder::new()
            .prefix("jvm-")
            .tempdir_in(ROOT)
            .unwrap();
        let log = std::fs::File::create(scratch.path().join("log")).unwrap();
        let mut command = installation::java();
        command
            .args([
                "-Xmx1g",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            ])
            .arg(format!("-Djava.io.tmpdir={}", scratch.path().display()))
            .args(["-cp", class_path, "driver.Driver"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = command.spawn().unwrap();
        let input = Mutex::new(child.stdin.take().unwrap());
        let output = BufReader::new(child.stdout.take().unwrap());
        let shared = Arc::<Shared>::default();
        let reading = shared.clone();
        std::thread::spawn(move || reading.read(output));
        let child = Mutex::new(child);
        Arc::new(Self {
            child,
            input,
            shared,
            scratch,
        })
    }

    /// The process that all tests share; a new one, if the last one is gone.
    pub(super) fn shared(class_path: &str) -> Arc<Self> {
        static SHARED: Mutex<Option<Arc<Jvm>>> = Mutex::new(None);
        let mut shared = SHARED.lock().unwrap();
        match &*shared {
            Some(jvm) if !jvm.is_gone() => jvm.clone(),
            _ => shared.insert(Self::start(class_path)).clone(),
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.shared.state.lock().unwrap().gone
    }

    /// From here on the events of the job go to `job`.
    pub(super) fn watch(&self, name: &str, job: &Arc<Job>) {
        let mut state = self.shared.state.lock().unwrap();
        state.jobs.insert(name.to_owned(), job.clone());
    }

    /// A request, and its answer, which has no `failure`.
    pub(super) async fn ask(&self, request: Value) -> Value {
        let answer = self.ask_for_any(request).await;
        assert!(
            answer.get("failure").is_none(),
            "{:?}",
            causes(&answer["failure"])
        );
        answer
    }

    /// The same; `None` if it fails with `words`.
    pub(super) async fn ask_unless(&self, request: Value, words: &str) -> Option<Value> {
        let answer = self.ask_for_any(request).await;
        let Some(failure) = answer.get("failure") else {
            return Some(answer);
        };
        let causes = causes(failure);
        assert!(
            causes.iter().any(|cause| cause.message.contains(words)),
            "{causes:?}"
        );
        None
    }

    async fn ask_for_any(&self, mut request: Value) -> Value {
        let (sender, answer) = oneshot::channel();
        {
            let mut state = self.shared.state.lock().unwrap();
            assert!(!state.gone, "the JVM is gone; {}", self.end_of_log());
            state.requests += 1;
            request["id"] = state.requests.into();
            let number = state.requests;
            state.answers.insert(number, sender);
        }
        self.tell(&request);
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        let answer =
            answer.unwrap_or_else(|_| panic!("no answer to {request}; {}", self.end_of_log()));
        answer.unwrap_or_else(|_| panic!("the JVM is gone; {}", self.end_of_log()))
    }

    /// A request without an answer.
    pub(super) fn tell(&self, request: &Value) {
        let line = format!("{request}\n");
        // Whoever waits for an effect hears that the process is gone.
        let _ = self.input.lock().unwrap().write_all(line.as_bytes());
    }

    /// Ends a job without waiting for it.
    pub(super) fn cancel(&self, job: &str) {
        self.tell(&json!({"verb": "cancel", "job": job}));
    }

    /// SIGKILL.
    pub(super) fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        let _ = child.kill();
        child.wait().unwrap();
    }

    /// What the runtime logged: warnings and errors of all its jobs.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.path().join("log")).unwrap_or_default()
    }

    /// Enough to see what happened.
    pub(super) fn end_of_log(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.len().saturating_sub(60);
        format!("its log ends:\n{}", lines[last..].join("\n"))
    }
}

impl Drop for Jvm {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Shared {
    fn read(&self, lines: BufReader<ChildStdout>) {
        for line in lines.lines().map_while(Result::ok) {
            self.take(serde_json::from_str(&line).unwrap());
        }
        let mut state = self.state.lock().unwrap();
        state.gone = true;
        state.answers.clear();
        for (_, job) in state.jobs.drain() {
            job.lost();
        }
    }

    fn take(&self, line: Value) {
        let mut state = self.state.lock().unwrap();
        if let Some(number) = line["id"].as_u64() {
            if let Some(answer) = state.answers.remove(&number) {
                let _ = answer.send(line);
            }
            return;
        }
        let Some(name) = line["job"].as_str() else {
            return;
        };
        let Some(job) = state.jobs.get(name).cloned() else {
            return;
        };
        if line["event"] == "ended" {
            state.jobs.remove(name);
        }
        drop(state);
        job.take(&line);
    }
}
