use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{AttemptError, DeliveryState, Effect, Head, Reason, Transition};
use crate::time::Timestamp;

/// Beyond this many entries, rounds of failures are folded.
const MAX_ENTRIES: usize = 64;
/// The number of last entries that are never folded, so that operators can read them.
const RECENT_ENTRIES: usize = 24;

/// The transitions of a delivery as function state keeps them: in order, and folded when there are many.
///
/// All values of a function are sent with each call, so a history must not grow with the attempts. Beyond 64 entries,
/// consecutive rounds with the same error code become one entry; if that is not enough, so do the oldest
/// rounds with different ones. The first round, the last entries and everything an actor did stay unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History {
    entries: Vec<Entry>,
}

/// One entry of a [`History`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Entry {
    /// A transition as it was appended.
    One(Transition),
    /// Several rounds of an attempt, its failure and the wait after it.
    Folded(Folded),
}

/// Several rounds of an attempt, its failure and the wait after it, as one entry. Where they differ, the values are those of the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Folded {
    /// The first transition's number.
    pub from_seq: u64,
    /// The last transition's number.
    pub to_seq: u64,
    /// The number of rounds.
    pub count: u64,
    /// When the first attempt began.
    #[serde(with = "crate::time::calendar::serde_time")]
    pub first_at: Timestamp,
    /// When the last wait began.
    #[serde(with = "crate::time::calendar::serde_time")]
    pub last_at: Timestamp,
    /// The last attempt's number.
    pub attempt: u32,
    /// Failed attempts among them that count against the limit.
    pub spent: u32,
    /// Attempts in a row, at the end, that ended with their process.
    #[serde(default)]
    pub interruptions: u32,
    /// The final state of the attempts: failed or unknown.
    pub state_after: DeliveryState,
    /// The reason of the waits.
    pub reason: Reason,
    /// When the last wait ends.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::time::calendar::serde_option_time"
    )]
    pub due: Option<Timestamp>,
    /// The error.
    pub error: AttemptError,
}

/// A transition does not follow the last one: another writer was faster, or one is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("transition {got} does not follow; expected {expected}")]
pub struct OutOfSequence {
    /// The number that comes next.
    pub expected: u64,
    /// The number that came.
    pub got: u64,
}

impl History {
    /// Adds the next transition.
    ///
    /// # Errors
    /// If it is not the next one. Nothing has changed then.
    pub fn append(&mut self, transition: Transition) -> Result<(), OutOfSequence> {
        let (expected, got) = (self.next_seq(), transition.seq);
        if got != expected {
            return Err(OutOfSequence { expected, got });
        }
        self.entries.push(Entry::One(transition));
        if self.entries.len() > MAX_ENTRIES {
            self.fold();
        }
        Ok(())
    }

    /// Adds the transitions among the effects of a step.
    ///
    /// # Errors
    /// If one is not the next. Those before it have been added then.
    pub fn record(&mut self, effects: &[Effect]) -> Result<(), OutOfSequence> {
        effects.iter().try_for_each(|effect| match effect {
            Effect::Append(transition) => self.append(transition.clone()),
            _ => Ok(()),
        })
    }

    /// The history with these entries, as it was stored.
    #[cfg(feature = "pipeline")]
    pub(crate) const fn stored(entries: Vec<Entry>) -> Self {
        Self { entries }
    }

    /// The entries, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The last transition; `None` without any, or when it is part of a folded entry.
    pub fn last(&self) -> Option<&Transition> {
        match self.entries.last()? {
            Entry::One(transition) => Some(transition),
            Entry::Folded(_) => None,
        }
    }

    /// The state of the delivery that follows from the entries.
    pub fn head(&self) -> Head {
        head(&self.entries)
    }

    /// The first error since the delivery was submitted or last requeued.
    pub fn first_error(&self) -> Option<&AttemptError> {
        let requeued =
            |entry: &Entry| matches!(entry, Entry::One(t) if t.reason == Some(Reason::Requeued));
        let from = self.entries.iter().rposition(requeued).unwrap_or(0);
        self.entries.iter().skip(from).find_map(Entry::error)
    }

    /// The last error.
    pub fn last_error(&self) -> Option<&AttemptError> {
        self.entries.iter().rev().find_map(Entry::error)
    }

    fn next_seq(&self) -> u64 {
        match self.entries.last() {
            None => 0,
            Some(Entry::One(transition)) => transition.seq + 1,
            Some(Entry::Folded(folded)) => folded.to_seq + 1,
        }
    }

