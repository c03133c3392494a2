//! The messages that items, lanes and destinations understand, by their type.

use bytes::Bytes;

use super::super::command::{COMMAND, Command};
use super::super::edit::{EDIT, Edit};
use super::blob::Blob;
use super::queue::PAGE;
use super::wire::{
    FETCH, FORGET, FULL, HANDED_OVER, JOIN, LEAVE, PROBE, Probe, REPORT, RULES, Report, SUBMISSION,
    Submission, TICK, TURN, Tick, Turn, WAITING, WAKE, WATCH, WaitingItem, Wake, WireLaneEntry,
};
use crate::sdk::{Message, SdkError, Type};

/// A message to an item.
pub(super) enum ToItem {
    Tick(Tick),
    Wake(Wake),
    Turn(Turn),
    Watch,
    Rules,
    Forget(Turn),
    Full,
    /// A command that cannot be read gets an answer too.
    Command(Result<Command, SdkError>),
    /// The same.
    Edit(Result<Edit, SdkError>),
    HandedOver(Bytes),
    Submission(Submission),
}

/// A message to a lane.
pub(super) enum ToLane {
    Join(WireLaneEntry),
    Leave(WireLaneEntry),
    Fetch,
    Page(Blob),
}

/// A message to a destination.
pub(super) enum ToDestination {
    Waiting(WaitingItem),
    Report(Report),
    Probe(Probe),
    Fetch,
    Page(Blob),
}

impl ToItem {
    /// `None` if it is none of these.
    pub(super) fn read(message: &Message) -> Result<Option<Self>, SdkError> {
        let read = Reader(message);
        read.value(&TICK, Self::Tick)
            .or_else(|| read.value(&WAKE, Self::Wake))
            .or_else(|| read.value(&TURN, Self::Turn))
            .or_else(|| read.sign(&WATCH, Self::Watch))
            .or_else(|| read.sign(&RULES, Self::Rules))
            .or_else(|| read.value(&FORGET, Self::Forget))
            .or_else(|| read.sign(&FULL, Self::Full))
            .or_else(|| {
                let is_command = message.is(&COMMAND);
                is_command.then(|| Ok(Self::Command(message.require(&COMMAND))))
            })
            .or_else(|| {
                let is_edit = message.is(&EDIT);
                is_edit.then(|| Ok(Self::Edit(message.require(&EDIT))))
            })
            .or_else(|| read.value(&HANDED_OVER, Self::HandedOver))
            .or_else(|| read.value(&SUBMISSION, Self::Submission))
            .transpose()
    }
}

impl ToLane {
    /// `None` if it is none of these.
    pub(super) fn read(message: &Message) -> Result<Option<Self>, SdkError> {
        let read = Reader(message);
        read.value(&JOIN, Self::Join)
            .or_else(|| read.value(&LEAVE, Self::Leave))
            .or_else(|| read.sign(&FETCH, Self::Fetch))
            .or_else(|| read.value(&PAGE, Self::Page))
            .transpose()
    }
}

impl ToDestination {
    /// `None` if it is none of these.
    pub(super) fn read(message: &Message) -> Result<Option<Self>, SdkError> {
        let read = Reader(message);
        read.value(&WAITING, Self::Waiting)
            .or_else(|| read.value(&REPORT, Self::Report))
            .or_else(|| read.value(&PROBE, Self::Probe))
            .or_else(|| read.sign(&FETCH, Self::Fetch))
            .or_else(|| read.value(&PAGE, Self::Page))
            .transpose()
    }
}

/// Reads a message as one of several types.
struct Reader<'m>(&'m Message);

impl Reader<'_> {
    /// The value, if the message is of this type.
    fn value<T, M>(&self, ty: &Type<T>, make: fn(T) -> M) -> Option<Result<M, SdkError>> {
        self.0.is(ty).then(|| self.0.require(ty).map(make))
    }

    /// A message whose type says everything.
    fn sign<T, M>(&self, ty: &Type<T>, made: M) -> Option<Result<M, SdkError>> {
        self.0.is(ty).then_some(Ok(made))
    }
}
