//! Targets of deliveries.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bytes::Bytes;

use super::super::edit::Edit;
use super::super::engine::{Delivery, DeliveryState, Failure, Follow};
use super::breaker::Circuit;
use super::item::Item;
use crate::sdk::{BoxError, Context, Message};
use crate::time::Timestamp;
use std::time::Duration;

/// The target of deliveries: prepares and makes attempts.
///
/// Implementers guarantee that `prepare` and `encode` do no I/O; that a failed `call` leaves the unit unchanged, because it is
/// kept and tried again; and that `decode` reads what `encode` wrote, in this version or an earlier one. The owner guarantees one call at a
/// time per unit, always with the same id, and `follow` in the commit that makes the success durable.
pub(crate) trait Target: Send + Sync + 'static {
    /// The unit that is delivered.
    type Unit: Send + Sync;
    /// A prepared attempt.
    type Call: Send;
    /// How a delivered unit continues.
    type Taken: Send;

    /// Whether units wait here for a destination that may be down. If this becomes false, units that wait for a destination stay
    /// unchanged until they are due.
    fn has_destinations(&self) -> bool;

    /// The stored form of the unit.
    fn encode(&self, unit: &Self::Unit) -> Bytes;

    /// The unit from its stored form.
    fn decode(&self, bytes: &Bytes) -> Result<Self::Unit, BoxError>;

    /// Whether [`moved`](Self::moved) may have an answer.
    fn may_move(&self) -> bool {
        false
    }

    /// What becomes of a unit that was kept here by an earlier version of what delivers it; `None` if it stays.
    fn moved(&self, unit: &Bytes) -> Result<Option<Moved>, BoxError> {
        let _ = unit;
        Ok(None)
    }

    /// The unit with other content, or why that is not possible.
    fn edited(&self, unit: Self::Unit, edit: &Edit) -> Result<Self::Unit, String>;

    /// Prepares the next attempt of `delivery`, whose id is its idempotency key.
    fn prepare(
        &self,
        unit: &mut Self::Unit,
        delivery: &Delivery,
    ) -> Result<Prepared<Self::Call>, Box<Failure>>;

    /// Makes the attempt.
    fn call(
        &self,
        call: Self::Call,
        unit: &mut Self::Unit,
        now: Timestamp,
    ) -> impl Future<Output = Result<Self::Taken, Box<Failure>>> + Send;

    /// A new unit was not delivered at once; nobody has been told yet. What changes in the unit is kept with it.
    fn undelivered(
        &self,
        context: &mut Context,
        unit: &mut Self::Unit,
        undelivered: &Undelivered<'_>,
    ) {
        let _ = (context, unit, undelivered);
    }

    /// Begins an attempt that another address makes, with [`Journal::Elsewhere`](super::super::engine::Journal): its outcome arrives as a message.
    fn begin(&self, context: &mut Context, call: Self::Call) -> Result<(), BoxError> {
        let _ = (context, call);
        Ok(())
    }

    /// How long a unit is kept after it was delivered or cancelled; `None` if one that was delivered is removed at once.
    fn keeps_ended(&self) -> Option<Duration> {
        None
    }

    /// Whether other units may follow from outcomes.
    fn has_follow_ups(&self) -> bool {
        false
    }

    /// An attempt has ended, or the delivery was given up: other units may follow, in the same commit.
    fn ended(
        &self,
        context: &mut Context,
        unit: &Self::Unit,
        delivery: &Delivery,
        follow: Follow,
    ) -> Result<(), BoxError> {
        let _ = (context, unit, delivery, follow);
        Ok(())
    }

    /// An ended unit is removed, with its history.
    fn removed(&self, context: &mut Context, unit: &Self::Unit) -> Result<(), BoxError> {
        let _ = (context, unit);
        Ok(())
    }

    /// Continues with a delivered unit.
    fn follow(
        &self,
        context: &mut Context,
        unit: Self::Unit,
        taken: Self::Taken,
    ) -> Result<(), BoxError>;
}

/// What becomes of a kept unit that cannot stay.
#[derive(Debug)]
pub(crate) enum Moved {
    /// It continues elsewhere by this message.
    To(Message),
    /// It is given up, for this reason.
    GivenUp(String),
}

/// What became of a new unit that was not delivered at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Undelivered<'a> {
    /// The id under which it is kept.
    pub(crate) id: &'a str,
    /// The error with which it was given up or dropped; `None` if it waits for another attempt.
    pub(crate) error_at_end: Option<&'a str>,
}

impl<'a> Undelivered<'a> {
    pub(super) fn of(item: &'a Item, is_dropped: bool) -> Self {
        let is_over = is_dropped || item.delivery.state == Some(DeliveryState::Discarded);
        let error = item.history.last_error();
        let error = error.map_or("it was given up", |error| error.message.as_str());
        Self {
            id: &item.delivery.id,
            error_at_end: is_over.then_some(error),
        }
    }
}

/// A prepared attempt and its destination.
#[derive(Debug)]
pub(crate) struct Prepared<C> {
    pub(crate) call: C,
    /// `None` if it does not leave the process.
    pub(crate) goal: Option<Goal>,
}

/// A destination, which may be busy or down.
#[derive(Debug, Clone)]
pub(crate) struct Goal {
    pub(crate) name: Arc<str>,
    /// Maximum attempts in progress there from this owner.
    pub(crate) max_in_flight: NonZeroUsize,
    /// When it counts as down; `None` for never.
    pub(crate) circuit: Option<Circuit>,
}
