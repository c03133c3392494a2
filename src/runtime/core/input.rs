//! What a core is told.

use bytes::Bytes;

use super::CallId;
use super::failure::Failure;
use super::idempotency::IdempotencyKey;
use super::keys::{AddressKey, MessageId};
use super::message::Message;
use crate::protocol::reqreply::FromFunction;
use crate::storage::Position;

/// A number chosen by the caller, with which it recognises the result.
pub type Ticket = u64;

/// A message from an ingress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The number by which the ingress recognises the result.
    pub ticket: Ticket,
    /// The target of the message.
    pub target: AddressKey,
    /// The encoded `TypedValue`.
    pub argument: Bytes,
    /// The gateway id for the answer; `None` if no answer is needed.
    pub gateway: Option<String>,
    /// The caller's idempotency key.
    pub key: Option<IdempotencyKey>,
}

/// A change requested by an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminChange {
    /// Writes (`Some`: an encoded `TypedValue`) or removes a state.
    SetState {
        /// The address.
        address: AddressKey,
        /// The name of the state.
        name: String,
        /// The encoded `TypedValue`; `None` removes it.
        value: Option<Bytes>,
    },
    /// Tries a parked or waiting address again at once.
    Resume(AddressKey),
    /// Deletes the declaration of a value of a function type, in this core. The values stay; a function declares them again with its next
    /// call.
    ForgetDeclaration {
        /// The namespace of the type.
        namespace: String,
        /// The name of the type.
        name: String,
        /// The name of the value.
        value: String,
    },
    /// Deletes a record that an egress has set aside, and sends it again at the end of the outbox if asked to.
    TakeBack {
        /// The prefix of the egress's rows.
        egress: Bytes,
        /// Which record.
        id: MessageId,
        /// The encoded `TypedValue` to send again.
        again: Option<Bytes>,
    },
}

/// An input of a core.
#[derive(Debug)]
pub enum Input {
    /// A message from an ingress.
    Arrive(Arrival),
    /// A message from a function of another core, whose row is staged.
    Deliver(Message),
    /// Messages of one batch of a source, whose rows are staged.
    DeliverAll(Vec<Message>),
    /// Like `Deliver`, without the message's content, which is read from the store when needed.
    Stored(Message),
    /// The result of a call.
    Answered {
        /// The call.
        call: CallId,
        /// The reply, or why there is none after all attempts.
        result: Result<FromFunction, Failure>,
    },
    /// Everything staged up to this position is on disk.
    Durable(Position),
    /// Time has passed.
    Tick,
    /// Search a page of rows for expired ones.
    Sweep,
    /// A change by an operator; the ticket is answered with [`Output::Changed`](super::Output::Changed).
    Change(Ticket, AdminChange),
    /// The runtime is stopping: start no more calls.
    Drain,
}
