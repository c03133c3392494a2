//! One attempt that brought nothing.

use std::time::Duration;

/// Why an attempt failed, and whether it is retried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    /// The message: what happened, with at most the first line of the server's error.
    pub(super) cause: String,
    /// For people: what to do.
    pub(super) remedy: Option<&'static str>,
    /// Whether another attempt may help.
    pub(super) retry: bool,
    /// Whether no answer came, as opposed to one that does not do.
    pub(super) io: bool,
    /// The wait that the server asked for with `retry-after`.
    pub(super) asked_wait: Option<Duration>,
}