    fn fold(&mut self) {
        while let Some((range, folded)) = self.pair(|one, two| one.looks_like(two)) {
            self.entries.splice(range, [Entry::Folded(folded)]);
        }
        while self.entries.len() > MAX_ENTRIES
            && let Some((range, folded)) = self.pair(|_, _| true)
        {
            self.entries.splice(range, [Entry::Folded(folded)]);
        }
    }

    /// Finds the two oldest consecutive rounds that may be folded, and folds them.
    fn pair(&self, may: impl Fn(&Round<'_>, &Round<'_>) -> bool) -> Option<(Range<usize>, Folded)> {
        let recent = self.entries.len().saturating_sub(RECENT_ENTRIES);
        let rounds = Round::all(&self.entries);
        let old: Vec<&Round<'_>> = rounds
            .iter()
            .skip(1)
            .take_while(|round| round.range.end <= recent)
            .collect();
        let (one, two) = old
            .iter()
            .zip(old.iter().skip(1))
            .find(|(one, two)| one.range.end == two.range.start && may(one, two))?;
        let range = one.range.start..two.range.end;
        let before = head(self.entries.get(..range.start)?);
        let after = head(self.entries.get(..range.end)?);
        Some((range, one.with(two, &before, &after)?))
    }
}

impl Entry {
    fn error(&self) -> Option<&AttemptError> {
        match self {
            Self::One(transition) => transition.error.as_ref(),
            Self::Folded(folded) => Some(&folded.error),
        }
    }
}

/// An attempt by the rules of the policy, its failure and the wait after it; or several, folded before.
struct Round<'a> {
    range: Range<usize>,
    count: u64,
    from_seq: u64,
    first_at: Timestamp,
    state_after: DeliveryState,
    reason: Reason,
    error: &'a AttemptError,
}

impl<'a> Round<'a> {
    fn all(entries: &'a [Entry]) -> Vec<Self> {
        let mut rounds = Vec::new();
        let mut at = 0;
        while let Some(rest) = entries.get(at..).filter(|rest| !rest.is_empty()) {
            let round = Self::first(rest, at);
            at = round.as_ref().map_or(at + 1, |round| round.range.end);
            rounds.extend(round);
        }
        rounds
    }

    fn first(entries: &'a [Entry], at: usize) -> Option<Self> {
        match entries {
            [Entry::Folded(folded), ..] => Some(Self {
                range: at..at + 1,
                count: folded.count,
                from_seq: folded.from_seq,
                first_at: folded.first_at,
                state_after: folded.state_after,
                reason: folded.reason,
                error: &folded.error,
            }),
            [
                Entry::One(attempt),
                Entry::One(failure),
                Entry::One(wait),
                ..,
            ] => {
                let by_rule = [attempt, failure, wait].iter().all(|t| t.actor.is_none());
                let states = (attempt.state_after, failure.state_after, wait.state_after);
                let reason = wait
                    .reason
                    .filter(|r| matches!(r, Reason::Retry | Reason::Blocked))?;
                let failed = matches!(
                    states,
                    (
                        DeliveryState::Executing,
                        DeliveryState::Failed | DeliveryState::Unknown,
                        DeliveryState::Awaiting
                    )
                );
                // A failure with a reason marks a reached limit, and is kept.
                (failed && by_rule && failure.reason.is_none()).then_some(())?;
                Some(Self {
                    range: at..at + 3,
                    count: 1,
                    from_seq: attempt.seq,
                    first_at: attempt.created_at,
                    state_after: failure.state_after,
                    reason,
                    error: failure.error.as_ref()?,
                })
            }
            _ => None,
        }
    }

    fn looks_like(&self, other: &Self) -> bool {
        let key = |round: &Self| (round.state_after, round.reason);
        key(self) == key(other) && self.error.code == other.error.code
    }

    /// Folds this round and `next` into one; the heads are those before and after both.
    fn with(&self, next: &Self, before: &Head, after: &Head) -> Option<Folded> {
        Some(Folded {
            from_seq: self.from_seq,
            to_seq: after.seq,
            count: self.count + next.count,
            first_at: self.first_at,
            last_at: after.last_at?,
            attempt: after.attempt,
            spent: after.spent.saturating_sub(before.spent),
            interruptions: after.interruptions,
            state_after: next.state_after,
            reason: next.reason,
            due: after.due,
            error: next.error.clone(),
        })
    }
}

fn head(entries: &[Entry]) -> Head {
    let mut head = Head::default();
    for entry in entries {
        match entry {
            Entry::One(transition) => head.apply(transition),
            Entry::Folded(folded) => head.apply_folded(folded),
        }
    }
    head
}
