//! Shared values by key, of which unused ones are forgotten.

#[cfg(feature = "runtime")]
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// From this many values on, unused ones are forgotten.
const MANY: usize = 1024;

/// Values by key, created on first use. Once there are many, unused ones are forgotten.
#[derive(Debug)]
pub(super) struct Known<K, V>(Mutex<(HashMap<K, Arc<V>>, usize)>);

impl<K, V> Default for Known<K, V> {
    fn default() -> Self {
        Self(Mutex::new((HashMap::new(), MANY)))
    }
}

impl<K: Eq + Hash + Clone, V> Known<K, V> {
    pub(super) fn get(&self, key: &K, make: impl FnOnce() -> V) -> Arc<V> {
        let (known, many) = &mut *self.locked();
        if let Some(value) = known.get(key) {
            return Arc::clone(value);
        }
        if known.len() >= *many {
            known.retain(|_, value| Arc::strong_count(value) > 1);
            *many = MANY.max(known.len() * 2); // so that the scan stays rare, however many are in use
        }
        let value = Arc::new(make());
        known.insert(key.clone(), Arc::clone(&value));
        value
    }

    /// The value, if it was created and is not forgotten.
    #[cfg(feature = "runtime")]
    pub(super) fn existing<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
    {
        self.locked().0.get(key).cloned()
    }

    fn locked(&self) -> MutexGuard<'_, (HashMap<K, Arc<V>>, usize)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unused_values_are_forgotten_when_there_are_many() {
        let known = Known::<usize, ()>::default();
        let used = known.get(&0, || ());
        for n in 1..3 * MANY {
            known.get(&n, || ());
        }
        assert!(known.locked().0.len() <= MANY);
        assert!(Arc::ptr_eq(&used, &known.get(&0, || ())));
    }
}
