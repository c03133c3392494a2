//! Where a snapshot has no rows: what is looked for there is not there, and the tables need not be asked.
//!
//! New rows mostly have keys behind one another, and before each is written somebody looks whether it is there. All these keys lie in
//! the one gap behind the last row of their kind. Keys without an order find no gap twice, and cost little more than without.

use std::collections::BTreeMap;
use std::ops::Bound::{Included, Unbounded};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Gaps that are known at most; then all are forgotten.
const MOST: usize = 256;
/// After so many looks in a row that no gap answered only each so many-th one is learned from.
const VAIN: u32 = 16;

/// Some gaps of a snapshot, which never change.
#[derive(Debug, Default)]
pub(super) struct Gaps(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// First key of a gap, and the key of the row behind it; `None` when there is no such row.
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

    /// To be asked when a row was absent and no gap told so: whether it is worth to look where the gap ends.
    pub(super) fn are_wanted(&self) -> bool {
        let mut known = self.known();
        known.vain = known.vain.saturating_add(1);
        known.vain < VAIN || known.vain.is_multiple_of(VAIN)
    }

    /// There is no row from `key` to the one at `end`.
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
        // The map is whole after every statement.
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
