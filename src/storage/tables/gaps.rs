//! Known gaps of a snapshot: rows in them are absent, and the tables need not be read.
//!
//! New rows mostly have ascending keys, and before each is written a lookup checks that it is absent. All these keys are in
//! the gap after the last row of their kind. Unordered keys never hit a gap twice, and cost little more than without gaps.

use std::collections::BTreeMap;
use std::ops::Bound::{Included, Unbounded};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Maximum known gaps; beyond it all are dropped.
const MOST: usize = 256;
/// After this many consecutive lookups outside of known gaps, only every such number of lookups adds one.
const VAIN: u32 = 16;

/// The known gaps of a snapshot. A snapshot never changes, and neither do its gaps.
#[derive(Debug, Default)]
pub(super) struct Gaps(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The first key of a gap, and the key of the row after it, if there is one.
    gaps: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    vain: u32,
}

impl Gaps {
    /// Whether a row with this key is known to be absent.
    pub(super) fn hold(&self, key: &[u8]) -> bool {
        let mut known = self.known();
        let mut gap = known.gaps.range::<[u8], _>((Unbounded, Included(key)));
        let holds = gap
            .next_back()
            .is_some_and(|(_, end)| end.as_deref().is_none_or(|end| key < end));
        if holds {
            known.vain = 0;
        }
        holds
    }

    /// Called for an absent row outside of known gaps: whether it is worth finding the end of its gap.
    pub(super) fn are_wanted(&self) -> bool {
        let mut known = self.known();
        known.vain = known.vain.saturating_add(1);
        known.vain < VAIN || known.vain.is_multiple_of(VAIN)
    }

    /// Adds the gap from `key` to the row at `end`.
    pub(super) fn learn(&self, key: &[u8], end: Option<&[u8]>) {
        let mut known = self.known();
        if known.gaps.len() >= MOST {
            known.gaps.clear();
        }
        let next = known
            .gaps
            .range::<[u8], _>((Included(key), Unbounded))
            .next();
        let swallowed = next.filter(|(_, other)| other.as_deref() == end);
        if let Some(begin) = swallowed.map(|(begin, _)| begin.clone()) {
            known.gaps.remove(&begin);
        }
        known.gaps.insert(key.to_vec(), end.map(<[u8]>::to_vec));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // The map is consistent after every statement.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_a_learned_key_and_the_next_row_is_absent_and_nothing_else() {
        let gaps = Gaps::default();
        gaps.learn(b"d", Some(b"h"));
        gaps.learn(b"x", None);
        for absent in ["d", "da", "gzz", "x", "zz"] {
            assert!(gaps.hold(absent.as_bytes()), "{absent}");
        }
        for unknown in ["", "c", "h", "m", "w"] {
            assert!(!gaps.hold(unknown.as_bytes()), "{unknown}");
        }
        gaps.learn(b"b", Some(b"h"));
        assert!(gaps.hold(b"c") && gaps.hold(b"g") && !gaps.hold(b"h"));
        assert_eq!(gaps.known().gaps.len(), 2);
    }

    #[test]
    fn gaps_that_answer_nothing_are_learned_seldom_and_not_all_are_kept() {
        let gaps = Gaps::default();
        let mut learned = 0;
        for n in 0..10_000_u32 {
            let (key, end) = ((2 * n).to_be_bytes(), (2 * n + 1).to_be_bytes());
            assert!(!gaps.hold(&key));
            if gaps.are_wanted() {
                gaps.learn(&key, Some(&end));
                learned += 1;
            }
        }
        assert!((500..700).contains(&learned), "{learned}");
        assert!(gaps.known().gaps.len() <= MOST);
    }
}
