//! One attempt that brought nothing.

/// Why, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    /// For people: what happened. Of what the server sent, at most the first line of an error.
    pub(super) cause: String,
    /// For people: what to do.
    pub(super) remedy: Option<&'static str>,
    /// Whether another attempt may help.
    pub(super) retry: bool,
    /// Whether no answer came, as opposed to one that does not do.
    pub(super) io: bool,
}
