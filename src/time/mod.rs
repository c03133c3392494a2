//! Time: timestamps, durations as text, and the calendar. Plain data that every part may use; the clock is read in `clock`.
//!
//! `span` is the grammar of our own settings, `flink` that of StateFun's kinds.

#[cfg(feature = "delivery")]
pub(crate) mod calendar;
#[cfg(feature = "runtime")]
pub(crate) mod flink;
#[cfg(feature = "delivery")]
pub(crate) mod span;
mod timestamp;

pub use timestamp::Timestamp;
