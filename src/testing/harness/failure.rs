//! Why a batch, or a step of a test, failed.

use crate::sdk::Address;
use crate::time::Timestamp;

/// A batch without effect, because its function returned an error, panicked, or requested something impossible.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchFailure {
    /// The address of the batch.
    pub address: Address,
    /// The number of messages in the batch.
    pub messages: usize,
    /// The number of failures in a row, including this one.
    pub attempt: u32,
    /// Why.
    pub reason: String,
    /// When the batch is sent again.
    pub retry_at: Option<Timestamp>,
}

/// Why a step of a test went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HarnessError {
    /// A batch failed. It is sent again after its wait: [`Harness::advance`](crate::testing::Harness::advance). Everything else continued.
    #[error("function {} failed: {}", .0.address, .0.reason)]
    Function(BatchFailure),
    /// The message's function is not registered.
    #[error("message to {target} was refused: no such function is registered")]
    UnknownFunction {
        /// The target of the message.
        target: Address,
    },
    /// Nothing is left to do at this time, and the call has no answer.
    #[error("{target} did not answer; it may answer at a later time")]
    NoAnswer {
        /// The address that was called.
        target: Address,
    },
    /// The runtime refused it.
    #[error("refused: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
}
