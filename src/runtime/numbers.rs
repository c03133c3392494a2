//! Maps by numbers that are assigned here, one after the other or at random: nobody outside can choose colliding ones, so they need no keyed hash.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map by `u64` or `u128`.
pub(super) type ByNumber<K, V> = HashMap<K, V, BuildHasherDefault<Spread>>;

/// Spreads numbers over all bits.
#[derive(Debug, Default)]
pub(super) struct Spread(u64);

/// 2^64 divided by the golden ratio, and odd: neighbours end up far from each other.
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("the keys are numbers");
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(FACTOR);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn write_u128(&mut self, number: u128) {
        let [high, low] = [number >> 64, number].map(|half| half as u64);
        self.write_u64(high);
        self.write_u64(low);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_a_row_are_spread_over_the_table() {
        let hash = |number: u128| {
            let mut hasher = Spread::default();
            hasher.write_u128(number);
            hasher.finish()
        };
        let life = u128::from(u64::MAX) << 64;
        let (mut low, mut high) = (std::collections::HashSet::new(), [0; 128]);
        for number in 0..4096 {
            low.insert(hash(life | number) & 0xFFFF);
            high[(hash(life | number) >> 57) as usize] += 1;
        }
        assert!(low.len() > 3500, "{}", low.len());
        assert!(
            high.iter().all(|count| (8..128).contains(count)),
            "{high:?}"
        );
    }
}
