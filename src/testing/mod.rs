//! The test kit: context in, effects out; a harness that plays the runtime on virtual time.

mod context;
mod harness;
#[cfg(feature = "runtime")]
mod pipelines;
mod side_effects;

pub mod conformance;
#[cfg(feature = "embedded")]
pub mod faulty;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod simulator;

pub use context::TestContext;
pub use harness::{BatchFailure, Harness, HarnessError};
#[cfg(feature = "runtime")]
pub use pipelines::{PipelineTests, TestResult};
pub use side_effects::{DelayedMessage, SideEffects};
