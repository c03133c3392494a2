use std::fmt;

use serde::{Deserialize, Serialize};

use super::Transition;
use crate::time::Timestamp;

/// The results of `step`, in this order. All effects of one step are one commit, except the call to the target.
pub type Effects = Vec<Effect>;

/// One thing for a delivery's owner to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Add this to the history.
    Append(Transition),
    /// Call the target, then submit an [`Input::Outcome`](super::Input::Outcome).
    Attempt {
        /// The delivery's epoch.
        epoch: u64,
        /// The attempt's number, from 1.
        n: u32,
        /// Without an answer by then, the attempt has failed.
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
        /// The number to repeat in [`Input::Due`](super::Input::Due).
        arm: u64,
    },
    /// Start the follow-up jobs of this outcome.
    Follow(Follow),
    /// Move the stream's position past this unit.
    Advance {
        /// The position afterwards.
        position: String,
    },
    /// Join the lane of the order key; submit [`Input::Turn`](super::Input::Turn) when the delivery reaches its head.
    Join {
        /// The number to repeat in the turn.
        seq: u64,
    },
    /// Leave the lane of the order key, so that the next delivery gets the turn.
    Leave,
    /// Increment a metric.
    Count {
        /// The metric's name.
        metric: &'static str,
        /// Its label.
        label: &'static str,
    },
}

/// Which follow-up jobs an outcome starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Follow {
    /// Those for a success.
    Succeeded,
    /// Those for a failed attempt that is followed by another.
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
    /// The end of collecting a batch; armed by the owner of a stream.
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
    /// The attempt that it starts or ends.
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
