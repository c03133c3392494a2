//! A runtime that runs scripts: the real one, or ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use stateful_functions::{Address, TypeName};

use super::embedded::Embedded;
use super::script::{Move, Script};
use super::transcript;
use crate::support::flink::{Cause, Flink, Settings};
use crate::support::process::Process;
use crate::support::reply::parts;
use crate::support::scripted::Scripted;
use crate::support::until::{Patience, until};

/// Where all records go.
pub(super) const OUT: &str = "agree/out";

/// The endpoints, by namespace: how they are called is what differs.
const ENDPOINTS: [(&str, &str); 5] = [
    ("agree", "{}"),
    // Answers too late for it are failures of the whole call.
    ("brief", "{call: 400ms}"),
    ("okhttp", "{type: io.statefun.transports.v1/okhttp}"),
    (
        "briefokhttp",
        "{type: io.statefun.transports.v1/okhttp, timeouts: {call: 600ms, connect: 300ms, read: 300ms, write: 300ms}}",
    ),
    ("few", "{}"),
];

fn module(server: &Scripted) -> String {
    let endpoint = |(namespace, transport): &(&str, &str)| {
        let most = if *namespace == "few" { 2 } else { 1000 };
        format!(
            "kind: io.statefun.endpoints.v2/http
spec:
  functions: {namespace}/*
  urlPathTemplate: {}
  maxNumBatchRequests: {most}
  transport: {transport}
",
            server.url()
        )
    };
    ENDPOINTS
        .iter()
        .map(endpoint)
        .collect::<Vec<_>>()
        .join("---\n")
}

/// A runtime with the module, and the function server behind it.
pub(super) struct Host {
    pub(super) server: Scripted,
    home: Home,
    /// Records before this script.
    records: usize,
    markers: AtomicUsize,
}

enum Home {
    Real(Box<Flink>),
    Ours {
        place: Arc<Embedded>,
        process: Process,
    },
}

impl Host {
    /// The real runtime; `None` where it cannot run.
    pub(super) async fn real(settings: impl FnOnce(&mut Settings)) -> Option<Self> {
        let server = Scripted::start().await;
        let mut wanted = Settings::capturing([OUT]);
        // Scripts say where a checkpoint is. Another one between two calls would be what a failure goes back to.
        wanted.checkpoint_interval = Duration::from_secs(3_600);
        settings(&mut wanted);
        let flink = Flink::start(&module(&server), wanted).await?;
        Some(Self::with(server, Home::Real(Box::new(flink))))
    }

    /// Ours, as close to the real one as it can be.
    pub(super) async fn ours(flags: &[&str]) -> Self {
        let server = Scripted::start().await;
        let flags: Vec<&str> = ["--strict"].iter().chain(flags).copied().collect();
        let place = Embedded::new(&module(&server), &flags);
        let process = place.start();
        let place = Arc::new(place);
        Self::with(server, Home::Ours { place, process })
    }

    fn with(server: Scripted, home: Home) -> Self {
        let (records, markers) = (0, AtomicUsize::new(0));
        Self {
            server,
            home,
            records,
            markers,
        }
    }

    /// Plays a script to its end; what came of it, line by line.
    pub(super) async fn play(&mut self, script: &Script) -> Vec<String> {
        self.records = self.all_records().len();
        self.begin(script).await;
        self.settle(script).await;
        self.transcript(script)
    }

    /// Plays the moves of a script.
    pub(super) async fn begin(&mut self, script: &Script) {
        for (address, steps) in &script.answers {
            self.server.script(address, steps.clone());
        }
        for step in &script.moves {
            self.make(script, step).await;
        }
    }

    async fn make(&mut self, script: &Script, step: &Move) {
        match step {
            Move::Feed(address, text) => self.feed(address, text).await,
            Move::Calls(address, count) => {
                let what = format!("{}: {count} calls of {address}", script.name);
                self.until(&what, |host| host.server.seen(address).len() >= *count)
                    .await;
            }
            Move::Settle => self.settle(script).await,
            Move::Release(address) => self.server.release(address),
            Move::Records(count) => {
                let what = format!("{}: {count} records", script.name);
                let all = self.records + count;
                self.until(&what, |host| host.all_records().len() >= all)
                    .await;
            }
            Move::Checkpoint => {
                let (echo, what) = (script.echo(), format!("{}: the last reply", script.name));
                self.until(&what, |host| !host.server.seen(&echo).is_empty())
                    .await;
                // What comes later is accepted, so what was before is on disk.
                self.settle(script).await;
                if let Home::Real(flink) = &self.home {
                    flink.checkpoint().await;
                }
            }
            Move::Restart => self.restart().await,
        }
    }

    async fn restart(&mut self) {
        match &mut self.home {
            Home::Real(flink) => {
                flink.stop().await;
                flink.start_again(&module(&self.server)).await;
            }
            Home::Ours { place, process } => {
                process.kill();
                *process = place.start();
            }
        }
    }

    async fn feed(&mut self, address: &str, text: &str) {
        let (namespace, name, id) = parts(address);
        match &mut self.home {
            Home::Real(flink) => {
                let name = TypeName::from_parts(namespace, name).unwrap();
                let target = Address::new(name, id.to_owned());
                flink.feed_raw(&target, "test/text", Some(text.as_bytes()));
            }
            Home::Ours { place, process } => {
                place
                    .feed(process, address, "test/text", text.as_bytes())
                    .await;
            }
        }
    }

    /// Whether a message is refused; `None` where the source waits instead.
    pub(super) async fn is_refused(&self, address: &str, text: &str) -> Option<bool> {
        let Home::Ours { place, process } = &self.home else {
            return None;
        };
        let text = text.as_bytes();
        let status = place.post(process, address, "test/text", text).await.status;
        assert!(status == 202 || status == 429, "{status}");
        Some(status == 429)
    }

    /// The request with which an address was called, without its states.
    pub(super) fn batches(&self, address: &str) -> Vec<String> {
        let seen = self.server.seen(address);
        let batch = |seen| transcript::messages(seen).join(", ");
        seen.iter().map(batch).collect()
    }

    /// One message follows all others, and is waited for.
    async fn settle(&mut self, script: &Script) {
        let number = self.markers.fetch_add(1, Ordering::Relaxed);
        let marker = format!("agree/marker/{number}");
        self.feed(&marker, "").await;
        let what = format!("{}: all that was fed", script.name);
        self.until(&what, |host| !host.server.seen(&marker).is_empty())
            .await;
    }

    /// Waits as long as the runtime lives.
    async fn until(&mut self, what: &str, is: impl Fn(&Self) -> bool) {
        let what = match &self.home {
            Home::Real(_) => format!("{what}, on the real runtime"),
            Home::Ours { .. } => format!("{what}, on ours"),
        };
        let patience = Patience::for_(&what);
        while !is(self) {
            match &mut self.home {
                Home::Real(flink) => {
                    let goes_on = flink.end().is_none() && !patience.is_over();
                    assert!(goes_on, "gave up waiting for {what}: {}", flink.told());
                }
                Home::Ours { process, .. } => {
                    assert!(!process.has_ended(), "{what}: {}", process.told());
                }
            }
            patience.pause().await;
        }
    }

    /// Why the real runtime gave up, the outermost cause first.
    pub(super) async fn real_failure(&self, script: &Script) -> Vec<Cause> {
        let Home::Real(flink) = &self.home else {
            panic!("this is ours");
        };
        let what = format!("{}: the failure", script.name);
        let end = until(&what, async || flink.end()).await;
        assert_eq!(end.status, "FAILED", "{end:?}");
        end.causes
    }

    /// What ours said when it gave up.
    pub(super) async fn our_failure(&mut self, script: &Script) -> String {
        let Home::Ours { process, .. } = &mut self.home else {
            panic!("this is the real one");
        };
        let what = format!("{}: the failure", script.name);
        until(&what, async || process.has_ended().then_some(())).await;
        let told = process.told();
        assert_eq!(process.wait(), Some(1), "{told}");
        told
    }

    /// What the function server was sent, address by address.
    pub(super) fn requests(&self, script: &Script) -> Vec<String> {
        let mut lines = Vec::new();
        for address in script.addresses() {
            let requests = transcript::requests(&self.server.seen(address)).into_iter();
            lines.extend(requests.map(|request| format!("{address} <- {request}")));
        }
        lines
    }

    /// Type and value of all records, in order.
    fn all_records(&self) -> Vec<(String, Vec<u8>)> {
        match &self.home {
            Home::Real(flink) => {
                let records = flink.records().into_iter();
                records
                    .map(|record| (record.typename, record.value))
                    .collect()
            }
            Home::Ours { place, .. } => place.records(),
        }
    }

    fn transcript(&self, script: &Script) -> Vec<String> {
        let mut lines = self.requests(script);
        for (typename, value) in self.all_records().into_iter().skip(self.records) {
            lines.push(format!("{OUT} <- {typename} {}", value.escape_ascii()));
        }
        let mut heads: Vec<String> = Vec::new();
        for address in script.addresses() {
            heads.extend(self.server.seen(address).iter().map(transcript::head));
        }
        heads.sort_unstable();
        heads.dedup();
        lines.extend(heads);
        lines
    }
}

impl Embedded {
    fn records(&self) -> Vec<(String, Vec<u8>)> {
        let lines = std::fs::read_to_string(self.path("out.jsonl")).unwrap_or_default();
        // A line that is being written is not counted yet.
        let whole = lines.rfind('\n').map_or("", |end| &lines[..end]);
        let record = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            let value = STANDARD.decode(line["base64"].as_str().unwrap()).unwrap();
            (line["type"].as_str().unwrap().to_owned(), value)
        };
        whole.lines().map(record).collect()
    }
}
