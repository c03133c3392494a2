//! Follow-ups: jobs that are made after the outcome of another.

use serde::{Deserialize, Serialize};

use crate::delivery::engine::Follow;
use crate::sdk::{Type, types};

/// From a job to its event: this has happened, and other jobs may follow.
pub(super) const ENDED: Type<Ended> = types::json("statefun.jobs/ended");
/// From a job to its event: it is gone.
pub(super) const GONE: Type<Gone> = types::json("statefun.jobs/gone");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ended {
    /// The job.
    pub(super) job: String,
    /// The destination and the action of the job.
    pub(super) destination: String,
    pub(super) action: String,
    pub(super) follow: Follow,
    /// The attempt after which it follows.
    pub(super) attempt: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gone {
    pub(super) job: String,
}

/// The name of an outcome, from which the ids of the jobs that follow are derived.
pub(super) const fn name(follow: Follow) -> &'static str {
    match follow {
        Follow::Succeeded => "succeeded",
        Follow::Failed => "failed",
        Follow::Discarded => "discarded",
    }
}
