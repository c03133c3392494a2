//! What a delivery is delivered to.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bytes::Bytes;

use super::super::engine::Failure;
use super::breaker::Circuit;
use crate::sdk::{BoxError, Context};
use crate::time::Timestamp;

/// Whatever units are delivered to.
///
/// What implementers keep: `prepare` and `encode` do no I/O; a `call` that fails leaves the unit as it was, because that is what is
/// kept and tried again; `decode` reads what `encode` wrote, in this version or an earlier one. What the owner promises: one call at a
/// time for a unit, always with the same id; `follow` in the commit that makes the success durable.
pub(crate) trait Target: Send + Sync + 'static {
    /// What is delivered.
    type Unit: Send + Sync;
    /// An attempt that only has to be made.
    type Call: Send;
    /// How a unit goes on that was delivered.
    type Taken: Send;

    /// Whether units wait here for a destination that may be away. Those that waited for one when this was so, and it is not any more, stay as
    /// they are until they are due.
    fn has_destinations(&self) -> bool;

    /// The unit as it is kept.
    fn encode(&self, unit: &Self::Unit) -> Bytes;

    /// The unit that was kept.
    fn decode(&self, bytes: &Bytes) -> Result<Self::Unit, BoxError>;

    /// Makes an attempt ready. `id` is its idempotency key, `key` that of its lane.
    fn prepare(
        &self,
        unit: &mut Self::Unit,
        id: &str,
        key: Option<&str>,
    ) -> Result<Prepared<Self::Call>, Box<Failure>>;

    /// Makes the attempt.
    fn call(
        &self,
        call: Self::Call,
        unit: &mut Self::Unit,
        now: Timestamp,
    ) -> impl Future<Output = Result<Self::Taken, Box<Failure>>> + Send;

    /// Has a unit that was delivered go on.
    fn follow(
        &self,
        context: &mut Context,
        unit: Self::Unit,
        taken: Self::Taken,
    ) -> Result<(), BoxError>;
}

/// An attempt that only has to be made, and where it goes.
#[derive(Debug)]
pub(crate) struct Prepared<C> {
    pub(crate) call: C,
    /// `None` when it goes nowhere outside.
    pub(crate) goal: Option<Goal>,
}

/// A place outside that may be busy or away.
#[derive(Debug, Clone)]
pub(crate) struct Goal {
    pub(crate) name: Arc<str>,
    /// Attempts in progress there, from this owner.
    pub(crate) max_in_flight: NonZeroUsize,
    /// When it counts as away; `None`: never.
    pub(crate) circuit: Option<Circuit>,
}
