//! The real Apache StateFun.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use tempfile::TempDir;

use super::servers::{RustServer, Server};
use super::{Ends, Home};
use crate::support::flink::{Flink, Record, Settings, endpoint};
use crate::workload::found::Captured;
use crate::workload::model::canonical;
use crate::workload::program::{Input, KAFKA, KINESIS, PROGRAM, RECORDS};

/// One in this many kills ends the whole process; the others fail the job.
const KILLS_PER_PROCESS: u64 = 4;
/// The interval of checks of the functions.
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) struct OnFlink {
    flink: Flink,
    server: RustServer,
    module: String,
    /// Records that were taken.
    known: usize,
    ends: Ends,
    _marks: TempDir,
}

impl OnFlink {
    /// With the functions in Rust behind HTTP; `None`, and a line that says so, where the real runtime cannot run.
    pub(crate) async fn start(parallelism: u32) -> Option<Self> {
        let marks = tempfile::tempdir().unwrap();
        let server = RustServer::start(marks.path());
        let module = ["workload/*", "elsewhere.workload/*"].map(|of| endpoint(of, &server.url()));
        let module = module.concat();
        let egresses = [RECORDS, KAFKA, KINESIS];
        let settings = Settings {
            parallelism,
            own_process: true,
            ..Settings::capturing(egresses.iter().map(|egress| egress.as_str()))
        };
        Some(Self {
            flink: Flink::start(&module, settings).await?,
            server,
            module,
            known: 0,
            ends: Ends::default(),
            _marks: marks,
        })
    }
}

fn captured(record: &Record) -> Captured {
    Captured::read(None, &record.egress, &record.typename, &record.value)
}

impl Home for OnFlink {
    fn feed(&mut self, inputs: &[Input]) {
        for input in inputs {
            let bytes = input.program.to_bytes();
            self.flink.feed_raw(&input.to.0, PROGRAM, Some(&bytes));
        }
    }

    fn taken_in(&self) -> u64 {
        // The source does not tell.
        0
    }

    async fn tend(&mut self) -> Vec<Captured> {
        let end = self.flink.end();
        assert!(
            end.is_none(),
            "the job ended: {end:?}\n{}",
            self.flink.log()
        );
        self.ends.server += u64::from(self.server.revive());
        let news = self.flink.seen_behind(self.known);
        self.known += news.len();
        news.iter().map(captured).collect()
    }

    async fn kill_server(&mut self) {
        self.server.kill();
    }

    async fn kill_runtime(&mut self) {
        self.ends.runtime += 1;
        let whole = self.ends.runtime.is_multiple_of(KILLS_PER_PROCESS);
        let (flink, module) = (&mut self.flink, &self.module);
        let mut restart = pin!(async move {
            if whole {
                flink.kill().await;
                flink.start_again(module).await;
            } else {
                flink.fail_job("killed by the workload").await;
            }
        });
        // A job does not end while it waits for its functions.
        while tokio::time::timeout(PAUSE, &mut restart).await.is_err() {
            self.ends.server += u64::from(self.server.revive());
        }
    }

    /// Records that count more than once. (What a restart undid does not count.)
    async fn unrest(&mut self) -> Vec<String> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for record in self.flink.records() {
            *counts
                .entry(canonical(&captured(&record).content))
                .or_default() += 1;
        }
        counts.retain(|_, count| *count > 1);
        let twice = |(record, count)| format!("record that counts {count} times: {record}");
        counts.into_iter().map(twice).collect()
    }

    async fn trouble(&mut self) -> Vec<String> {
        let starts = self.flink.events().starts;
        let last = starts.last().map(|start| start.causes.clone());
        vec![format!(
            "{} starts; before the last one: {last:?}",
            starts.len()
        )]
    }

    fn ends(&self) -> Ends {
        self.ends
    }
}
