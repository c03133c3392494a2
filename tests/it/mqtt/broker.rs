//! A broker on this machine, and its command line clients.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;

use tempfile::TempDir;

use crate::support::made::skipped;
use crate::support::until::until;

/// Where Debian's package puts it, which is not on everybody's path.
const PROGRAMS: [&str; 2] = ["mosquitto", "/usr/sbin/mosquitto"];

/// A broker that keeps its sessions over a stop.
pub(crate) struct Broker {
    program: &'static str,
    pub(super) folder: TempDir,
    pub(crate) port: u16,
    process: Mutex<Option<Child>>,
}

impl Broker {
    /// `None`, and `test` is reported as skipped, where there is none.
    pub(crate) async fn start(test: &str) -> Option<Self> {
        Self::start_with(test, "allow_anonymous true\n").await
    }

    /// A broker with further settings, in which `FOLDER` is its folder.
    pub(crate) async fn start_with(test: &str, settings: &str) -> Option<Self> {
        let is_there = |program: &str| Command::new(program).arg("--help").output().is_ok();
        let found = PROGRAMS.into_iter().find(|program| is_there(program));
        let (Some(program), true) = (found, is_there("mosquitto_sub")) else {
            skipped(test, "mosquitto and its clients are not installed");
            return None;
        };
        loop {
            let broker = Self::on_a_free_port(program, settings);
            // Somebody else may have taken the port meanwhile.
            if broker.try_restart().await {
                return Some(broker);
            }
        }
    }

    fn on_a_free_port(program: &'static str, settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = port.local_addr().unwrap().port();
        let path = folder.path().display().to_string();
        let mut text = format!(
            "listener {port} 127.0.0.1
persistence true
persistence_location {path}/
max_queued_messages 0
queue_qos0_messages true
user root
"
        );
        text.push_str(&settings.replace("FOLDER", &path));
        fs::write(folder.path().join("mosquitto.conf"), text).unwrap();
        File::create(folder.path().join("users")).unwrap();
        Self {
            program,
            folder,
            port,
            process: Mutex::default(),
        }
    }

    pub(super) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts it again after [`stop`](Self::stop).
    pub(super) async fn restart(&self) {
        assert!(self.try_restart().await, "the broker does not start");
    }

