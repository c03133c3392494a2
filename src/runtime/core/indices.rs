//! The indices by which a core finds its addresses with work, and its function types.

/// The place of an address in the table while it has work. It may be reused for another address afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Slot(pub(super) u32);

/// The index of a function type in one core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TypeId(pub(super) usize);

impl TypeId {
    /// The number behind it, from 0.
    pub(super) const fn index(self) -> usize {
        self.0
    }
}
