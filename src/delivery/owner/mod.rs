//! The owner of deliveries: it keeps what must reach a target at an address of its own, and sees to it until it has ended.
//!
//! `decide` is pure: what follows when something happens to an item. `function` does it, on the state and the messages of a stateful
//! function; `lane` keeps the order of those with one key, and `destination` wakes what waits for a place that was away. What is
//! delivered, and how, is a `Target`'s: the owner knows neither records nor HTTP. May import the engine, `sdk` and `clock`.

mod attempt;
mod blob;
mod decide;
mod destination;
#[cfg(feature = "runtime")]
mod figures;
mod function;
mod gate;
mod item;
mod lane;
mod places;
mod queue;
mod row;
mod target;
mod waking;
mod wire;

pub use decide::{Action, Woken, adopt, attempts, decide};
pub(crate) use destination::DestinationFunction;
#[cfg(feature = "runtime")]
pub(crate) use figures::Figure;
pub(crate) use function::{Names, Owner, submit_failed};
pub use gate::Circuit;
#[cfg(feature = "runtime")]
pub(crate) use gate::CircuitState;
pub(crate) use gate::Gates;
pub use item::Item;
pub(crate) use item::{HEAD, JOB, LOG};
pub(crate) use lane::Lane;
pub use places::{Place, Places};
pub(crate) use queue::{Capacity, Queue, QueueValues, Size};
#[cfg(feature = "runtime")]
pub(crate) use row::Outline;
pub(crate) use row::Row;
pub use row::{InvalidItem, Stored};
pub(crate) use target::{Goal, Prepared, Target};
#[cfg(feature = "runtime")]
pub(crate) use wire::RULES;
