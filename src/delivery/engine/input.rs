use serde::{Deserialize, Serialize};

use super::{DeliveryState, Failure, Reason};
use crate::time::Timestamp;

/// An event for a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// It is submitted. Without `due`, the policy's start decides when the first attempt is made.
    Submit {
        /// Not before this time.
        due: Option<Timestamp>,
    },
    /// It is submitted by the owner of its key, at whose head it is: it is attempted at once.
    SubmitInTurn,
    /// It is submitted after a first attempt that failed. With an order by key, its owner held the key already.
    SubmitTried {
        /// When that attempt began.
        started: Timestamp,
        /// Its failure.
        failure: Failure,
    },
    /// A timer fired that [`Effect::Arm`](super::Effect::Arm) asked for with [`Purpose::Retry`](super::Purpose::Retry).
    Due {
        /// The delivery's epoch when it was armed.
        epoch: u64,
        /// The attempt that it starts.
        n: u32,
        /// The number of the timer.
        arm: u64,
    },
    /// It has reached the head of its lane.
    Turn {
        /// The number from [`Effect::Join`](super::Effect::Join).
        seq: u64,
    },
    /// Its target works again.
    Wake,
    /// An attempt ended.
    Outcome {
        /// The delivery's epoch at the attempt's start.
        epoch: u64,
        /// The attempt.
        n: u32,
        /// Its outcome.
        outcome: Outcome,
    },
    /// An attempt's deadline has passed.
    Deadline {
        /// The delivery's epoch at the attempt's start.
        epoch: u64,
        /// The attempt.
        n: u32,
    },
    /// The process that made an attempt is gone, so its outcome is unknown.
    Interrupted {
        /// The delivery's epoch at the attempt's start.
        epoch: u64,
        /// The attempt.
        n: u32,
    },
    /// Cancel it: at once if it waits, otherwise as soon as the attempt ends without success.
    Cancel {
        /// Who, and why.
        by: Actor,
    },
    /// Give it up while it waits.
    Discard {
        /// Who, and why.
        by: Actor,
        /// What the dead letter says; [`Reason::Operator`] when a person did it.
        reason: Reason,
    },
    /// Attempt it now or at a time; also requeues a discarded or cancelled delivery.
    RetryNow {
        /// Who, and why.
        by: Actor,
        /// `None` for now.
        at: Option<Timestamp>,
    },
    /// Pause it: no timer and no attempt until it is resumed.
    Pause,
    /// Resume it.
    Resume,
    /// The policy has changed: the wait after this failure is computed again.
    Rearm {
        /// The last failure, as far as it is known.
        failure: Failure,
    },
    /// While it is held, nothing else ends it when its time is over: it arms a timer for that itself.
    Watch,
}

/// Whether an attempt could be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Readiness {
    /// Yes.
    #[default]
    Ready,
    /// Yes, as a probe of whether the target works again.
    Probe,
    /// Not before this time.
    Later(Timestamp),
    /// Not before the target works again; it will be woken then.
    Held,
}

impl Input {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Submit { .. } => "submit",
            Self::SubmitInTurn => "submit_in_turn",
            Self::SubmitTried { .. } => "submit_tried",
            Self::Due { .. } => "due",
            Self::Turn { .. } => "turn",
            Self::Wake => "wake",
            Self::Outcome { .. } => "outcome",
            Self::Deadline { .. } => "deadline",
            Self::Interrupted { .. } => "interrupted",
            Self::Cancel { .. } => "cancel",
            Self::Discard { .. } => "discard",
            Self::RetryNow { .. } => "retry_now",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Rearm { .. } => "rearm",
            Self::Watch => "watch",
        }
    }
}

/// The outcome of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The target accepted the unit.
    Ok,
    /// It did not.
    Err(Failure),
    /// It answered, but not for this delivery.
    NoAnswer,
    /// It carried out a requested cancellation.
    Cancelled,
}

/// An operator or API caller, and their reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Who; not blank.
    pub name: String,
    /// Why, in their words; not blank.
    pub reason: String,
}

impl Actor {
    /// An actor with a reason.
    pub fn new(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            reason: reason.into(),
        }
    }
}

/// Why an input was refused. Nothing has changed then, and there are no effects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The input does not fit the state.
    #[error("{input} is refused: the delivery is {}", named(*.state))]
    DeliveryState {
        /// The input's name.
        input: &'static str,
        /// The current state; `None` before it was submitted.
        state: Option<DeliveryState>,
    },
    /// It waits behind others of its key, and must not overtake them.
    #[error("{input} is refused: the delivery is awaiting its turn behind others of its key")]
    Turn {
        /// The input's name.
        input: &'static str,
    },
    /// A stream's position is past a unit that has ended; its range must be delivered again.
    #[error("{input} is refused: the delivery is {state} and its stream has moved on")]
    Passed {
        /// The input's name.
        input: &'static str,
        /// The current state.
        state: DeliveryState,
    },
    /// A forced discard came without an error.
    #[error("a forced discard needs an error; the delivery is {state}")]
    NoError {
        /// The current state.
        state: DeliveryState,
    },
    /// The actor's name or reason is blank.
    #[error("{input} needs an actor and a reason; the delivery is {}", named(*.state))]
    NoActor {
        /// The input's name.
        input: &'static str,
        /// The current state.
        state: Option<DeliveryState>,
    },
    /// The stored data is inconsistent: the history lacks transitions.
    #[error("the stored history is damaged")]
    Damaged(#[from] super::OutOfSequence),
    /// The reason is one for waiting, not for giving up.
    #[error("discard is refused: `{reason}` is not a reason for giving up")]
    NoGiveUp {
        /// The reason given.
        reason: Reason,
    },
}

fn named(state: Option<DeliveryState>) -> &'static str {
    state.map_or("not submitted yet", DeliveryState::as_str)
}
