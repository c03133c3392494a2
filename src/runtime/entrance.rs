//! Functions that only pass messages on: the resulting message is computed before storing, so that a message is stored only once.
//!
//! Such a function keeps no state, and the only effect of a message is at most one other message. It is bound like all others, and handles
//! messages of other functions; messages from outside need not go through it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::core::AddressKey;
use super::core::keys::{INBOX, after_prefix, type_prefix};
use crate::sdk::TypeName;
use crate::storage::{Rows, StorageError, stretch};

/// What is stored instead of a message.
#[derive(Debug)]
pub(crate) enum Entering {
    /// Another message: its target and its argument.
    As(AddressKey, Bytes),
    /// Nothing: the message has been handled.
    Ended,
}

/// Computes the result of a message with a target and an argument; `None` if it is stored unchanged. If the id of the new target is
/// chosen here, it is one that the last argument accepts.
pub(crate) type Enter =
    Arc<dyn Fn(&AddressKey, &Bytes, &dyn Fn(&str) -> bool) -> Option<Entering> + Send + Sync>;

/// The functions that only pass messages on, which are few.
#[derive(Clone, Default)]
pub(crate) struct Entrances(Vec<(TypeName, Enter)>);

impl Entrances {
    pub(super) fn add(&mut self, function: TypeName, enter: Enter) {
        self.0.push((function, enter));
    }

    /// Leaves out functions with messages stored before the start, which new messages must not overtake.
    pub(super) fn without_waiting(&mut self, rows: &dyn Rows) -> Result<(), StorageError> {
        let mut free = Vec::with_capacity(self.0.len());
        for (function, enter) in self.0.drain(..) {
            let prefix = type_prefix(function.namespace(), function.name());
            let end = after_prefix(&prefix);
            let first = stretch(rows, INBOX, &prefix, end.as_deref(), 1)?;
            if first.rows.is_empty() {
                free.push((function, enter));
            }
        }
        self.0 = free;
        Ok(())
    }

    /// The entrance of messages to the function of `target`, if it only passes them on.
    pub(super) fn of(&self, target: &AddressKey) -> Option<&Enter> {
        if self.0.is_empty() {
            return None;
        }
        let (namespace, name, _) = target.parts();
        let is_it =
            |function: &TypeName| function.namespace() == namespace && function.name() == name;
        let found = self.0.iter().find(|(function, _)| is_it(function));
        found.map(|(_, enter)| enter)
    }
}

impl fmt::Debug for Entrances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|(function, _)| function);
        f.debug_list().entries(names).finish()
    }
}
