//! What happens to something that must reach a target: attempts, backoff, giving up, history.
//!
//! The [`engine`] decides and does nothing; its owners keep what it says and call the targets.
#![doc = include_str!("../../docs/deliveries.md")]

mod command;
mod dead_letter;
pub mod engine;
mod index;

pub use command::{COMMAND, Command, REPLY, Reply, Verb};
pub use dead_letter::{DeadLetter, Payload};
pub use engine::{Delivery, Failure, History, Policy, Transition};
pub use index::{Index, Row};
