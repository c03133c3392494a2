//! Jobs: events that are delivered to destinations, each with the full history of its attempts.
//!
//! Events, jobs, destinations with their actions and schedules, the declared (YAML) form, and the functions that do the work: one for events,
//! and one for the jobs of each action, which delegates to the owner of deliveries. `plan` is pure: it says which jobs an event becomes. HTTP
//! routes and commands are not here, they are in `admin` and in the binary. May import `delivery`, `pipeline`, `sdk`, `document`, `clock`.
#![doc = include_str!("../../docs/jobs.md")]

mod answer;
mod build;
mod check;
mod closure;
mod config;
mod destination;
mod event;
mod event_function;
mod follow_up;
mod id;
mod job;
mod job_function;
mod plan;
mod rings;
mod schedule;
mod target;

pub use answer::{ANSWER, JobAnswer};
pub use build::{InvalidJobs, Jobs, JobsBuilder};
pub use config::JobsConfig;
pub use destination::{Action, Destination, FollowUps};
pub use event::{ACCEPTED, Accepted, EVENT, Event, JobRef, NEW_EVENT, NewEvent};
pub use id::{InvalidId, JobId};
#[cfg(feature = "runtime")]
pub(crate) use job::described;
pub use job::{JOB, Job};
pub use plan::Refusal;
pub use schedule::{InvalidInterval, Schedule};
