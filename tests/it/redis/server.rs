//! A Redis server on this machine, and its command line client.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use tempfile::TempDir;

use crate::support::made::skipped;
use crate::support::until::until;

/// A server that keeps its data over a stop.
pub(crate) struct Server {
    pub(crate) folder: TempDir,
    pub(crate) port: u16,
    settings: Vec<String>,
    process: Mutex<Option<Child>>,
}

impl Server {
    /// `None`, and `test` is told as skipped, where there is none.
    pub(crate) async fn start(test: &str) -> Option<Self> {
        Self::start_with(test, &[]).await
    }

    /// A server with further settings.
    pub(crate) async fn start_with(test: &str, settings: &[&str]) -> Option<Self> {
        let is_there = |program: &str| Command::new(program).arg("--version").output().is_ok();
        if !is_there("redis-server") || !is_there("redis-cli") {
            skipped(test, "redis-server and redis-cli are not installed");
            return None;
        }
        loop {
            let port = TcpListener::bind("127.0.0.1:0").unwrap();
            let server = Self {
                folder: tempfile::tempdir().unwrap(),
                port: port.local_addr().unwrap().port(),
                settings: settings.iter().map(ToString::to_string).collect(),
                process: Mutex::default(),
            };
            drop(port);
            // Somebody else may have taken the port meanwhile.
            if server.try_restart().await {
                return Some(server);
            }
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) async fn restart(&self) {
        assert!(self.try_restart().await, "the server does not start");
    }

    async fn try_restart(&self) -> bool {
        let has_tls = self.settings.iter().any(|setting| setting == "--tls-port");
        let port = if has_tls {
            "0".to_owned()
        } else {
            self.port.to_string()
        };
        let mut process = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
            .arg(self.folder.path())
            .args(self.settings.iter().map(|setting| match setting.as_str() {
                "PORT" => self.port.to_string(),
                other => other.to_owned(),
            }))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let runs = until("the server to run", async || {
            if process.try_wait().unwrap().is_some() {
                return Some(false);
            }
            let answers = std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok();
            // It answers before it has read its data.
            let is_loading = answers && !has_tls && self.try_ask(&["PING"]).contains("LOADING");
            (answers && !is_loading).then_some(true)
        })
        .await;
        *self.process.lock().unwrap() = Some(process);
        runs
    }

    /// Ends it at once, as a crash does.
    pub(crate) fn stop(&self) {
        let process = self.process.lock().unwrap().take();
        if let Some(mut process) = process {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// The answer to a command, a line for each text of it.
    pub(crate) fn ask(&self, command: &[&str]) -> String {
        let answer = self.try_ask(command);
        assert!(!answer.starts_with("ERR"), "{command:?}: {answer}");
        answer
    }

    fn try_ask(&self, command: &[&str]) -> String {
        let output = self.client().args(command).output().unwrap();
        String::from_utf8(output.stdout)
            .unwrap()
            .trim_end()
            .to_owned()
    }

    /// A command whose last argument is `bytes`.
    pub(crate) fn tell(&self, command: &[&str], bytes: &[u8]) {
        let mut child = self
            .client()
            .arg("-x")
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// The values of all entries of a stream with one field.
    pub(crate) fn values(&self, stream: &str) -> Vec<String> {
        let told = self.ask(&["XRANGE", stream, "-", "+"]);
        let lines: Vec<&str> = told.lines().collect();
        let values = lines.chunks_exact(3).map(|entry| entry[2].to_owned());
        values.collect()
    }

    /// The values of all entries of a stream, as numbers, in their order.
    pub(crate) fn numbers(&self, stream: &str) -> Vec<usize> {
        let values = self.values(stream).into_iter();
        let mut numbers: Vec<usize> = values.map(|value| value.parse().unwrap()).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Waits until a group has acknowledged everything that it was handed out.
    pub(crate) async fn has_acknowledged(&self, stream: &str, group: &str) {
        until("all acknowledgements", async || {
            let pending = self.ask(&["XPENDING", stream, group]);
            pending.starts_with('0').then_some(())
        })
        .await;
    }

    /// Waits for so many entries of a stream.
    pub(crate) async fn holds(&self, stream: &str, count: usize) {
        until(&format!("{count} entries of {stream}"), async || {
            let length: usize = self.try_ask(&["XLEN", stream]).parse().unwrap_or(0);
            (length >= count).then_some(())
        })
        .await;
    }

    fn client(&self) -> Command {
        let mut command = Command::new("redis-cli");
        command.args(["--raw", "-p", &self.port.to_string()]);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A pipeline that sends each payload to a stream, as its value, by an egress.
pub(crate) fn to_stream(url: &str, stream: &str) -> String {
    format!(
        "---
kind: statefun.pipelines.v1/pipeline
spec:
  name: p
  stages: [{{kafka-export: {{egress: test/out, topic: {stream}}}}}]
---
kind: statefun.redis.v1/egress
spec: {{id: test/out, url: '{url}', to: streams}}
"
    )
}
