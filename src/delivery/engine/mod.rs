//! The engine that decides about deliveries: `step` takes an input and returns effects.
//!
//! It contains states and transitions, policies, failures and the history, but no bytes, targets, stores, timers or queues. The engine uses no clock, I/O, async
//! runtime or random generator, so equal arguments give equal results. It imports only `retry`, `time` and the texts of durations.

mod class;
mod cron;
mod delivery;
mod effect;
mod failure;
mod head;
mod history;
mod input;
mod moves;
mod policy;
mod policy_form;
mod reason;
mod retry_rule;
mod statuses;
mod step;
mod timers;
mod transition;

pub use class::{Class, Classes, FailureKind, retry_after};
pub use cron::{Cron, InvalidCron};
pub use delivery::{Delivery, DeliveryKind};
pub use effect::{Effect, Effects, Follow, Purpose, Token};
pub use failure::{AttemptError, Detail, Failure, Validation};
pub use head::Head;
pub use history::{Entry, Folded, History, OutOfSequence};
pub use input::{Actor, Input, Outcome, Readiness, Refused};
pub use policy::{Batch, InvalidPolicy, Journal, Order, Policy, PolicyFault, Start, Then};
pub use reason::Reason;
pub use retry_rule::{Jitter, Retry};
pub use statuses::Statuses;
pub use step::{step, step_when};
pub use transition::{DeliveryState, Transition};
