//! A delivery as its owner keeps it.

use bytes::Bytes;

use super::super::engine::{Delivery, History, Policy};
use super::row::Row;
use crate::sdk::types::json;
use crate::sdk::{Type, TypeName, ValueSpec, types};
use crate::time::Timestamp;

/// The item: all of it, but for a large unit.
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
/// The history of an item that an earlier version wrote.
pub(crate) const LOG: ValueSpec<History> = ValueSpec::new("log", json("statefun.pipelines/log"));
/// A large unit, and that of an item that an earlier version wrote.
pub(crate) const JOB: ValueSpec<Bytes> =
    ValueSpec::new("job", types::bytes("statefun.pipelines/job"));

/// A delivery, how it came where it stands, and what its destination knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Item {
    /// Where it stands.
    pub delivery: Delivery,
    /// How it came there.
    pub history: History,
    /// Its target is the name of a destination, which can be away.
    pub has_destination: bool,
    /// Its destination knows that it waits.
    pub is_listed: bool,
    /// Its destination knows also that it has no time of its own.
    pub is_listed_held: bool,
    /// The attempt in progress was made because its destination woke it.
    pub is_woken: bool,
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
        }
    }

    /// Whether this is the turn that it waits for.
    pub fn awaits_turn(&self, seq: u64) -> bool {
        self.delivery.waits_for_turn() && self.delivery.seq == seq
    }

    /// When its time is over; `None`: never.
    pub fn expires(&self, policy: &Policy) -> Option<Timestamp> {
        Some(self.delivery.submitted_at? + policy.max_age?)
    }
}
