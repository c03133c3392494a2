//! How people step in: a command to a delivery's address, and its answer.

use serde::{Deserialize, Serialize};

use super::engine::{Delivery, DeliveryState, Reason, Refused};
use crate::sdk::{Type, types};

/// Sent to a delivery's address. The answer, a [`REPLY`], goes to the caller, if there is one.
pub const COMMAND: Type<Command> = types::json("statefun.deliveries/command");

/// What a delivery answers a [`COMMAND`].
pub const REPLY: Type<Reply> = types::json("statefun.deliveries/reply");

/// Steps in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// What to do.
    pub verb: Verb,
    /// Who wants it; not blank.
    pub actor: String,
    /// Why, in their words; not blank.
    pub reason: String,
}

/// What can be done to a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Verb {
    /// Call it off.
    Cancel,
    /// Try it now; also what was given up or called off.
    Retry,
    /// Give it up: it becomes a dead letter.
    Discard,
    /// Remove what was given up or called off, with its history.
    Purge,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reply {
    /// Whether it was done.
    pub ok: bool,
    /// A stable name of why not: `job.not_found`, `job.bad_state`, `job.bad_command`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why not, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Where the delivery stands now; `None` when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<DeliveryState>,
    /// Attempts started.
    #[serde(default)]
    pub attempt: u32,
    /// Why it waits, or why it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Reason>,
}

impl Reply {
    /// It was done; this is where the delivery stands now.
    pub fn done(delivery: &Delivery) -> Self {
        Self {
            ok: true,
            code: None,
            message: None,
            state: delivery.state,
            attempt: delivery.attempt,
            why: delivery.reason,
        }
    }

    /// It does not fit where the delivery stands.
    pub fn refused(refused: &Refused, delivery: &Delivery) -> Self {
        Self {
            ok: false,
            code: Some("job.bad_state".to_owned()),
            message: Some(refused.to_string()),
            ..Self::done(delivery)
        }
    }

    /// It could not be done for another reason.
    pub fn failed(code: &str, message: impl Into<String>) -> Self {
        Self {
            ok: false,
            code: Some(code.to_owned()),
            message: Some(message.into()),
            state: None,
            attempt: 0,
            why: None,
        }
    }
}
