//! What a partition is told, and what it tells.

use bytes::Bytes;
use prost::Message as _;
use tokio::sync::oneshot;

use crate::protocol::reqreply::FromFunction;
use crate::runtime::acknowledgements::ReplyTo;
use crate::runtime::core::{
    AddressKey, AdminChange, Arrival, CallId, Failure, Message, QueueView, Refusal, TypeCounters,
    TypeLoad,
};
use crate::runtime::endpoint::Failing;

/// What became of a message that an ingress brought.
#[derive(Debug)]
pub(in crate::runtime) enum Admission {
    /// It is on disk.
    Accepted,
    /// Its key was answered before; `None`: nobody waited for an answer.
    Replayed(Option<Bytes>),
    /// Its key's first message still runs; the answer goes to this gateway.
    Attached(String),
    /// It was not taken in.
    Refused(Refusal),
}

/// How a call ended.
#[derive(Debug)]
pub(in crate::runtime) enum Returned {
    /// The function answered.
    Answered(FromFunction),
    /// It did not, after all attempts.
    Failed(Failure),
    /// It was given up because the runtime goes down: its batch is sent again at the next start.
    Abandoned,
}

/// What a partition is told.
#[derive(Debug)]
pub(in crate::runtime) enum Command {
    /// An ingress brings a message; the partition gives it its ticket.
    Arrive(Arrival, ReplyTo),
    /// A function of another partition, or a source, sent a message here.
    Deliver(Message),
    /// As `Deliver`, while too much is on its way: the message itself is read from the store when its turn comes.
    Stored(Message),
    /// A call came back.
    Returned(CallId, Returned),
    /// An operator changes something.
    Change(AdminChange, oneshot::Sender<Result<(), String>>),
    /// Somebody wants to see what waits; so many addresses at most.
    Inspect(usize, oneshot::Sender<Inspection>),
    /// Somebody wants to see what waits at one address.
    Look(AddressKey, oneshot::Sender<Option<Queue>>),
    /// A source waits until it may bring more.
    AwaitRoom(oneshot::Sender<()>),
    /// Start no more calls; answered when none is out.
    Drain(oneshot::Sender<()>),
}

impl Command {
    /// Bytes of messages that it carries.
    pub(super) fn size(&self) -> usize {
        let content = match self {
            Self::Arrive(arrival, _) => arrival.argument.len() + arrival.target.key_len(),
            Self::Deliver(message) | Self::Stored(message) => {
                message.invocation.len() + message.target.key_len()
            }
            Self::Returned(_, Returned::Answered(reply)) => reply.encoded_len(),
            _ => 0,
        };
        size_of::<Self>() + content
    }
}

/// What waits at an address, and what is known of the call that is out for it.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    pub(crate) view: QueueView,
    /// Its failed attempts, when they have been failing.
    pub(crate) failing: Option<Failing>,
}

/// What waits in a partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inspection {
    /// Addresses with something to do, those with failures first.
    pub(crate) queues: Vec<Queue>,
    /// Messages that wait or are in flight.
    pub(crate) backlog: u64,
    /// Calls that are out.
    pub(crate) in_flight: usize,
    /// Counters by namespace and name.
    pub(crate) counters: Vec<(String, String, TypeCounters)>,
    /// What each function type with messages holds, most messages first.
    pub(crate) loads: Vec<TypeLoad>,
}
