//! Operator commands: a message to a delivery's address, and its answer.

use serde::{Deserialize, Serialize};

use super::engine::{Delivery, DeliveryState, Reason, Refused};
use crate::sdk::{Type, types};

/// The type of a command, sent to a delivery's address. The answer, a [`REPLY`], goes to the caller, if there is one.
pub const COMMAND: Type<Command> = types::json("statefun.deliveries/command");

/// The answer of a delivery to a [`COMMAND`].
pub const REPLY: Type<Reply> = types::json("statefun.deliveries/reply");

/// An operator command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// What to do.
    pub verb: Verb,
    /// The name of the operator or API caller; not blank.
    pub actor: String,
    /// Their reason; not blank.
    pub reason: String,
}

/// A command to a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Verb {
    /// Cancel it.
    Cancel,
    /// Attempt it now; also requeues a delivery that was given up or cancelled.
    Retry,
    /// Give it up: it becomes a dead letter.
    Discard,
    /// Remove a delivery that was given up or cancelled, with its history.
    Purge,
}

/// The result of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reply {
    /// Whether it was done.
    pub ok: bool,
    /// A stable code of the error: `job.not_found`, `job.bad_state`, `job.bad_command`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The error message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The state of the delivery now; `None` if there is none.
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
    /// The command was carried out; with the new state of the delivery.
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

    /// The command is not possible in the state of the delivery.
    pub fn refused(refused: &Refused, delivery: &Delivery) -> Self {
        Self {
            ok: false,
            code: Some("job.bad_state".to_owned()),
            message: Some(refused.to_string()),
            ..Self::done(delivery)
        }
    }

    /// The command failed for another reason.
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
