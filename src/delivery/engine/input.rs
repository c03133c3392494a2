use serde::{Deserialize, Serialize};

use super::{DeliveryState, Failure, Reason};
use crate::time::Timestamp;

/// What can happen to a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// It is handed over. Without `due` the policy's start decides when the first attempt is.
    Submit {
        /// Not before this time.
        due: Option<Timestamp>,
    },
    /// It is handed over by the owner of its key, whose turn it has: it is tried at once.
    SubmitInTurn,
    /// It is handed over after a first attempt that failed. With an order by key its owner held the key already.
    SubmitTried {
        /// When that attempt began.
        started: Timestamp,
        /// How it failed.
        failure: Failure,
    },
    /// A timer fired that [`Effect::Arm`](super::Effect::Arm) asked for with [`Purpose::Retry`](super::Purpose::Retry).
    Due {
        /// The delivery's epoch when it was armed.
        epoch: u64,
        /// The attempt that it announced.
        n: u32,
        /// The number of the arming.
        arm: u64,
    },
    /// The lane of its key has reached it.
    Turn {
        /// What [`Effect::Join`](super::Effect::Join) told.
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
        /// How it ended.
        outcome: Outcome,
    },
    /// An attempt's deadline has passed.
    Deadline {
        /// The delivery's epoch at the attempt's start.
        epoch: u64,
        /// The attempt.
        n: u32,
    },
    /// The process that made an attempt is gone, and nobody knows how it ended.
    Interrupted {
        /// The delivery's epoch at the attempt's start.
        epoch: u64,
        /// The attempt.
        n: u32,
    },
    /// Call it off: at once while it waits, else as soon as the attempt ends without success.
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
    /// Try it now, or at a time; also what was discarded or cancelled.
    RetryNow {
        /// Who, and why.
        by: Actor,
        /// `None` for now.
        at: Option<Timestamp>,
    },
    /// Let it rest: no timer, no attempt, until it is resumed.
    Pause,
    /// End the rest.
    Resume,
    /// The policy has changed: the wait after this failure is what it is by the new one.
    Rearm {
        /// The last failure, as far as it is known.
        failure: Failure,
    },
    /// Nobody else looks after the end of its time while it is held: it arms a timer for that itself.
    Watch,
}

/// Whether an attempt could be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Readiness {
    /// It could.
    #[default]
    Ready,
    /// As the one that asks whether the target works again.
    Probe,
    /// Not before this time.
    Later(Timestamp),
    /// Not before the target works again; whoever knows of that wakes it.
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

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The target accepted the unit.
    Ok,
    /// It did not.
    Err(Failure),
    /// It answered, but not for this delivery.
    NoAnswer,
    /// It honoured a cancel that was asked for.
    Cancelled,
}

/// Who steps in, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Who; not blank.
    pub name: String,
    /// Why, in their words; not blank.
    pub reason: String,
}

impl Actor {
    /// That actor, with that reason.
    pub fn new(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            reason: reason.into(),
        }
    }
}

/// Why an input was refused. Nothing has changed, and there are no effects.
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
    /// A stream's unit that has ended is behind the position; the range must be delivered anew.
    #[error("{input} is refused: the delivery is {state} and its stream has left it behind")]
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
    /// What is stored does not belong together: the history lacks transitions.
    #[error("the stored history is damaged")]
    Damaged(#[from] super::OutOfSequence),
    /// The reason is one for waiting, not for giving up.
    #[error("discard is refused: `{reason}` is no reason for giving up")]
    NoGiveUp {
        /// The reason given.
        reason: Reason,
    },
}

fn named(state: Option<DeliveryState>) -> &'static str {
    state.map_or("not submitted yet", DeliveryState::as_str)
}
