//! What happens to something that must reach a target: attempts, backoff, giving up, history.
//!
//! The engine decides and does nothing; the owner keeps what it says and calls the targets.
#![doc = include_str!("../../docs/deliveries.md")]

mod command;
mod dead_letter;
#[doc(hidden)]
pub mod engine;
mod index;
#[cfg(feature = "pipeline")]
#[doc(hidden)]
pub mod owner;

pub use command::{COMMAND, Command, REPLY, Reply, Verb};
pub use dead_letter::{DeadLetter, Payload};
pub use engine::{Delivery, Failure, History, Policy, Transition};
pub use index::{Index, Row};
