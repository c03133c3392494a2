use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a delivery waits, or why it was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// Waits for its first attempt's time, or for a time that an actor chose.
    Scheduled,
    /// Waits until those before it, with the same key, are done.
    Turn,
    /// Waits between two attempts.
    Retry,
    /// The limit is reached; one attempt in each block delay.
    Blocked,
    /// An actor took it up again.
    Requeued,
    /// No attempt is left.
    Exhausted,
    /// Too much time went by since the first attempt.
    Elapsed,
    /// Too much time went by since it was submitted.
    Expired,
    /// The failure is one that no further attempt can mend.
    Permanent,
    /// The target demanded it.
    Forced,
    /// An operator demanded it.
    Operator,
    /// The limit is reached, and the stream goes on behind it.
    Skipped,
    /// The payload is over the limit.
    TooLarge,
    /// The bytes could not be read.
    Decode,
    /// The last attempt ended without an answer.
    NoOutcome,
    /// The stage that should take it is no longer there.
    StageGone,
    /// What was stored cannot be read back.
    Damaged,
    /// A stage failed with it, for good.
    StageError,
    /// The stage keeps nothing for a later attempt.
    NoPersist,
    /// There was no room to wait.
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

    /// Why a failure that no attempt can mend ends the delivery: the reason that its code names, or `permanent`.
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
