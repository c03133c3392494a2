//! The numbers under which the states and reasons of deliveries are stored.

use super::super::engine::{DeliveryState, Reason};
use super::row::InvalidItem;
use crate::time::Timestamp;

/// The numbers under which states are stored, from 1.
pub(super) const STATES: [DeliveryState; 8] = [
    DeliveryState::Acknowledged,
    DeliveryState::Awaiting,
    DeliveryState::Executing,
    DeliveryState::Succeeded,
    DeliveryState::Failed,
    DeliveryState::Discarded,
    DeliveryState::Unknown,
    DeliveryState::Cancelled,
];

/// The numbers under which reasons are stored, from 1. Add new ones at the end.
pub(super) const REASONS: [Reason; 20] = [
    Reason::Scheduled,
    Reason::Turn,
    Reason::Retry,
    Reason::Blocked,
    Reason::Requeued,
    Reason::Exhausted,
    Reason::Elapsed,
    Reason::Expired,
    Reason::Permanent,
    Reason::Forced,
    Reason::Operator,
    Reason::Skipped,
    Reason::TooLarge,
    Reason::Decode,
    Reason::NoOutcome,
    Reason::StageGone,
    Reason::Damaged,
    Reason::StageError,
    Reason::NoPersist,
    Reason::Full,
];

pub(super) fn number<T: PartialEq>(all: &[T], one: Option<&T>) -> u32 {
    let at = one.and_then(|one| all.iter().position(|other| other == one));
    at.and_then(|at| u32::try_from(at + 1).ok()).unwrap_or(0)
}

/// The entry with that number; 0 means none.
pub(super) fn numbered<T: Copy>(
    all: &[T],
    number: u32,
    what: &str,
) -> Result<Option<T>, InvalidItem> {
    let Some(at) = usize::try_from(number).ok().and_then(|n| n.checked_sub(1)) else {
        return Ok(None);
    };
    let found = all.get(at).copied();
    found
        .map(Some)
        .ok_or_else(|| InvalidItem::new(format!("{what} {number} is not known")))
}

pub(super) fn required<T>(value: Option<T>, what: &str) -> Result<T, InvalidItem> {
    value.ok_or_else(|| InvalidItem::new(format!("it has no {what}")))
}

pub(super) fn millis(time: Option<Timestamp>) -> Option<u64> {
    time.map(Timestamp::as_millis)
}

pub(super) fn time(millis: Option<u64>) -> Option<Timestamp> {
    millis.map(Timestamp::from_millis)
}