    async fn try_restart(&self) -> bool {
        let path = self.path("log");
        let log = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap();
        let starts = || {
            let log = fs::read_to_string(&path).unwrap();
            log.matches(" running\n").count()
        };
        let before = starts();
        let mut process = Command::new(self.program)
            .arg("-v")
            .arg("-c")
            .arg(self.path("mosquitto.conf"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let runs = until("the broker to run", async || {
            let has_ended = process.try_wait().unwrap().is_some();
            match (has_ended, starts() > before) {
                (true, _) => Some(false),
                (false, true) => Some(true),
                (false, false) => None,
            }
        })
        .await;
        *self.process.lock().unwrap() = Some(process);
        runs
    }

    /// Ends it in good order: it writes its sessions to its folder.
    pub(super) fn stop(&self) {
        let process = self.process.lock().unwrap().take();
        if let Some(mut process) = process {
            if process.try_wait().unwrap().is_none() {
                signal("-TERM", process.id());
            }
            process.wait().unwrap();
        }
    }

    /// Stops it in the middle of whatever it does; its connections stay open.
    pub(super) fn pause(&self) {
        let process = self.process.lock().unwrap();
        signal("-STOP", process.as_ref().unwrap().id());
    }

    /// Lets it go on after [`pause`](Self::pause).
    pub(super) fn go_on(&self) {
        let process = self.process.lock().unwrap();
        signal("-CONT", process.as_ref().unwrap().id());
    }

    /// Lets it read its files of users again.
    pub(super) fn reload(&self) {
        let process = self.process.lock().unwrap();
        signal("-HUP", process.as_ref().unwrap().id());
    }

    /// Publishes each line of `texts` to `topic`, one after the other.
    pub(crate) fn publish(&self, topic: &str, qos: u8, texts: &[&str]) {
        self.publish_with(topic, qos, texts, &[]);
    }

    pub(super) fn publish_with(&self, topic: &str, qos: u8, texts: &[&str], more: &[&str]) {
        let mut lines = String::new();
        for text in texts {
            writeln!(lines, "{text}").unwrap();
        }
        let mut child = self
            .client("mosquitto_pub")
            .args(["-t", topic, "-q", &qos.to_string(), "-l"])
            .args(more)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(lines.as_bytes()).unwrap();
        drop(input);
        assert!(child.wait().unwrap().success());
    }

    /// Publishes a value of type `io.statefun.types/string`.
    pub(super) fn publish_string(&self, topic: &str, qos: u8, text: &str) {
        let length = u8::try_from(text.len()).unwrap();
        assert!(length < 128, "one byte of length");
        self.publish_bytes(topic, qos, &[&[10, length], text.as_bytes()].concat());
    }

    pub(crate) fn publish_bytes(&self, topic: &str, qos: u8, value: &[u8]) {
        let mut child = self
            .client("mosquitto_pub")
            .args(["-t", topic, "-q", &qos.to_string(), "-s"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(value).unwrap();
        drop(input);
        assert!(child.wait().unwrap().success());
    }

    /// Makes the session of a client, as its first connection does.
    pub(crate) fn make_session(&self, client_id: &str, topic: &str, qos: u8) {
        let made = self
            .client("mosquitto_sub")
            .args(["-c", "-E", "-i", client_id, "-t", topic])
            .args(["-q", &qos.to_string()])
            .status()
            .unwrap();
        assert!(made.success());
    }

    /// The next `count` publications, each as `<topic> <payload>`.
    pub(crate) fn take(&self, client_id: &str, topic: &str, count: usize) -> Vec<String> {
        let taken: Output = self
            .client("mosquitto_sub")
            .args(["-c", "-i", client_id, "-t", topic, "-q", "2", "-v"])
            .args(["-C", &count.to_string(), "-W", "60"])
            .output()
            .unwrap();
        let text = String::from_utf8(taken.stdout).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// As [`take`](Self::take), for payloads that are not text.
    pub(crate) fn take_bytes(&self, client_id: &str, topic: &str) -> (String, Vec<u8>) {
        let taken: Output = self
            .client("mosquitto_sub")
            .args(["-c", "-i", client_id, "-t", topic, "-q", "2"])
            .args(["-F", "%t %x", "-C", "1", "-W", "60"])
            .output()
            .unwrap();
        let text = String::from_utf8(taken.stdout).unwrap();
        let (topic, hex) = text.trim_end().split_once(' ').unwrap();
        let digits = hex.as_bytes().chunks(2);
        let byte = |pair: &[u8]| {
            let pair = std::str::from_utf8(pair).unwrap();
            u8::from_str_radix(pair, 16).unwrap()
        };
        (topic.to_owned(), digits.map(byte).collect())
    }

    /// Writes all publications to a file, from now on, until the broker is dropped.
    pub(super) async fn write_down(&self, topic: &str) -> (PathBuf, Child) {
        let path = self.path("written");
        let file = File::create(&path).unwrap();
        // Line by line, though it writes to a file.
        let child = Command::new("stdbuf")
            .args(["-oL", "mosquitto_sub", "-h", "127.0.0.1"])
            .args(["-p", &self.port.to_string()])
            .args(["-t", topic, "-q", "2", "-i", "writer"])
            .stdout(file)
            .spawn()
            .unwrap();
        self.logs("SUBACK to writer", 1).await;
        (path, child)
    }

    /// Waits until the log of the broker contains `text` so many times.
    pub(crate) async fn logs(&self, text: &str, times: usize) {
        until(&format!("`{text}` in the broker's log"), async || {
            let log = fs::read_to_string(self.path("log")).unwrap();
            (log.matches(text).count() >= times).then_some(())
        })
        .await;
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        command
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
    }
}

fn signal(signal: &str, process: u32) {
    let sent = Command::new("kill")
        .args([signal, &process.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// The path of a file of the tests' authority.
pub(super) fn certificate(name: &str) -> String {
    let path = Path::new(crate::support::tls::DATA).join(name);
    path.display().to_string()
}
