//! One attempt that brought nothing.

/// Why, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    /// For people. Never a payload.
    pub(super) cause: String,
    /// Whether another attempt may help.
    pub(super) retry: bool,
    /// Whether no answer came, as opposed to one that does not do.
    pub(super) io: bool,
}
