//! Figures of each destination: waiting deliveries and their age, dead letters, and outcomes of attempts. Pure.
//!
//! Counting a million rows for every query would be too expensive, so the counts follow every change of a row. The rows stored at the
//! start are counted once, in the background: the old values of rows that change meanwhile are remembered, so that each is counted once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::super::engine::DeliveryState;
use super::outline::Outline;
use crate::time::Timestamp;

/// At most this many targets are shown by name. The others are shown together.
const MAX_TARGETS: usize = 1_000;
/// The name for the others.
const OTHER: &str = "other";
/// Times of submission are counted by the minute.
const MINUTE: u64 = 60_000;

/// The counts of all targets.
#[derive(Debug, Default)]
pub(crate) struct Figures(Mutex<Tally>);

/// The figures of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Figure {
    /// The target as deliveries name it; `other` for all that have no entry here.
    pub(crate) target: String,
    /// Deliveries that have not ended.
    pub(crate) waiting: u64,
    /// When the oldest of them was submitted, to the minute.
    pub(crate) oldest: Option<Timestamp>,
    pub(crate) dead_letters: u64,
    /// Since the start: successful attempts, failed attempts, and deliveries given up.
    pub(crate) delivered: u64,
    pub(crate) failed_attempts: u64,
    pub(crate) given_up: u64,
    /// Attempts in progress.
    pub(crate) in_progress: usize,
    /// When the oldest of them began.
    pub(crate) in_progress_since: Option<Timestamp>,
}

/// An attempt in progress, until it is dropped.
#[derive(Debug)]
pub(super) struct InProgress<'a> {
    figures: &'a Figures,
    target: &'a str,
    number: u64,
}

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        let mut tally = self.figures.locked();
        let named = tally.targets.get_mut(self.target);
        let removed = named.and_then(|counts| counts.in_progress.remove(&self.number));
        if removed.is_none() {
            tally.others.in_progress.remove(&self.number);
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    /// The number of the next attempt.
    next_attempt: u64,
    targets: HashMap<Box<str>, Counts>,
    others: Counts,
    /// Rows are counted under `others`. None of their targets gets a name before all of those rows are gone, because a row must be subtracted
    /// where it was added.
    has_others: bool,
    progress: Progress,
}

/// How far the rows stored at the start have been counted.
#[derive(Debug)]
enum Progress {
    Counting {
        /// Rows with smaller keys have been.
        to: Bytes,
        /// The values at the start of rows that changed before they were counted.
        before: HashMap<Bytes, Option<Outline>>,
    },
    Done,
}

impl Default for Progress {
    fn default() -> Self {
        Self::Counting {
            to: Bytes::new(),
            before: HashMap::new(),
        }
    }
}

/// Until all stored rows are counted, a count may be negative.
#[derive(Debug, Default)]
struct Counts {
    waiting: i64,
    dead_letters: i64,
    /// Waiting deliveries by the minute of their submission.
    by_minute: BTreeMap<u64, Minute>,
    delivered: u64,
    failed_attempts: u64,
    given_up: u64,
    /// When each attempt in progress began, by its number.
    in_progress: BTreeMap<u64, Timestamp>,
}

#[derive(Debug)]
struct Minute {
    waiting: i64,
    /// The first submission that was counted here, in milliseconds.
    oldest: u64,
}

impl Figures {
    /// An attempt begins.
    pub(super) fn begins<'a>(&'a self, target: &'a str, now: Timestamp) -> InProgress<'a> {
        let mut tally = self.locked();
        let number = tally.next_attempt;
        tally.next_attempt += 1;
        tally.of_attempt(target).in_progress.insert(number, now);
        InProgress {
            figures: self,
            target,
            number,
        }
    }

    /// An attempt has ended.
    pub(super) fn attempted(&self, target: &str, has_arrived: bool) {
        let mut tally = self.locked();
        let counts = tally.of_attempt(target);
        if has_arrived {
            counts.delivered += 1;
        } else {
            counts.failed_attempts += 1;
        }
    }

    /// Records that the row at `key` is about to change. Must be called before the new value can be read.
    pub(crate) fn changes(&self, key: &Bytes, before: Option<Outline>, after: Option<Outline>) {
        if before == after {
            return;
        }
        let mut tally = self.locked();
        let was_given_up = before.as_ref().is_some_and(is_given_up);
        if let Some(before) = &before {
            tally.add(before, -1);
        }
        if let Some(after) = &after {
            tally.add(after, 1);
            if is_given_up(after) && !was_given_up {
                tally.of_row(&after.target).given_up += 1;
            }
        }
        if let Progress::Counting { to, before: known } = &mut tally.progress
            && *key >= *to
        {
            known.entry(key.clone()).or_insert(before);
        }
    }

