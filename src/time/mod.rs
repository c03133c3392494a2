//! Time: points, spans as text, the calendar. Plain data: no clock is read here (`clock` does that), and every part may name it.
//!
//! `span` is the grammar of our own settings, `flink` that of StateFun's kinds, `go` how spans are written.

#[cfg(feature = "delivery")]
pub(crate) mod calendar;
#[cfg(feature = "runtime")]
pub(crate) mod flink;
#[cfg(feature = "delivery")]
pub(crate) mod span;
mod timestamp;

pub use timestamp::Timestamp;
