//! Functions that only pass on what they are sent: what becomes of a message is found out before it is stored, so that it is stored once.
//!
//! Such a function keeps no state, and all that follows from a message is one other message or none. It is bound as all others are, and takes
//! what other functions send to it; what comes from outside need not go through it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::core::AddressKey;
use super::core::keys::{INBOX, after_prefix, type_prefix};
use crate::sdk::TypeName;
use crate::storage::{Rows, StorageError, stretch};

/// What is stored in place of a message.
#[derive(Debug)]
pub(crate) enum Entering {
    /// Another message: its target and its argument.
    As(AddressKey, Bytes),
    /// Nothing: all is done.
    Ended,
}

/// What becomes of a message with that target and that argument; `None`: it is stored as it is. Where the id of the other message's target is
/// chosen then, it is one that the last argument takes.
pub(crate) type Enter =
    Arc<dyn Fn(&AddressKey, &Bytes, &dyn Fn(&str) -> bool) -> Option<Entering> + Send + Sync>;

/// The functions that only pass on, which are few.
#[derive(Clone, Default)]
pub(crate) struct Entrances(Vec<(TypeName, Enter)>);

impl Entrances {
    pub(super) fn add(&mut self, function: TypeName, enter: Enter) {
        self.0.push((function, enter));
    }

    /// Leaves out those at whose addresses messages wait from before the start: what comes now stays behind them.
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

    /// How messages to the function of `target` enter, if it only passes them on.
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
