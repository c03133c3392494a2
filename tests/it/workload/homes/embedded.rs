//! The embedded runtime: as the binary with the functions over HTTP, or with the functions in its process.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use stateful_functions::transport::http::client::{HttpClient, HttpClientConfig, HttpRequest};
use tempfile::TempDir;

use super::feeder::Feeder;
use super::servers::{RustServer, Server, own_process};
use super::{Ends, Home};
use crate::support::process::Process;
use crate::workload::found::{Captured, KAFKA_TYPE, KINESIS_TYPE, RECORD_TYPE};
use crate::workload::model::{kafka, kinesis};
use crate::workload::program::{Input, KAFKA, KINESIS, RECORDS};

/// So often it is tried to start a runtime with its functions.
const STARTS: usize = 20;
const PARTITIONS: u64 = 4;

pub(crate) struct Embedded {
    folder: TempDir,
    /// None: the functions are in the runtime's process.
    servers: Vec<Box<dyn Server>>,
    runtime: Process,
    feeder: Feeder,
    egresses: Vec<Tail>,
    ends: Ends,
}

impl Embedded {
    /// The binary, and the functions in Rust behind HTTP.
    pub(crate) fn with_rust() -> Self {
        Self::with_server(|marks| Box::new(RustServer::start(marks)))
    }

    /// The binary, and a server that is started with its folder of marks.
    pub(crate) fn with_server(start: impl FnOnce(&Path) -> Box<dyn Server>) -> Self {
        let all = "workload/* elsewhere.workload/*";
        Self::with_servers(|marks| vec![(all, start(marks))])
    }

