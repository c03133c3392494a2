//! Deliveries: attempts, backoff, giving up, and history of a unit that must reach a target.
//!
//! The engine decides and does nothing itself; the owner stores its decisions and calls the targets.
#![doc = include_str!("../../docs/deliveries.md")]

mod command;
mod dead_letter;
mod edit;
#[doc(hidden)]
pub mod engine;
mod index;
#[cfg(feature = "pipeline")]
#[doc(hidden)]
pub mod owner;

pub use command::{COMMAND, Command, REPLY, Reply, Verb};
pub use dead_letter::{DeadLetter, Payload};
pub use edit::{EDIT, Edit};
pub use engine::{Class, Delivery, Failure, History, Policy, Statuses, Transition};
pub use index::{Index, Row};
