//! Commands to a partition, and its replies.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tokio::sync::oneshot;

use crate::protocol::reqreply::FromFunction;
use crate::runtime::acknowledgements::ReplyTo;
use crate::runtime::core::{
    AddressKey, AdminChange, Arrival, CallId, Failure, Message, QueueView, Refusal, TypeCounters,
    TypeLoad,
};
use crate::runtime::endpoint::{Directory, Failing};
use crate::time::Timestamp;

/// The outcome of a message from an ingress.
#[derive(Debug)]
pub(in crate::runtime) enum Admission {
    /// It is on disk.
    Accepted,
    /// Its key was answered before; `None` if there was no answer.
    Replayed(Option<Bytes>),
    /// The first message with its key is still being processed; the answer goes to this gateway.
    Attached(String),
    /// It was refused.
    Refused(Refusal),
}

/// The outcome of a call.
#[derive(Debug)]
pub(in crate::runtime) enum Returned {
    /// The function answered.
    Answered(FromFunction),
    /// The function did not answer, after all attempts.
    Failed(Failure),
    /// The call was aborted because the runtime stops: its batch is sent again at the next start.
    Abandoned,
}

/// A command to a partition.
#[derive(Debug)]
pub(in crate::runtime) enum Command {
    /// A message from an ingress; the partition assigns its ticket.
    Arrive(Arrival, ReplyTo),
    /// A message from a function of another partition, or from a source.
    Deliver(Message),
    /// Messages of one batch of a source.
    DeliverAll(Vec<Message>),
    /// Like `Deliver`, when too much is on its way: the content is read from the store when it is needed.
    Stored(Message),
    /// The result of a call.
    Returned(CallId, Returned),
    /// A change by an operator.
    Change(AdminChange, oneshot::Sender<Result<(), String>>),
    /// A request for the queues, with at most this many addresses.
    Inspect(usize, oneshot::Sender<Inspection>),
    /// A request for the queue of one address.
    Look(AddressKey, oneshot::Sender<Option<Queue>>),
    /// A source waits until it may bring more.
    AwaitRoom(oneshot::Sender<()>),
    /// A request for the number of messages and results that were handled, answered once no call is in progress and none begins by itself within
    /// this time.
    AwaitQuiet(Duration, oneshot::Sender<u64>),
    /// Functions and egresses from now on; answered when they are known.
    Bind(Arc<Directory>, oneshot::Sender<()>),
    /// Start no more calls; answered when none is in progress.
    Drain(oneshot::Sender<()>),
}

impl Command {
    /// Bytes of its messages.
    pub(super) fn size(&self) -> usize {
        let content = match self {
            Self::Arrive(arrival, _) => arrival.argument.len() + arrival.target.key_len(),
            Self::Deliver(message) | Self::Stored(message) => {
                message.invocation.len() + message.target.key_len()
            }
            Self::DeliverAll(messages) => messages
                .iter()
                .map(|message| {
                    size_of::<Message>() + message.invocation.len() + message.target.key_len()
                })
                .sum(),
            Self::Returned(_, Returned::Answered(reply)) => reply.encoded_len(),
            _ => 0,
        };
        size_of::<Self>() + content
    }
}

/// The queue of an address, and its call in progress.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    pub(crate) view: QueueView,
    /// The failed attempts of the call, if there are any.
    pub(crate) failing: Option<Failing>,
    /// When the call began, if it did not return at once.
    pub(crate) called_at: Option<Timestamp>,
}

/// The queues of a partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inspection {
    /// Addresses with work, those with failures first.
    pub(crate) queues: Vec<Queue>,
    /// Messages that wait or are in flight.
    pub(crate) backlog: u64,
    /// Calls in progress.
    pub(crate) in_flight: usize,
    /// Counters by namespace and name.
    pub(crate) counters: Vec<(String, String, TypeCounters)>,
    /// The usage of each function type with messages, the largest first.
    pub(crate) loads: Vec<TypeLoad>,
}
