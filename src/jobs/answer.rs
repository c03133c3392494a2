//! The answer of a function that is the target of a destination.

use serde::{Deserialize, Serialize};

use crate::delivery::Failure;
use crate::delivery::engine::Outcome;
use crate::sdk::{Type, types};

/// The type of an answer, sent by a function that got a [`JOB`](super::JOB) to its caller, the job.
pub const ANSWER: Type<JobAnswer> = types::json("statefun.jobs/answer");

/// How an attempt ended. Any other message from the function to the job counts as a success.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct JobAnswer {
    /// The number of the attempt; without it, the answer is for the one in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Why it failed; absent after a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

impl JobAnswer {
    /// The attempt succeeded.
    pub fn ok(attempt: u32) -> Self {
        Self {
            attempt: Some(attempt),
            error: None,
        }
    }

    /// The attempt failed.
    pub fn failed(attempt: u32, error: Failure) -> Self {
        Self {
            attempt: Some(attempt),
            error: Some(error),
        }
    }

    pub(super) fn into_outcome(self) -> Outcome {
        match self.error {
            None => Outcome::Ok,
            Some(failure) => Outcome::Err(with_error(failure)),
        }
    }
}

/// A demand to give up needs an error: without one it is a failed attempt that says so.
pub(super) fn with_error(failure: Failure) -> Failure {
    if !failure.discard || !failure.message.trim().is_empty() {
        return failure;
    }
    let text = "the target demanded to give up, but gave no error; the attempt counts as failed";
    Failure::retry("discard_without_error", text)
}
