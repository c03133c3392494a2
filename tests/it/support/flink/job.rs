//! What is known of a job from its events.

use std::collections::HashMap;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use stateful_functions::Type;
use tokio::sync::Notify;

use super::cause::{Cause, causes};

/// A record at an egress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// `<namespace>/<name>`.
    pub(crate) egress: String,
    pub(crate) typename: String,
    pub(crate) has_value: bool,
    pub(crate) value: Vec<u8>,
}

impl Record {
    /// Its value, which is of type `ty`.
    pub(crate) fn get<T>(&self, ty: &Type<T>) -> T {
        assert_eq!(self.typename, ty.name().as_str(), "{self:?}");
        ty.decode(&self.value).unwrap()
    }
}

/// A start of the source: of the job, and after each of its failures.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    /// From a checkpoint or savepoint.
    pub(crate) restored: bool,
    /// How many of the messages it does not send again.
    pub(crate) position: usize,
    /// The failure before; empty at the first start in a process.
    pub(crate) causes: Vec<Cause>,
}

/// How a job ended.
#[derive(Debug, Clone)]
pub(crate) struct End {
    /// `FAILED`, `CANCELED`, `SUCCEEDED`; `LOST` with its process.
    pub(crate) status: String,
    pub(crate) causes: Vec<Cause>,
}

/// The events of one job so far, over all its starts.
#[derive(Debug, Default, Clone)]
pub(crate) struct Events {
    /// Every record in the order of its arrival; those repeat that a restart undid.
    pub(crate) seen: Vec<Record>,
    /// The records that count: without those that a restart undid.
    pub(crate) records: Vec<Record>,
    pub(crate) starts: Vec<Start>,
    /// The newest checkpoint that is complete.
    pub(crate) checkpoint: Option<u64>,
    pub(crate) end: Option<End>,
    /// By egress and lane: which of `seen` counted at each checkpoint. Lanes have their own order.
    lanes: HashMap<(String, u64), Lane>,
    /// Grows with everything that is progress: records that are more than there ever were, a few starts since then, the end.
    pub(super) news: u64,
    most_records: usize,
    starts_in_vain: usize,
}

#[derive(Debug, Default, Clone)]
struct Lane {
    /// Numbers of records.
    counting: Vec<usize>,
    /// How many counted at a checkpoint.
    cuts: HashMap<u64, usize>,
}

/// A job that starts more often than this without a new record makes no progress.
const STARTS: usize = 50;

/// A job that keeps running while its events are read.
#[derive(Default)]
pub(super) struct Job {
    events: Mutex<Events>,
    pub(super) changed: Notify,
}

impl Job {
    pub(super) fn look<T>(&self, look: impl FnOnce(&mut Events) -> T) -> T {
        look(&mut self.events.lock().unwrap())
    }

    pub(super) fn take(&self, line: &Value) {
        self.look(|events| events.take(line));
        self.changed.notify_waiters();
    }

    /// Its process is gone.
    pub(super) fn lost(&self) {
        let (status, causes) = ("LOST".to_owned(), Vec::new());
        self.look(|events| {
            events.end = Some(End { status, causes });
            events.news += 1;
        });
        self.changed.notify_waiters();
    }
}

impl Events {
    fn take(&mut self, line: &Value) {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        match line["event"].as_str().unwrap() {
            "checkpoint" => {
                self.completed(line["checkpoint"].as_u64().unwrap());
            }
            "cut" => {
                let lane = self.lane(line);
                lane.cuts
                    .insert(line["checkpoint"].as_u64().unwrap(), lane.counting.len());
            }
            "resumed" => {
                let lane = self.lane(line);
                let checkpoint = line["checkpoint"].as_u64();
                let counted = checkpoint.map_or(0, |checkpoint| {
                    lane.cuts.get(&checkpoint).copied().unwrap_or(0)
                });
                lane.counting.truncate(counted);
                self.count();
            }
            "record" => {
                let number = self.seen.len();
                let record = Record {
                    egress: text("egress"),
                    typename: text("typename"),
                    has_value: line["has_value"].as_bool().unwrap(),
                    value: STANDARD.decode(text("value")).unwrap(),
                };
                self.lane(line).counting.push(number);
                self.records.push(record.clone());
                self.seen.push(record);
                if self.records.len() > self.most_records {
                    self.most_records = self.records.len();
                    self.starts_in_vain = 0;
                    self.news += 1;
                }
            }
            "started" => {
                self.starts.push(Start {
                    restored: line["restored"].as_bool().unwrap(),
                    position: line["position"].as_u64().unwrap().try_into().unwrap(),
                    causes: causes(&line["causes"]),
                });
                self.starts_in_vain += 1;
                self.news += u64::from(self.starts_in_vain <= STARTS);
            }
            "ended" => {
                let (status, causes) = (text("status"), causes(&line["causes"]));
                self.end = Some(End { status, causes });
                self.news += 1;
            }
            other => panic!("an event {other}"),
        }
    }

    /// Told by the source and, when it was asked for, by the answer; in any order.
    pub(super) fn completed(&mut self, checkpoint: u64) {
        self.checkpoint = self.checkpoint.max(Some(checkpoint));
    }

    fn lane(&mut self, line: &Value) -> &mut Lane {
        let egress = line["egress"].as_str().unwrap().to_owned();
        self.lanes
            .entry((egress, line["lane"].as_u64().unwrap()))
            .or_default()
    }

    /// The records that count, in the order of their arrival.
    fn count(&mut self) {
        let mut numbers: Vec<usize> = self
            .lanes
            .values()
            .flat_map(|lane| lane.counting.clone())
            .collect();
        numbers.sort_unstable();
        self.records = numbers
            .into_iter()
            .map(|number| self.seen[number].clone())
            .collect();
    }
}
