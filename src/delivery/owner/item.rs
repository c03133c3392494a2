//! A delivery as its owner keeps it.

use bytes::Bytes;

use super::super::engine::{Delivery, History, Policy};
use super::row::Row;
use crate::sdk::types::json;
use crate::sdk::{Type, TypeName, ValueSpec, types};
use crate::time::Timestamp;

/// The item, without a large unit.
pub(crate) const HEAD: ValueSpec<Row> = ValueSpec::new(
    "head",
    Type::sharing(
        TypeName::new("statefun.pipelines/head"),
        |row, out| {
            row.encode_to(out);
            Ok(())
        },
        Row::decode,
    ),
);
/// The history of an item written by an earlier version.
pub(crate) const LOG: ValueSpec<History> = ValueSpec::new("log", json("statefun.pipelines/log"));
/// A large unit, or the unit of an item written by an earlier version.
pub(crate) const JOB: ValueSpec<Bytes> =
    ValueSpec::new("job", types::bytes("statefun.pipelines/job"));

/// A delivery with its transition history, and whether its destination has it in its queue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Item {
    /// Its state.
    pub delivery: Delivery,
    /// Its transition history.
    pub history: History,
    /// Its target is the name of a destination, which may be down.
    pub has_destination: bool,
    /// It is in the queue of its destination.
    pub is_listed: bool,
    /// Its destination also knows that it has no timer.
    pub is_listed_held: bool,
    /// The attempt in progress was made because its destination woke it.
    pub is_woken: bool,
    /// The bytes of its unit, if that is stored separately.
    pub unit_bytes: u64,
}

impl Item {
    /// A delivery that is about to be submitted.
    pub fn new(delivery: Delivery) -> Self {
        Self {
            delivery,
            history: History::default(),
            has_destination: false,
            is_listed: false,
            is_listed_held: false,
            is_woken: false,
            unit_bytes: 0,
        }
    }

    /// Whether this is the turn for which it waits.
    pub fn awaits_turn(&self, seq: u64) -> bool {
        self.delivery.waits_for_turn() && self.delivery.seq == seq
    }

    /// When it expires, if ever.
    pub fn expires(&self, policy: &Policy) -> Option<Timestamp> {
        Some(self.delivery.submitted_at? + policy.max_age?)
    }
}
