//! Functions that compute for long, or block their thread: a partition must not call them in place.

use std::time::Duration;

use crate::sdk::TypeName;

/// How long a function may take until it answers or waits for something.
const LONG: Duration = Duration::from_millis(1);
/// How many calls of a slow function are made elsewhere before one in place shows whether it is still slow.
const ELSEWHERE: u32 = 1_000;

/// The slow functions. Nearly always none.
#[derive(Debug, Default)]
pub(super) struct SlowFunctions {
    slow: Vec<(TypeName, Slow)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slow {
    /// Its last call took long. One alone may have been interrupted.
    Once,
    /// Two in a row did: this many further calls are made elsewhere.
    Calls(u32),
}

impl SlowFunctions {
    /// Whether the next call of a function must be made elsewhere.
    pub(super) fn is_slow(&mut self, namespace: &str, name: &str) -> bool {
        if self.slow.is_empty() {
            return false;
        }
        let mut slow = self.slow.iter_mut();
        let found = slow.find(|(function, _)| is(function, namespace, name));
        match found {
            Some((_, Slow::Calls(left @ 1..))) => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }

    /// Records how long a call made here took until it answered or waited.
    pub(super) fn note(&mut self, namespace: &str, name: &str, took: Duration) {
        if self.slow.is_empty() && took < LONG {
            return;
        }
        let mut slow = self.slow.iter();
        let place = slow.position(|(function, _)| is(function, namespace, name));
        match (place, took < LONG) {
            (Some(place), true) => _ = self.slow.swap_remove(place),
            (Some(place), false) => {
                if let Some((_, slow)) = self.slow.get_mut(place) {
                    *slow = Slow::Calls(ELSEWHERE);
                }
            }
            (None, true) => {}
            (None, false) => {
                let function = TypeName::from_wire(namespace, name);
                self.slow.push((function, Slow::Once));
            }
        }
    }
}

fn is(function: &TypeName, namespace: &str, name: &str) -> bool {
    function.namespace() == namespace && function.name() == name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_takes_long_twice_in_a_row_is_called_elsewhere_for_a_while() {
        let mut pace = SlowFunctions::default();
        let quick = Duration::from_micros(10);
        pace.note("a", "f", LONG);
        assert!(!pace.is_slow("a", "f"));
        pace.note("a", "f", quick);
        pace.note("a", "f", LONG);
        assert!(!pace.is_slow("a", "f"));
        pace.note("a", "f", LONG);
        assert!(!pace.is_slow("a", "g"));
        let elsewhere = (0..2 * ELSEWHERE).take_while(|_| pace.is_slow("a", "f"));
        assert_eq!(elsewhere.count(), usize::try_from(ELSEWHERE).unwrap());
        pace.note("a", "f", quick);
        assert!(pace.slow.is_empty());
    }
}
