//! Messages between the functions of an owner. The type names are those of earlier versions, which have stored them.

use bytes::Bytes;
use prost::Message;
use uuid::Uuid;

use super::super::engine::Failure;
use super::lane_head;
use crate::sdk::types::{self, protobuf_as};
use crate::sdk::{BoxError, Type};

/// To an item: take over this delivery in its current state. A row.
pub(crate) const HANDED_OVER: Type<Bytes> = types::bytes("statefun.deliveries/handed");
/// To an item: keep this unit and deliver it. Sent by earlier versions.
pub(crate) const SUBMISSION: Type<Submission> = protobuf_as("statefun.pipelines/submission");
/// From an item to itself: a wait has ended.
pub(crate) const TICK: Type<Tick> = protobuf_as("statefun.pipelines/tick");
/// To an item: its destination works again, or the item is to probe it.
pub(crate) const WAKE: Type<Wake> = protobuf_as("statefun.pipelines/wake");
/// To an item: it must arm a timer for its own expiry.
pub(crate) const WATCH: Type<Empty> = protobuf_as("statefun.deliveries/watch");
/// To an item: the policy has changed. Without a value.
pub(crate) const RULES: Type<Bytes> = types::bytes("statefun.deliveries/rules");
/// From an item to itself: it has ended, and was kept long enough.
pub(crate) const FORGET: Type<Turn> = protobuf_as("statefun.deliveries/forget");
/// To an item: what is kept with it is above a limit, and it is given up. Answered like a command.
pub(crate) const FULL: Type<Bytes> = types::bytes("statefun.deliveries/full");
/// To an item: it is at the head of its lane.
pub(crate) const TURN: Type<Turn> = protobuf_as("statefun.pipelines/turn");
/// To a lane: an item joins its end.
pub(crate) const JOIN: Type<WireLaneEntry> = protobuf_as("statefun.pipelines/join");
/// To a lane: an item leaves.
pub(crate) const LEAVE: Type<WireLaneEntry> = protobuf_as("statefun.pipelines/leave");
/// To a destination: an item waits for it.
pub(crate) const WAITING: Type<WaitingItem> = protobuf_as("statefun.pipelines/waiting");
/// To a destination: a report about it.
pub(crate) const REPORT: Type<Report> = protobuf_as("statefun.pipelines/report");
/// From a destination to itself: a probe is due.
pub(crate) const PROBE: Type<Probe> = protobuf_as("statefun.deliveries/probe");
/// To a page: return your content.
pub(crate) const FETCH: Type<Empty> = protobuf_as("statefun.pipelines/fetch");

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Submission {
    /// The record to keep.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(crate) record: Option<Bytes>,
    /// The lane that sends it and has an entry for it.
    #[prost(string, optional, tag = "2")]
    pub(crate) lane: Option<String>,
    /// The failure of a first attempt that was made, as JSON.
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) failure: Bytes,
    /// When that attempt began.
    #[prost(uint64, tag = "4")]
    pub(crate) started: u64,
    /// No attempt was made; none may be made before this time.
    #[prost(uint64, optional, tag = "5")]
    pub(crate) due: Option<u64>,
    /// The lane is full: it becomes a dead letter at once.
    #[prost(bool, tag = "6")]
    pub(crate) full: bool,
    /// Scheme, host and port of its destination, once known.
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

/// A unit as earlier versions kept it: only a record.
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
    /// It ends an attempt that runs elsewhere, not a wait.
    #[prost(bool, tag = "3")]
    pub(crate) is_deadline: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Empty {}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Wake {
    /// The attempt is a probe: it does not count as one of the item's attempts.
    #[prost(bool, tag = "1")]
    pub(crate) is_probe: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Turn {
    /// Valid only while this is still the item's last transition.
    #[prost(uint64, tag = "1")]
    pub(crate) seq: u64,
}

/// An entry of a lane.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct WireLaneEntry {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    /// The number to repeat in the turn.
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

/// An item that waits for a destination.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct WaitingItem {
    /// The stage at which it waits.
    #[prost(string, tag = "1")]
    pub(crate) stage: String,
    /// Its id, if it is not a UUID.
    #[prost(string, tag = "2")]
    pub(crate) id: String,
    /// Its id, if it is a UUID.
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) uuid: Bytes,
    /// When it expires, in milliseconds; 0: never.
    #[prost(uint64, tag = "4")]
    pub(crate) expires: u64,
    /// The interval of probes, in milliseconds; sent when the item registers, not stored.
    #[prost(uint64, tag = "5")]
    pub(crate) ask_every: u64,
    /// It has no timer: it waits until it is woken.
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

/// The number of the probe, so that a late one of an earlier wait is recognised.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Probe {
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Report {
    #[prost(enumeration = "Reported", tag = "1")]
    pub(crate) reported: i32,
    /// When the reporting item expires, in milliseconds; 0: never.
    #[prost(uint64, tag = "2")]
    pub(crate) expires: u64,
    /// The item waits as before, although its attempt was answered: the answer may be about the item.
    #[prost(bool, tag = "3")]
    pub(crate) is_answered: bool,
}

/// A report of an item or an owner about a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Reported {
    /// An item that was not woken was delivered.
    Works = 0,
    /// A woken item was delivered.
    WokenArrived = 1,
    /// A woken item failed again, and has its own due time.
    WokenFailed = 2,
    /// A woken item no longer waits.
    WokenGone = 3,
    /// A woken item waits as before.
    WokenWaits = 4,
}
