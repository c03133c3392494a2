//! Calls with failed attempts that are retried within their time budget, as operators and callers see them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::runtime::core::AddressKey;

/// The failed attempts of a call in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failing {
    /// The number of failed attempts.
    pub(crate) attempts: u32,
    /// The last failure.
    pub(crate) last_failure: String,
}

/// All calls that are failing. Clones are the same table; there is one entry per call, so it is bounded as they are.
#[derive(Debug, Clone, Default)]
pub(crate) struct FailingCalls(Arc<Mutex<HashMap<AddressKey, Failing>>>);

impl FailingCalls {
    /// The failed attempts of the call in progress for `address`.
    pub(crate) fn of(&self, address: &AddressKey) -> Option<Failing> {
        self.table().get(address).cloned()
    }

    /// All of them, in no order.
    pub(crate) fn all(&self) -> Vec<(AddressKey, Failing)> {
        let table = self.table();
        let entries = table.iter();
        entries
            .map(|(address, failing)| (address.clone(), failing.clone()))
            .collect()
    }

    /// Tracks one call of `address` until the result is dropped.
    pub(super) const fn follow<'a>(&'a self, address: &'a AddressKey) -> Call<'a> {
        Call {
            calls: self,
            address,
            is_listed: false,
        }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<AddressKey, Failing>> {
        // The table is whole after every statement, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call in progress.
#[derive(Debug)]
pub(super) struct Call<'a> {
    calls: &'a FailingCalls,
    address: &'a AddressKey,
    is_listed: bool,
}

impl Call<'_> {
    /// Records that this many attempts have failed, the last one for this reason.
    pub(super) fn failed(&mut self, attempts: u32, last_failure: String) {
        self.is_listed = true;
        let failing = Failing {
            attempts,
            last_failure,
        };
        self.calls.table().insert(self.address.clone(), failing);
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.is_listed {
            self.calls.table().remove(self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_listed_from_its_first_failed_attempt_until_it_ends() {
        let (calls, address) = (FailingCalls::default(), AddressKey::new("a", "f", "x"));
        let mut call = calls.follow(&address);
        assert_eq!(calls.all(), []);
        call.failed(1, "one".to_owned());
        call.failed(2, "two".to_owned());
        let failing = calls.of(&address).unwrap();
        assert_eq!((failing.attempts, &*failing.last_failure), (2, "two"));
        drop(call);
        assert_eq!(calls.all(), []);
    }
}
