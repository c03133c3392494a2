//! The owner of deliveries: it keeps each delivery at an address of its own and attempts it until it has ended.
//!
//! `decide` is pure: it says what follows when something happens to an item. `function` handles the messages of a stateful function by it,
//! and `actions` carries out what was decided, on the state (`kept`) and the messages of the function. `lane` keeps the order of the
//! deliveries with one key, and `destination` wakes those that wait for a destination that was down. What is delivered, and how, is
//! decided by a `Target`: the owner knows neither records nor HTTP. May import the engine, `sdk` and `clock`.

mod actions;
mod attempt;
mod blob;
mod breaker;
mod commands;
mod decide;
mod destination;
mod dropped;
mod entry_form;
#[cfg(feature = "runtime")]
mod figures;
mod function;
mod item;
mod item_form;
mod kept;
mod known;
mod lane;
mod lane_head;
mod lane_runs;
mod limiter;
mod numbered;
mod old_row;
#[cfg(feature = "runtime")]
mod outline;
mod pages;
mod queue;
mod received;
mod registry;
mod row;
mod stock;
mod target;
mod waking;
mod wire;

pub use breaker::Circuit;
#[cfg(feature = "runtime")]
pub(crate) use breaker::CircuitState;
pub use decide::{Action, Woken, adopt, attempts, decide, stay};
pub(crate) use destination::DestinationFunction;
#[cfg(feature = "runtime")]
pub(crate) use figures::Figure;
#[cfg(feature = "postgres")]
pub(crate) use function::failed_before;
pub(crate) use function::{Names, Owner, failed};
pub use item::Item;
pub(crate) use item::{HEAD, JOB, LOG};
pub(crate) use lane::Lane;
pub use lane_head::{LaneEntry, LaneHead};
#[cfg(feature = "runtime")]
pub(crate) use outline::Outline;
pub(crate) use queue::{Capacity, Queue, QueueValues, Size};
pub(crate) use registry::DestinationRegistry;
pub(crate) use row::Row;
pub use row::{InvalidItem, Stored};
pub use stock::{DeadLetterLimits, KeepLimits, OnFull};
#[cfg(feature = "runtime")]
pub(crate) use stock::{Load, Stock};
pub(crate) use target::{Goal, Moved, Prepared, Target, Undelivered};
#[cfg(feature = "runtime")]
pub(crate) use wire::FULL;
pub(crate) use wire::RULES;