    /// The binary, and servers that are started with a folder of marks, each with the patterns of its functions.
    pub(crate) fn with_servers(
        start: impl FnOnce(&Path) -> Vec<(&'static str, Box<dyn Server>)>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let servers = start(&marks(folder.path()));
        Self::start(folder, servers)
    }

    /// The runtime as a library, with the functions beside it.
    pub(crate) fn in_process() -> Self {
        Self::start(tempfile::tempdir().unwrap(), Vec::new())
    }

    fn start(folder: TempDir, servers: Vec<(&'static str, Box<dyn Server>)>) -> Self {
        let root = folder.path();
        let mut module =
            "kind: statefun.http.v1/ingress\nspec: {listen: '127.0.0.1:0'}\n".to_owned();
        for (patterns, server) in &servers {
            for pattern in patterns.split(' ') {
                module += &format!(
                    "---\nkind: io.statefun.endpoints.v2/http\nspec: {{functions: {pattern}, urlPathTemplate: '{}'}}\n",
                    server.url()
                );
            }
        }
        let mut egresses = Vec::new();
        for egress in [RECORDS, KAFKA, KINESIS] {
            let path = root.join(format!("{}.jsonl", egress.name()));
            module += &format!(
                "---\nkind: statefun.file.v1/egress\nspec: {{id: {egress}, path: '{}'}}\n",
                path.display()
            );
            egresses.push(Tail { path, read: 0 });
        }
        std::fs::write(root.join("module.yaml"), module).unwrap();
        let runtime = run(root, servers.is_empty(), 1);
        let servers = servers.into_iter().map(|(_, server)| server).collect();
        Self {
            feeder: Feeder::start(runtime.url("http ingress")),
            folder,
            servers,
            runtime,
            egresses,
            ends: Ends::default(),
        }
    }

    fn restart_runtime(&mut self) {
        self.ends.runtime += 1;
        let partitions = 1 + self.ends.runtime % PARTITIONS;
        self.runtime = run(self.folder.path(), self.servers.is_empty(), partitions);
        self.feeder.point_at(self.runtime.url("http ingress"));
    }

    async fn admin(&self, path: &str) -> String {
        let url = self.runtime.url("admin api") + path;
        let client = HttpClient::new(HttpClientConfig::default()).unwrap();
        let request = HttpRequest::new(Method::GET, url.parse().unwrap());
        let response = client.send(request, Duration::from_secs(60)).await.unwrap();
        assert_eq!(response.status, 200);
        String::from_utf8(response.body.to_vec()).unwrap()
    }
}

/// The folder of the functions' marks.
fn marks(root: &Path) -> PathBuf {
    let marks = root.join("marks");
    std::fs::create_dir_all(&marks).unwrap();
    marks
}

/// The number of partitions with functions in the runtime's process; it may change.
fn run(root: &Path, in_process: bool, partitions: u64) -> Process {
    let (module, data) = (root.join("module.yaml"), root.join("data"));
    if !in_process {
        return Process::run(&module, &data);
    }
    // A function may be told to crash as soon as it is called, that is, before the runtime is ready.
    for _ in 0..STARTS {
        let mut command = own_process("workload::interpreter::process_of_the_workload_runtime");
        command
            .env("MODULE", &module)
            .env("DATA", &data)
            .env("MARKS", marks(root))
            .env("PARTITIONS", partitions.to_string());
        if let Some(process) = Process::try_of(command) {
            return process;
        }
    }
    panic!("the runtime ended {STARTS} times before it was ready");
}

impl Home for Embedded {
    fn feed(&mut self, inputs: &[Input]) {
        inputs.iter().for_each(|input| self.feeder.feed(input));
    }

    fn taken_in(&self) -> u64 {
        self.feeder.accepted()
    }

    async fn tend(&mut self) -> Vec<Captured> {
        assert_eq!(self.feeder.fault(), None);
        let ended = self.runtime.has_ended();
        assert!(
            !ended || self.servers.is_empty(),
            "the runtime ended by itself"
        );
        if ended {
            self.ends.server += 1;
            self.restart_runtime();
        }
        for server in &mut self.servers {
            self.ends.server += u64::from(server.revive());
        }
        self.egresses.iter_mut().flat_map(Tail::news).collect()
    }

    async fn kill_server(&mut self) {
        if self.servers.is_empty() {
            self.runtime.kill();
        }
        self.servers.iter_mut().for_each(|server| server.kill());
    }

    async fn kill_runtime(&mut self) {
        self.runtime.kill();
        self.restart_runtime();
    }

    async fn unrest(&mut self) -> Vec<String> {
        let queues: Value = serde_json::from_str(&self.admin("/api/queues").await).unwrap();
        let mut unrest = Vec::new();
        for total in ["backlog", "calls", "parked", "timers"] {
            if queues["totals"][total] != 0 {
                unrest.push(format!("queues: {total} is {}", queues["totals"][total]));
            }
        }
        let addresses = queues["addresses"].as_array().unwrap();
        unrest.extend(addresses.iter().map(|address| format!("queues: {address}")));
        let egresses = queues["egresses"].as_array().unwrap();
        let waiting = egresses.iter().filter(|egress| egress["outbox"] != 0);
        unrest.extend(waiting.map(|egress| format!("queues: {egress}")));

        let metrics = self.admin("/metrics").await;
        let gauges = ["inflightAsyncOps", "numBacklog", "egress_undelivered"];
        for line in metrics.lines().filter(|line| !line.starts_with('#')) {
            let is_gauge = gauges
                .iter()
                .any(|gauge| line.starts_with(&format!("statefun_{gauge}")));
            if is_gauge && !line.ends_with(" 0") {
                unrest.push(format!("metrics: {line}"));
            }
        }
        unrest
    }

    fn ends(&self) -> Ends {
        self.ends
    }
}

/// The end of a file of records.
struct Tail {
    path: PathBuf,
    /// What was read, up to the end of a line.
    read: u64,
}

impl Tail {
    /// Whole lines that were not read yet. A half one is left: a runtime that starts cuts it off.
    fn news(&mut self) -> Vec<Captured> {
        let Ok(mut file) = File::open(&self.path) else {
            return Vec::new();
        };
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(self.read)).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        let whole = bytes.iter().rposition(|byte| *byte == b'\n');
        let whole = whole.map_or(0, |at| at + 1);
        self.read += whole as u64;
        let lines = bytes[..whole].split(|byte| *byte == b'\n');
        lines
            .filter(|line| !line.is_empty())
            .map(captured)
            .collect()
    }
}

fn captured(line: &[u8]) -> Captured {
    let line: Value = serde_json::from_slice(line).unwrap();
    let field = |name: &str| line[name].as_str().unwrap_or_default();
    let id = Some(format!("{} {}", field("egress"), field("id")));
    let bytes = match (line["base64"].as_str(), &line["value"]) {
        (Some(bytes), _) => STANDARD.decode(bytes).unwrap(),
        // The values of records for Kafka and Kinesis are shown as text.
        (None, Value::String(text)) if field("type") != RECORD_TYPE => text.clone().into_bytes(),
        (None, value) => value.to_string().into_bytes(),
    };
    let text = String::from_utf8_lossy(&bytes);
    let content = match field("type") {
        KAFKA_TYPE => kafka(field("topic"), field("key"), &text),
        KINESIS_TYPE => kinesis(field("stream"), field("partition_key"), &text),
        other => return Captured::read(id, field("egress"), other, &bytes),
    };
    Captured { id, content }
}
