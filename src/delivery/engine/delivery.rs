use std::ops::Not;

use serde::{Deserialize, Serialize};

use super::{Actor, DeliveryState, Reason, Token};
use crate::time::Timestamp;

/// A unit on its way to a target: its state between two steps.
///
/// Only `step` writes it. Its JSON is its stored form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Delivery {
    /// Its id, which is also the idempotency key of its attempts.
    pub id: String,
    /// Who owns it.
    pub kind: DeliveryKind,
    /// The name of the target.
    pub target: String,
    /// Deliveries with the same key keep their order, if the policy says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// For a stream: its position after this unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// The activation of its stream; zero for jobs. Outcomes of another epoch are ignored.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub epoch: u64,
    /// Its state; `None` before it was submitted.
    pub state: Option<DeliveryState>,
    /// Attempts started.
    #[serde(default)]
    pub attempt: u32,
    /// Failed attempts that count against the limit, since it was submitted or last requeued.
    #[serde(default)]
    pub spent: u32,
    /// The number of the last transition.
    #[serde(default)]
    pub seq: u64,
    /// When the wait ends.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::time::calendar::serde_option_time"
    )]
    pub due: Option<Timestamp>,
    /// Why it waits (while executing: why it waited before), or why it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// When it was submitted or last requeued; a policy's `max_age` counts from here.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::time::calendar::serde_option_time"
    )]
    pub submitted_at: Option<Timestamp>,
    /// When the first attempt since then began; a policy's `within` counts from here.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::time::calendar::serde_option_time"
    )]
    pub first_at: Option<Timestamp>,
    /// When the last transition was.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::time::calendar::serde_option_time"
    )]
    pub last_at: Option<Timestamp>,
    /// Attempts in a row that ended with their process.
    #[serde(default)]
    pub interruptions: u32,
    /// Who asked to cancel it while an attempt was in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<Actor>,
    /// An operator has paused it.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub paused: bool,
    /// It waits without a timer until it is woken, because its target is down.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub held: bool,
    /// The attempt in progress is a probe: its failure does not count against the limit.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub probing: bool,
    /// It is in the lane of its key.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub in_lane: bool,
    /// How many timers were armed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub arm: u64,
    /// The timer that is pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub armed: Option<Token>,
}

/// Who owns a delivery, and where its bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryKind {
    /// A job owns its bytes.
    Job,
    /// A stream owns a cursor; its unit is a range of a log.
    Stream,
}

impl Delivery {
    /// A job that has not been submitted yet. `key` is its order key.
    pub fn job(id: impl Into<String>, target: impl Into<String>, key: Option<String>) -> Self {
        Self::new(id.into(), DeliveryKind::Job, target.into(), key)
    }

    /// One batch of a stream, not submitted yet. `position` is the stream's position after this batch.
    ///
    /// Each batch is a delivery of its own, and outcomes name their delivery: an attempt's number is unique within one
    /// delivery only.
    pub fn batch(
        id: impl Into<String>,
        target: impl Into<String>,
        position: impl Into<String>,
        epoch: u64,
    ) -> Self {
        Self {
            position: Some(position.into()),
            epoch,
            ..Self::new(id.into(), DeliveryKind::Stream, target.into(), None)
        }
    }

    fn new(id: String, kind: DeliveryKind, target: String, key: Option<String>) -> Self {
        Self {
            id,
            kind,
            target,
            key,
            position: None,
            epoch: 0,
            state: None,
            attempt: 0,
            spent: 0,
            seq: 0,
            due: None,
            reason: None,
            submitted_at: None,
            first_at: None,
            last_at: None,
            interruptions: 0,
            cancel: None,
            paused: false,
            held: false,
            probing: false,
            in_lane: false,
            arm: 0,
            armed: None,
        }
    }

    /// True while it waits behind others of its key.
    pub fn waits_for_turn(&self) -> bool {
        self.state == Some(DeliveryState::Awaiting) && self.reason == Some(Reason::Turn)
    }

    /// True while it waits only for its target, so that a success there can wake it.
    pub fn can_be_woken(&self) -> bool {
        let waits = matches!(self.reason, Some(Reason::Retry | Reason::Blocked)) || self.held;
        self.state == Some(DeliveryState::Awaiting) && waits && !self.paused
    }

    /// True once it has ended: delivered, given up or cancelled.
    pub fn is_terminal(&self) -> bool {
        self.state.is_some_and(DeliveryState::is_terminal)
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
