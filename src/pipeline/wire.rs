//! What the functions behind a pipeline send one another, besides records.

use bytes::Bytes;
use prost::Message;

use super::blob::Blob;
use super::record::WireRecord;
use crate::delivery::engine::Failure;
use crate::sdk::types::protobuf_as;
use crate::sdk::{BoxError, Type, TypeName};

/// To an item: keep this record and see to it that it gets through.
pub(crate) const SUBMISSION: Type<Submission> =
    protobuf_as(TypeName::new("statefun.pipelines/submission"));
/// To an item, by itself: a wait has ended.
pub(crate) const TICK: Type<Tick> = protobuf_as(TypeName::new("statefun.pipelines/tick"));
/// To an item: its destination works again.
pub(crate) const WAKE: Type<Empty> = protobuf_as(TypeName::new("statefun.pipelines/wake"));
/// To an item: all before it in its lane are done.
pub(crate) const TURN: Type<Turn> = protobuf_as(TypeName::new("statefun.pipelines/turn"));
/// To a lane: an item wants a place behind the others.
pub(crate) const JOIN: Type<Place> = protobuf_as(TypeName::new("statefun.pipelines/join"));
/// To a lane: an item is done.
pub(crate) const LEAVE: Type<Place> = protobuf_as(TypeName::new("statefun.pipelines/leave"));
/// To a batch, by itself: it has been filling long enough.
pub(crate) const FLUSH: Type<Flush> = protobuf_as(TypeName::new("statefun.pipelines/flush"));
/// To a destination: an item waits for it.
pub(crate) const WAITING: Type<WaitingItem> =
    protobuf_as(TypeName::new("statefun.pipelines/waiting"));
/// To a destination: how it does.
pub(crate) const REPORT: Type<Report> = protobuf_as(TypeName::new("statefun.pipelines/report"));
/// From a destination to a page of its list and back: what stands on it, `WaitingItem`s.
pub(crate) const PAGE: Type<Blob> = protobuf_as(TypeName::new("statefun.pipelines/page"));
/// To a page: give back what stands on you.
pub(crate) const FETCH: Type<Empty> = protobuf_as(TypeName::new("statefun.pipelines/fetch"));

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Submission {
    #[prost(message, optional, tag = "1")]
    pub(crate) record: Option<WireRecord>,
    /// The lane that sends it and has a place for it.
    #[prost(string, optional, tag = "2")]
    pub(crate) lane: Option<String>,
    /// A first attempt was made, and failed like this; JSON.
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) failure: Bytes,
    /// When that attempt began.
    #[prost(uint64, tag = "4")]
    pub(crate) started: u64,
    /// No attempt was made: not before this time.
    #[prost(uint64, optional, tag = "5")]
    pub(crate) due: Option<u64>,
    /// The lane has no room: straight to the dead letters.
    #[prost(bool, tag = "6")]
    pub(crate) full: bool,
    /// Scheme, host and port of where it goes, once known.
    #[prost(string, tag = "7")]
    pub(crate) destination: String,
}

impl Submission {
    pub(crate) fn with_failure(mut self, failure: &Failure) -> Result<Self, BoxError> {
        self.failure = serde_json::to_vec(failure)?.into();
        Ok(self)
    }

    pub(crate) fn read_failure(&self) -> Result<Option<Failure>, BoxError> {
        Ok(match self.failure.as_ref() {
            [] => None,
            json => Some(serde_json::from_slice(json)?),
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Tick {
    #[prost(uint32, tag = "1")]
    pub(crate) attempt: u32,
    #[prost(uint64, tag = "2")]
    pub(crate) arm: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Empty {}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Turn {
    /// Counts only while this is still the item's last transition.
    #[prost(uint64, tag = "1")]
    pub(crate) seq: u64,
}

/// A place in a lane.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Place {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    /// What the turn repeats.
    #[prost(uint64, tag = "2")]
    pub(crate) seq: u64,
}

/// The batch that is meant: that with this first record.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Flush {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) first: Bytes,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct WaitingItem {
    #[prost(string, tag = "1")]
    pub(crate) stage: String,
    #[prost(string, tag = "2")]
    pub(crate) id: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Report {
    #[prost(enumeration = "Reported", tag = "1")]
    pub(crate) reported: i32,
}

/// What an item or an export tells of its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Reported {
    /// A record arrived that was not woken.
    Works = 0,
    /// A woken item arrived.
    WokenArrived = 1,
    /// A woken item failed again.
    WokenFailed = 2,
    /// A woken item had nothing to do, or could not be tried.
    WokenIdle = 3,
}
