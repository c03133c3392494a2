//! What the functions of an owner send one another. The names of the types are those under which earlier versions stored them.

use bytes::Bytes;
use prost::Message;
use uuid::Uuid;

use super::super::engine::Failure;
use super::lane_head;
use crate::sdk::types::{self, protobuf_as};
use crate::sdk::{BoxError, Type};

/// To an item: take this delivery over, as it stands. A row.
pub(crate) const HANDED_OVER: Type<Bytes> = types::bytes("statefun.deliveries/handed");
/// To an item: keep this unit and see to it that it gets through. Sent by earlier versions.
pub(crate) const SUBMISSION: Type<Submission> = protobuf_as("statefun.pipelines/submission");
/// To an item, by itself: a wait has ended.
pub(crate) const TICK: Type<Tick> = protobuf_as("statefun.pipelines/tick");
/// To an item: its destination works again, or is asked whether it does.
pub(crate) const WAKE: Type<Wake> = protobuf_as("statefun.pipelines/wake");
/// To an item: nobody else sees to it that its time ends.
pub(crate) const WATCH: Type<Empty> = protobuf_as("statefun.deliveries/watch");
/// To an item: the policy has changed. Without a value.
pub(crate) const RULES: Type<Bytes> = types::bytes("statefun.deliveries/rules");
/// To an item: all before it in its lane are done.
pub(crate) const TURN: Type<Turn> = protobuf_as("statefun.pipelines/turn");
/// To a lane: an item wants a place behind the others.
pub(crate) const JOIN: Type<WireLaneEntry> = protobuf_as("statefun.pipelines/join");
/// To a lane: an item is done.
pub(crate) const LEAVE: Type<WireLaneEntry> = protobuf_as("statefun.pipelines/leave");
/// To a destination: an item waits for it.
pub(crate) const WAITING: Type<WaitingItem> = protobuf_as("statefun.pipelines/waiting");
/// To a destination: how it does.
pub(crate) const REPORT: Type<Report> = protobuf_as("statefun.pipelines/report");
/// To a destination, by itself: it is time to ask whether it works again.
pub(crate) const PROBE: Type<Probe> = protobuf_as("statefun.deliveries/probe");
/// To a page: give back what stands on you.
pub(crate) const FETCH: Type<Empty> = protobuf_as("statefun.pipelines/fetch");

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Submission {
    /// The record that is to be kept.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(crate) record: Option<Bytes>,
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
    pub(crate) fn read_failure(&self) -> Result<Option<Failure>, BoxError> {
        Ok(match self.failure.as_ref() {
            [] => None,
            json => Some(serde_json::from_slice(json)?),
        })
    }
}

/// A unit as earlier versions kept it: nothing but a record.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct OldUnit {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) record: Bytes,
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
pub(crate) struct Wake {
    /// The attempt only asks whether the destination works: it costs the item nothing.
    #[prost(bool, tag = "1")]
    pub(crate) is_probe: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Turn {
    /// Counts only while this is still the item's last transition.
    #[prost(uint64, tag = "1")]
    pub(crate) seq: u64,
}

/// A place in a lane.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct WireLaneEntry {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    /// What the turn repeats.
    #[prost(uint64, tag = "2")]
    pub(crate) seq: u64,
}

impl From<lane_head::LaneEntry> for WireLaneEntry {
    fn from(entry: lane_head::LaneEntry) -> Self {
        let lane_head::LaneEntry { id, seq } = entry;
        Self { id, seq }
    }
}

impl From<WireLaneEntry> for lane_head::LaneEntry {
    fn from(entry: WireLaneEntry) -> Self {
        let WireLaneEntry { id, seq } = entry;
        Self { id, seq }
    }
}

/// One that waits for a destination.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct WaitingItem {
    /// The stage at which it waits.
    #[prost(string, tag = "1")]
    pub(crate) stage: String,
    /// Its id, when that is not a UUID.
    #[prost(string, tag = "2")]
    pub(crate) id: String,
    /// Its id, when that is a UUID.
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) uuid: Bytes,
    /// When its time is over, in milliseconds; 0: never.
    #[prost(uint64, tag = "4")]
    pub(crate) expires: u64,
    /// How often the destination is asked whether it works again, in milliseconds; said when it comes, not kept.
    #[prost(uint64, tag = "5")]
    pub(crate) ask_every: u64,
    /// It has no time of its own: it waits until it is woken.
    #[prost(bool, tag = "6")]
    pub(crate) is_held: bool,
}

impl WaitingItem {
    pub(crate) fn new(stage: String, id: &str) -> Self {
        let uuid = Uuid::try_parse(id)
            .ok()
            .filter(|uuid| uuid.to_string() == id);
        Self {
            stage,
            id: uuid.map_or_else(|| id.to_owned(), |_| String::new()),
            uuid: uuid.map_or_else(Bytes::new, |uuid| Bytes::copy_from_slice(uuid.as_bytes())),
            expires: 0,
            ask_every: 0,
            is_held: false,
        }
    }

    pub(crate) fn id(&self) -> String {
        match Uuid::from_slice(&self.uuid) {
            Ok(uuid) => uuid.to_string(),
            Err(_) => self.id.clone(),
        }
    }
}

/// The probe that is meant: a late one of an earlier wait is told apart.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Probe {
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Report {
    #[prost(enumeration = "Reported", tag = "1")]
    pub(crate) reported: i32,
    /// When the time of the item that reports is over, in milliseconds; 0: never.
    #[prost(uint64, tag = "2")]
    pub(crate) expires: u64,
    /// The item waits as before, though its attempt was answered: the answer may be about the item.
    #[prost(bool, tag = "3")]
    pub(crate) is_answered: bool,
}

/// What an item or an owner tells of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Reported {
    /// One arrived that was not woken.
    Works = 0,
    /// A woken item arrived.
    WokenArrived = 1,
    /// A woken item failed again, and has a time of its own.
    WokenFailed = 2,
    /// A woken item does not wait any more.
    WokenGone = 3,
    /// A woken item waits as before.
    WokenWaits = 4,
}
