use std::fmt;

use serde::{Deserialize, Serialize};

use super::{AttemptError, Reason};
use crate::time::Timestamp;

/// The state of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Accepted; not scheduled yet.
    Acknowledged,
    /// Will be attempted: at its due time, or when its turn comes.
    Awaiting,
    /// An attempt is in progress.
    Executing,
    /// The target accepted it. Terminal.
    Succeeded,
    /// The attempt failed. Another state always follows in the same commit.
    Failed,
    /// Given up, with a reason. Terminal, unless an actor retries it.
    Discarded,
    /// The attempt ended without an answer. Another state always follows in the same commit.
    Unknown,
    /// Cancelled by an operator or API caller. Terminal, unless an actor retries it.
    Cancelled,
}

impl DeliveryState {
    /// True for the states that only an actor can end.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Discarded | Self::Cancelled)
    }

    /// The state's name in JSON, logs and queries.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Awaiting => "awaiting",
            Self::Executing => "executing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Discarded => "discarded",
            Self::Unknown => "unknown",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for DeliveryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One entry in a delivery's history. Appended, never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Transition {
    /// The entry's number in its delivery: from 0, without gaps.
    pub seq: u64,
    /// Attempts started: 0 when submitted, one more on each entry to [`DeliveryState::Executing`].
    pub attempt: u32,
    /// `None` (JSON `null`) for the first.
    pub state_before: Option<DeliveryState>,
    /// The state entered.
    pub state_after: DeliveryState,
    /// Why it waits, or why it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The error; only on failed, unknown and discarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<AttemptError>,
    /// The actor who asked for it, if it was not the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The actor's reason, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The attempt was a probe: its failure does not count against the limit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub probe: bool,
    /// The process that made the attempt; filled in by the owner, never by the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// When the wait ends; for [`Reason::Turn`]: not before.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::time::calendar::serde_option_time"
    )]
    pub due: Option<Timestamp>,
    /// When it happened; never before the previous entry.
    #[serde(with = "crate::time::calendar::serde_time")]
    pub created_at: Timestamp,
}
