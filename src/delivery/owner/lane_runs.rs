//! How long lanes have been sending without a pause.
//!
//! The records that wait for a lane come in one call, which must end before its time limit. If the destination is slow but works, a
//! record is then passed to its own address, and later ones queue behind it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::time::Timestamp;

/// Shorter attempts are not counted.
const SLOW: Duration = Duration::from_millis(100);
/// A run continues if the next attempt begins within this time.
const GAP: Duration = Duration::from_millis(50);
/// Maximum slow lanes that are tracked.
const MAX_RUNS: usize = 10_000;

/// The runs of the slow lanes.
#[derive(Debug, Default)]
pub(super) struct Runs(Mutex<HashMap<String, Run>>);

#[derive(Debug, Clone, Copy)]
struct Run {
    ended: Timestamp,
    spent: Duration,
}

impl Runs {
    /// Whether another attempt may begin in this run; if not, the run ends.
    pub(super) fn may_begin(&self, lane: &str, now: Timestamp, limit: Duration) -> bool {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match runs.get(lane) {
            Some(run) if now.since(run.ended) > GAP || run.spent >= limit => {
                let is_over = now.since(run.ended) <= GAP;
                runs.remove(lane);
                !is_over
            }
            _ => true,
        }
    }

    pub(super) fn ended(&self, lane: &str, started: Timestamp, ended: Timestamp) {
        let took = ended.since(started);
        if took < SLOW {
            return;
        }
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if runs.len() >= MAX_RUNS {
            runs.clear(); // slow lanes are detected again later
        }
        let spent = runs.get(lane).map_or(Duration::ZERO, |run| run.spent) + took;
        runs.insert(lane.to_owned(), Run { ended, spent });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_slow_attempts_ends_after_its_time_and_restarts_after_a_pause() {
        let at = Timestamp::from_millis;
        let limit = Duration::from_secs(10);
        let runs = Runs::default();
        runs.ended("k", at(0), at(6_000));
        assert!(
            runs.may_begin("k", at(6_010), limit),
            "six seconds are within ten"
        );
        runs.ended("k", at(6_010), at(11_000));
        assert!(!runs.may_begin("k", at(11_000), limit));
        assert!(
            runs.may_begin("k", at(11_000), limit),
            "the next call is another run"
        );
        runs.ended("k", at(11_000), at(30_000));
        assert!(runs.may_begin("k", at(31_000), limit), "after a pause");
        assert!(runs.may_begin("other", at(31_000), limit));
    }
}
