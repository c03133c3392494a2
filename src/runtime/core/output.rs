//! What a core wants done.

use bytes::Bytes;

use super::CallId;
use super::failure::{Failure, Verdict};
use super::input::Ticket;
use super::keys::{AddressKey, MessageId};
use super::message::Message;
use crate::storage::Position;

/// Why a message of an ingress was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No function is bound to the type.
    UnknownFunction,
    /// A queue limit was reached.
    Full {
        /// The limit, as a message.
        what: String,
    },
    /// The idempotency key was used with another body.
    KeyReused,
    /// The store could not be read.
    Storage(String),
}

/// An output of a core: something to be done.
#[derive(Debug)]
pub enum Output {
    /// Call the function of `target`.
    Call {
        /// To be returned in [`Input::Answered`](super::Input::Answered).
        call: CallId,
        /// The address.
        target: AddressKey,
        /// The encoded `ToFunction`.
        request: Bytes,
        /// Invocations in it.
        invocations: usize,
    },
    /// Pass a message to another core, in this order.
    Forward(u8, Message),
    /// The message is on disk.
    Accepted(Ticket),
    /// The message was refused, and nothing of it is stored.
    Refused(Ticket, Refusal),
    /// The key was answered before, with this answer; `None` for a message without one.
    Replayed(Ticket, Option<Bytes>),
    /// The first message with this key is still being processed; its answer will go to this gateway.
    Attached(Ticket, String),
    /// The answer to a call: gateway id and encoded `TypedValue`.
    Answer(String, Bytes),
    /// A record for an egress, on disk in [`OUTBOX`](super::keys::OUTBOX).
    Egress {
        /// The prefix of its row key: the egress.
        egress: Bytes,
        /// The end of its row key.
        id: MessageId,
        /// The encoded `TypedValue`.
        record: Bytes,
        /// The type of the function that sent it, as in keys.
        sender: Bytes,
        /// The position of its commit.
        position: Position,
    },
    /// An operator's change was made, or the reason why not.
    Changed(Ticket, Result<(), String>),
    /// A batch failed.
    Failed {
        /// The address.
        address: AddressKey,
        /// Why.
        failure: Failure,
        /// Attempts so far.
        attempt: u32,
        /// Messages in the batch.
        invocations: usize,
        /// The consequence.
        verdict: Verdict,
    },
    /// A warning for operators.
    Warning(String),
}

impl Output {
    /// Whether it only tells somebody outside what became of a message.
    pub const fn is_acknowledgement(&self) -> bool {
        matches!(
            self,
            Self::Accepted(_) | Self::Replayed(..) | Self::Attached(..) | Self::Answer(..)
        )
    }
}
