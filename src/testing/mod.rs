//! The test kit: context in, effects out; a harness that plays the runtime on virtual time.

mod context;
mod side_effects;

pub mod conformance;
#[cfg(feature = "embedded")]
pub mod faulty;

pub use context::TestContext;
pub use side_effects::{DelayedMessage, SideEffects};
