use std::fmt;

use serde::{Deserialize, Serialize};

use super::Transition;
use crate::time::Timestamp;

/// What `step` answers, in this order. All effects of one step are one commit; only the call to the target is outside it.
pub type Effects = Vec<Effect>;

/// One thing for a delivery's owner to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Add this to the history.
    Append(Transition),
    /// Call the target, and answer with an [`Input::Outcome`](super::Input::Outcome).
    Attempt {
        /// The delivery's epoch.
        epoch: u64,
        /// The attempt's number, from 1.
        n: u32,
        /// When the attempt has failed if there is no answer.
        deadline: Timestamp,
        /// The idempotency key: the same for all attempts of this unit.
        key: String,
    },
    /// Cancel a timer.
    Disarm {
        /// The timer.
        token: Token,
    },
    /// Start a timer: [`Input::Due`](super::Input::Due) or [`Input::Deadline`](super::Input::Deadline) at that time.
    Arm {
        /// The timer; not pending now.
        token: Token,
        /// When it fires.
        at: Timestamp,
        /// What [`Input::Due`](super::Input::Due) repeats.
        arm: u64,
    },
    /// Start the follow-up jobs of this outcome.
    Follow(Follow),
    /// Move the stream's position past this unit.
    Advance {
        /// Where the position is afterwards.
        position: String,
    },
    /// Take a place in the lane of the order key, and give [`Input::Turn`](super::Input::Turn) when it is reached.
    Join {
        /// What the turn repeats.
        seq: u64,
    },
    /// Leave the lane of the order key, so that the next has its turn.
    Leave,
    /// Count one in a metric.
    Count {
        /// The metric's name.
        metric: &'static str,
        /// What distinguishes it.
        label: &'static str,
    },
}

/// Which follow-up jobs an outcome starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Follow {
    /// Those for a success.
    Succeeded,
    /// Those for a failed attempt after which there is another.
    Failed,
    /// Those for having given up.
    Discarded,
}

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The end of a wait.
    Retry,
    /// The end of an attempt that runs elsewhere.
    Deadline,
    /// The end of a batch's filling; armed by the owner of a stream.
    Flush,
}

impl Purpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Deadline => "deadline",
            Self::Flush => "flush",
        }
    }
}

/// A timer's name within its delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Token {
    /// What it is for.
    pub purpose: Purpose,
    /// The delivery's epoch.
    pub epoch: u64,
    /// The attempt that it announces or ends.
    pub n: u32,
}

impl Token {
    /// The cancellation token of this timer at `address`, written `namespace/type/id`.
    ///
    /// StateFun scopes tokens by id alone, so the text carries the type: `<address>/<n>`, for deadlines
    /// `<address>/deadline/<n>`, with an epoch `<address>/<purpose>/<epoch>/<n>`.
    pub fn text(&self, address: impl fmt::Display) -> String {
        let (purpose, n) = (self.purpose.as_str(), self.n);
        match (self.epoch, self.purpose) {
            (0, Purpose::Retry) => format!("{address}/{n}"),
            (0, _) => format!("{address}/{purpose}/{n}"),
            (epoch, _) => format!("{address}/{purpose}/{epoch}/{n}"),
        }
    }
}