    /// Counts stored rows: all up to `to` that were not counted yet, in key order.
    pub(crate) fn count(&self, rows: Vec<(Bytes, Outline)>, to: Bytes) {
        let mut tally = self.locked();
        for (key, row) in rows {
            let has_changed = match &tally.progress {
                Progress::Counting { before, .. } => before.contains_key(&key),
                Progress::Done => true,
            };
            if !has_changed {
                tally.add(&row, 1);
            }
        }
        if let Progress::Counting { to: counted, .. } = &mut tally.progress {
            *counted = to;
        }
    }

    /// All rows stored at the start have been counted.
    pub(crate) fn all_counted(&self) {
        let mut tally = self.locked();
        let progress = std::mem::replace(&mut tally.progress, Progress::Done);
        if let Progress::Counting { before, .. } = progress {
            for row in before.into_values().flatten() {
                tally.add(&row, 1);
            }
        }
    }

    /// Whether the counts of waiting deliveries and dead letters are complete; those of attempts always are.
    pub(crate) fn is_counted(&self) -> bool {
        matches!(self.locked().progress, Progress::Done)
    }

    /// The figures of each target; those of unnamed ones last.
    pub(crate) fn all(&self) -> Vec<Figure> {
        let tally = self.locked();
        let named = tally.targets.iter();
        let mut all: Vec<_> = named.map(|(target, counts)| counts.told(target)).collect();
        all.sort_by(|one, other| one.target.cmp(&other.target));
        let others = tally.others.told(OTHER);
        let has_attempts = others.delivered + others.failed_attempts > 0 || others.in_progress > 0;
        if tally.has_others || has_attempts {
            all.push(others);
        }
        all
    }

    fn locked(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    fn add(&mut self, row: &Outline, count: i64) {
        if let Some(stock) = &row.stock {
            stock.add(row, count);
        }
        self.of_row(&row.target).add(row, count);
    }

    /// The counts for an attempt. An attempt alone does not take the name of another target.
    fn of_attempt(&mut self, target: &str) -> &mut Counts {
        let is_named = self.targets.contains_key(target);
        if !is_named && (self.has_others || self.targets.len() >= MAX_TARGETS) {
            return &mut self.others;
        }
        self.targets.entry(target.into()).or_default()
    }

    /// The counts of a row: the same ones from its addition to its removal.
    fn of_row(&mut self, target: &str) -> &mut Counts {
        if !self.targets.contains_key(target) && !self.has_room() {
            self.has_others = true;
            return &mut self.others;
        }
        self.targets.entry(target.into()).or_default()
    }

    /// Whether one more target may have a name. Targets without stored deliveries make room.
    fn has_room(&mut self) -> bool {
        let is_counted = matches!(self.progress, Progress::Done);
        if self.has_others && is_counted && self.others.is_idle() {
            self.has_others = false;
        }
        if self.has_others {
            return false;
        }
        if self.targets.len() >= MAX_TARGETS && is_counted {
            let idle = self.targets.extract_if(|_, counts| counts.is_idle());
            for (_, counts) in idle {
                self.others.delivered += counts.delivered;
                self.others.failed_attempts += counts.failed_attempts;
                self.others.given_up += counts.given_up;
            }
        }
        self.targets.len() < MAX_TARGETS
    }
}

impl Counts {
    fn add(&mut self, row: &Outline, count: i64) {
        if is_given_up(row) {
            self.dead_letters += count;
        }
        if row.state.is_none_or(DeliveryState::is_terminal) {
            return;
        }
        self.waiting += count;
        let Some(submitted) = row.submitted_at.map(Timestamp::as_millis) else {
            return;
        };
        let minute = submitted / MINUTE;
        let at = self.by_minute.entry(minute).or_insert(Minute {
            waiting: 0,
            oldest: submitted,
        });
        at.waiting += count;
        at.oldest = at.oldest.min(submitted);
        if at.waiting == 0 {
            self.by_minute.remove(&minute);
        }
    }

    /// Whether there are no stored deliveries, and no attempts in progress.
    fn is_idle(&self) -> bool {
        self.waiting == 0 && self.dead_letters == 0 && self.in_progress.is_empty()
    }

