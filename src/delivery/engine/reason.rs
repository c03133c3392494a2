use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a delivery waits, or why it was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// Waits for its first attempt's time, or for a time that an actor chose.
    Scheduled,
    /// Waits until those ahead of it with the same key have ended.
    Turn,
    /// Waits between two attempts.
    Retry,
    /// The limit is reached; one attempt is made per block delay.
    Blocked,
    /// An actor requeued it.
    Requeued,
    /// No attempt is left.
    Exhausted,
    /// The time allowed since the first attempt is over.
    Elapsed,
    /// The time allowed since submission is over.
    Expired,
    /// Another attempt cannot succeed.
    Permanent,
    /// The target demanded it.
    Forced,
    /// An operator demanded it.
    Operator,
    /// The limit is reached, and the stream continues after it.
    Skipped,
    /// The payload is over the limit.
    TooLarge,
    /// The bytes could not be read.
    Decode,
    /// The last attempt ended without an answer.
    NoOutcome,
    /// Its stage no longer exists.
    StageGone,
    /// The stored data is damaged.
    Damaged,
    /// A stage failed permanently with it.
    StageError,
    /// The stage keeps nothing for a later attempt.
    NoPersist,
    /// The queue had no room for it.
    Full,
}

impl Reason {
    /// The reason's name in JSON, logs and queries.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Turn => "turn",
            Self::Retry => "retry",
            Self::Blocked => "blocked",
            Self::Requeued => "requeued",
            Self::Exhausted => "exhausted",
            Self::Elapsed => "elapsed",
            Self::Expired => "expired",
            Self::Permanent => "permanent",
            Self::Forced => "forced",
            Self::Operator => "operator",
            Self::Skipped => "skipped",
            Self::TooLarge => "too_large",
            Self::Decode => "decode",
            Self::NoOutcome => "no_outcome",
            Self::StageGone => "stage_gone",
            Self::Damaged => "damaged",
            Self::StageError => "stage_error",
            Self::NoPersist => "no_persist",
            Self::Full => "full",
        }
    }

    /// True for the reasons that end a delivery, false for those that it waits for.
    pub const fn is_give_up(self) -> bool {
        !matches!(
            self,
            Self::Scheduled | Self::Turn | Self::Retry | Self::Blocked | Self::Requeued
        )
    }

    /// The reason for giving up after a permanent failure: the one that its code names, or `permanent`.
    pub(super) fn of_permanent(code: &str) -> Self {
        const NAMED: [Reason; 6] = [
            Reason::TooLarge,
            Reason::Decode,
            Reason::StageGone,
            Reason::Damaged,
            Reason::StageError,
            Reason::NoPersist,
        ];
        let named = NAMED.into_iter().find(|reason| reason.as_str() == code);
        named.unwrap_or(Self::Permanent)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_as_str_agree() {
        for reason in [
            Reason::TooLarge,
            Reason::NoOutcome,
            Reason::Retry,
            Reason::StageGone,
        ] {
            let json = serde_json::to_string(&reason).unwrap();
            assert_eq!(json, format!("\"{reason}\""));
        }
    }
}
