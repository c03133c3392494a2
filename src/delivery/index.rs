use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::engine::Transition;

/// A transition with the id of its job, as sent to a search index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The job's id.
    pub job_id: String,
    /// The transition.
    #[serde(flatten)]
    pub transition: Transition,
}

/// The transitions of many jobs, keyed by job and number, for searching apart from the original state.
///
/// Rows may be repeated and come in any order: duplicates change nothing, and a job's head is the row with
/// the highest number, whenever it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    jobs: BTreeMap<String, BTreeMap<u64, Transition>>,
}

impl Index {
    /// Adds a row. True if it is new.
    pub fn insert(&mut self, row: Row) -> bool {
        let transitions = self.jobs.entry(row.job_id).or_default();
        let seq = row.transition.seq;
        let new = !transitions.contains_key(&seq);
        transitions.entry(seq).or_insert(row.transition);
        new
    }

    /// The last transition of a job.
    pub fn head(&self, job_id: &str) -> Option<&Transition> {
        self.jobs.get(job_id)?.values().next_back()
    }

    /// The transitions of a job received so far, newest first.
    pub fn transitions(&self, job_id: &str) -> impl Iterator<Item = &Transition> {
        self.jobs
            .get(job_id)
            .into_iter()
            .flat_map(|rows| rows.values().rev())
    }

    /// The jobs with their last transitions.
    pub fn heads(&self) -> impl Iterator<Item = (&str, &Transition)> {
        self.jobs
            .iter()
            .filter_map(|(id, rows)| Some((id.as_str(), rows.values().next_back()?)))
    }
}