    fn told(&self, target: &str) -> Figure {
        let oldest = self.by_minute.values().find(|minute| minute.waiting > 0);
        Figure {
            target: target.to_owned(),
            waiting: u64::try_from(self.waiting).unwrap_or(0),
            oldest: oldest.map(|minute| Timestamp::from_millis(minute.oldest)),
            dead_letters: u64::try_from(self.dead_letters).unwrap_or(0),
            delivered: self.delivered,
            failed_attempts: self.failed_attempts,
            given_up: self.given_up,
            in_progress: self.in_progress.len(),
            in_progress_since: self.in_progress.values().next().copied(),
        }
    }
}

fn is_given_up(row: &Outline) -> bool {
    row.state == Some(DeliveryState::Discarded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(target: &str, state: DeliveryState, submitted_at: u64) -> Outline {
        Outline {
            target: target.to_owned(),
            state: Some(state),
            reason: None,
            submitted_at: Some(Timestamp::from_millis(submitted_at)),
            bytes: 100,
            stock: None,
        }
    }

    fn waits(target: &str, submitted_at: u64) -> Option<Outline> {
        Some(row(target, DeliveryState::Awaiting, submitted_at))
    }

    fn key(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    fn told(figures: &Figures, target: &str) -> (u64, u64) {
        let all = figures.all();
        let of = all.iter().find(|figure| figure.target == target);
        of.map_or((0, 0), |figure| (figure.waiting, figure.dead_letters))
    }

    #[test]
    fn attempts_in_progress_are_shown_with_the_time_of_the_oldest() {
        let (figures, at) = (Figures::default(), Timestamp::from_millis);
        let shown = || {
            let all = figures.all();
            let first = all
                .first()
                .map(|figure| (figure.in_progress, figure.in_progress_since));
            first.unwrap_or_default()
        };
        let first = figures.begins("crm", at(5));
        let second = figures.begins("crm", at(7));
        assert_eq!(shown(), (2, Some(at(5))));
        drop(first);
        assert_eq!(shown(), (1, Some(at(7))));
        drop(second);
        assert_eq!(shown(), (0, None));
    }

    #[test]
    fn rows_that_change_while_the_stored_ones_are_counted_count_once() {
        let figures = Figures::default();
        let stored = |name: &str| (key(name), waits("crm", 1).unwrap());
        let dead = Some(row("crm", DeliveryState::Discarded, 1));
        // Stored at the start: b, c, d, e. Gone before it is counted: c. Given up, and read as it was before or after: b and d.
        figures.changes(&key("c"), waits("crm", 1), None);
        figures.changes(&key("b"), waits("crm", 1), dead.clone());
        figures.changes(&key("d"), waits("crm", 1), dead.clone());
        // New: a, and z, which is not counted again when its row is read.
        figures.changes(&key("a"), None, waits("crm", 1));
        figures.changes(&key("z"), None, waits("crm", 1));
        figures.count(
            vec![stored("b"), (key("d"), dead.clone().unwrap())],
            key("e"),
        );
        // Counted already, and changed again.
        figures.changes(&key("d"), dead, None);
        assert!(!figures.is_counted());
        figures.count(vec![stored("e"), stored("z")], key("zz"));
        figures.all_counted();
        assert!(figures.is_counted());
        assert_eq!(told(&figures, "crm"), (3, 1), "a, e and z; b");
        figures.changes(&key("e"), waits("crm", 1), None);
        assert_eq!(told(&figures, "crm"), (2, 1));
    }

    #[test]
    fn the_oldest_is_that_of_the_first_minute_in_which_one_waits() {
        let figures = Figures::default();
        figures.all_counted();
        let oldest = || figures.all().first().and_then(|figure| figure.oldest);
        for at in [125_000, 30_000, 10_000] {
            figures.changes(&key(&at.to_string()), None, waits("crm", at));
        }
        assert_eq!(oldest(), Some(Timestamp::from_millis(10_000)));
        for at in [30_000, 10_000] {
            figures.changes(&key(&at.to_string()), waits("crm", at), None);
        }
        assert_eq!(oldest(), Some(Timestamp::from_millis(125_000)));
        figures.changes(&key("125000"), waits("crm", 125_000), None);
        assert_eq!(oldest(), None);
    }

    #[test]
    fn targets_beyond_a_thousand_are_counted_together_and_subtracted_where_they_were_added() {
        let figures = Figures::default();
        figures.all_counted();
        for n in 0..MAX_TARGETS + 5 {
            figures.changes(&key(&n.to_string()), None, waits(&n.to_string(), 1));
        }
        assert_eq!(figures.all().len(), MAX_TARGETS + 1);
        assert_eq!(told(&figures, OTHER), (5, 0));
        // A name is free, but rows counted together stay together.
        figures.changes(&key("7"), waits("7", 1), None);
        figures.changes(&key("again"), None, waits("1002", 1));
        assert_eq!(told(&figures, OTHER), (6, 0));
        for (name, target) in (MAX_TARGETS..MAX_TARGETS + 5).map(|n| (n.to_string(), n)) {
            figures.changes(&key(&name), waits(&target.to_string(), 1), None);
        }
        figures.changes(&key("again"), waits("1002", 1), None);
        assert_eq!(told(&figures, OTHER), (0, 0));
        figures.changes(&key("new"), None, waits("new", 1));
        assert_eq!(told(&figures, "new"), (1, 0), "it has the place of `7`");
    }

    #[test]
    fn what_is_given_up_counts_once() {
        let figures = Figures::default();
        figures.all_counted();
        let dead = Some(row("crm", DeliveryState::Discarded, 1));
        figures.changes(&key("a"), waits("crm", 1), dead.clone());
        figures.changes(&key("a"), dead.clone(), dead.clone());
        figures.changes(&key("a"), dead, waits("crm", 2));
        let all = figures.all();
        assert_eq!(all.first().map(|figure| figure.given_up), Some(1));
    }
}
