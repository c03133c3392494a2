//! The suites of sources and sinks, on files that are rotated meanwhile.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use stateful_functions::runtime::{Runtime, RuntimeBuilder};
use stateful_functions::testing::conformance::sink::SinkRig;
use stateful_functions::testing::conformance::source::SourceRig;
use stateful_functions::testing::conformance::{Guarantee, LedgerEntry, sink, source};
use stateful_functions::{Address, MessageBuilder, TypeName, types};

use super::{Turn, append, rotated_text};
use crate::connectors::with;
use crate::support::seeds::for_each_seed;

/// Records between two rotations.
const RECORDS: u64 = 7;

struct Ingress {
    path: PathBuf,
    turn: Option<Turn>,
    fed: AtomicU64,
    /// Whether a position is on disk. The first start begins with the file that is there, whatever was rotated before.
    has_begun: AtomicBool,
}

impl Ingress {
    /// Answers are given when everything before them is on disk.
    async fn begins(&self, runtime: &Runtime, id: &str) {
        let ledger = Address::new(TypeName::new("conformance/ledger"), id);
        let read = MessageBuilder::to(ledger).value("read");
        let answer = runtime.call(&read, Duration::from_secs(1)).await;
        let texts = answer
            .ok()
            .and_then(|answer| answer.require(&types::STRING).ok());
        if texts.is_some_and(|texts| !texts.is_empty()) {
            self.has_begun.store(true, Ordering::Relaxed);
        }
    }
}

#[async_trait]
impl SourceRig for Ingress {
    fn bind(&self, builder: RuntimeBuilder) -> RuntimeBuilder {
        let path = self.path.display();
        let spec = format!("{{id: conformance/in, path: '{path}'}}");
        with(
            builder,
            &format!("kind: statefun.file.v1/ingress\nspec: {spec}\n"),
        )
    }

    async fn feed(&self, runtime: &Runtime, record: &LedgerEntry) -> bool {
        let fed = self.fed.fetch_add(1, Ordering::Relaxed);
        if !self.has_begun.load(Ordering::Relaxed) {
            self.begins(runtime, &record.id).await;
        }
        if let Some(turn) = self.turn
            && self.has_begun.load(Ordering::Relaxed)
            && fed % RECORDS == RECORDS - 1
        {
            turn.rotate(&self.path, fed);
        }
        let line = serde_json::json!({
            "target": format!("conformance/ledger/{}", record.id),
            "value": record.text,
        });
        append(&self.path, &format!("{line}\n"));
        true
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }
}

#[test]
fn a_file_is_a_source_that_is_exactly_once_though_it_is_rotated_by_renaming() {
    for_each_seed(3, |seed| {
        let turns = [None, Some(Turn::Renamed)];
        for turn in turns {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("in.jsonl");
            let fed = AtomicU64::new(0);
            let has_begun = AtomicBool::new(false);
            let rig = Ingress {
                path,
                turn,
                fed,
                has_begun,
            };
            source::run(&rig, seed);
        }
    });
}

/// A file that is rotated after some records.
struct Egress(PathBuf);

#[async_trait]
impl SinkRig for Egress {
    fn bind(&self, builder: RuntimeBuilder) -> RuntimeBuilder {
        let path = self.0.display();
        let rotate = "{maxBytes: 500, keep: 100000}";
        let spec = format!("{{id: conformance/out, path: '{path}', rotate: {rotate}}}");
        with(
            builder,
            &format!("kind: statefun.file.v1/egress\nspec: {spec}\n"),
        )
    }

    async fn arrived(&self, _runtime: &Runtime) -> Vec<String> {
        let lines = rotated_text(&self.0);
        let whole = lines.rfind('\n').map_or("", |end| &lines[..end]);
        let text = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["value"].as_str().unwrap().to_owned()
        };
        whole.lines().map(text).collect()
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }
}

#[test]
fn a_file_is_a_sink_that_is_exactly_once_though_it_is_rotated() {
    for_each_seed(6, |seed| {
        let folder = tempfile::tempdir().unwrap();
        sink::run(&Egress(folder.path().join("out.jsonl")), seed);
    });
}
