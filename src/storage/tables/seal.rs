//! The checksum after each value, and the sum of all of them.

use std::collections::BTreeMap;

/// Bytes of a seal.
const SEAL: usize = 4;

/// The checksum of a value at its key. `key` begins with the byte of its table, so a row is bound to both.
fn checksum(key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    hasher.finalize()
}

/// Fills `out` with the value and its seal.
pub(super) fn seal(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.reserve(value.len() + SEAL);
    out.extend_from_slice(value);
    out.extend_from_slice(&checksum(key, value).to_le_bytes());
}

/// The value that was sealed for this key; `None` if the seal does not match.
pub(super) fn unseal<'a>(key: &[u8], stored: &'a [u8]) -> Option<&'a [u8]> {
    let (value, seal) = stored.split_last_chunk::<SEAL>()?;
    (u32::from_le_bytes(*seal) == checksum(key, value)).then_some(value)
}

/// Fills `out` with the value and the seal that it would have if only its seal were damaged.
pub(super) fn reseal(key: &[u8], stored: &[u8], out: &mut Vec<u8>) {
    let value = stored.split_last_chunk::<SEAL>();
    seal(key, value.map_or(stored, |(value, _)| value), out);
}

/// The number of rows of a table and the sum of their seals, in any order: missing and reappearing rows show in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) rows: u64,
    pub(super) seals: u64,
}

/// The sums of all tables, by their bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sums(BTreeMap<u8, Sum>);

impl Sums {
    pub(super) fn add(&mut self, key: &[u8], stored: &[u8]) {
        let sum = self.of(key);
        sum.rows = sum.rows.wrapping_add(1);
        sum.seals = sum.seals.wrapping_add(weight(stored));
    }

    pub(super) fn take(&mut self, key: &[u8], stored: &[u8]) {
        let sum = self.of(key);
        sum.rows = sum.rows.wrapping_sub(1);
        sum.seals = sum.seals.wrapping_sub(weight(stored));
    }

    pub(super) fn set(&mut self, table: u8, sum: Sum) {
        self.0.insert(table, sum);
    }

    pub(super) fn get(&self, table: u8) -> Sum {
        self.0.get(&table).copied().unwrap_or_default()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u8, Sum)> {
        self.0.iter().map(|(table, sum)| (*table, *sum))
    }

    fn of(&mut self, key: &[u8]) -> &mut Sum {
        let table = key.first().copied().unwrap_or_default();
        self.0.entry(table).or_default()
    }
}

/// The value added for a row: its seal.
fn weight(stored: &[u8]) -> u64 {
    let seal = stored.last_chunk::<SEAL>().copied().unwrap_or_default();
    u64::from(u32::from_le_bytes(seal))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(key: &[u8], value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        seal(key, value, &mut out);
        out
    }

    #[test]
    fn a_value_is_read_at_its_own_key_only_and_as_it_was_written() {
        let stored = sealed(b"\x01key", b"value");
        assert_eq!(unseal(b"\x01key", &stored), Some(&b"value"[..]));
        assert_eq!(unseal(b"\x02key", &stored), None, "another table");
        assert_eq!(unseal(b"\x01kez", &stored), None, "another key");
        assert_eq!(unseal(b"\x01ke", &sealed(b"\x01key", b"")), None);
        for at in 0..stored.len() {
            let mut damaged = stored.clone();
            damaged[at] ^= 1;
            assert_eq!(unseal(b"\x01key", &damaged), None, "byte {at}");
        }
        assert_eq!(unseal(b"\x01key", b"\0\0\0\0\0\0"), None, "zeros");
        assert_eq!(unseal(b"\x01key", b"abc"), None, "shorter than a seal");
    }

    #[test]
    fn sums_do_not_depend_on_the_order_and_show_a_row_that_is_missing() {
        let rows: Vec<_> = (0..20_u8)
            .map(|n| (vec![1, n], sealed(&[1, n], &[n; 9])))
            .collect();
        let sum_of = |rows: &mut dyn Iterator<Item = &(Vec<u8>, Vec<u8>)>| {
            let mut sums = Sums::default();
            rows.for_each(|(key, stored)| sums.add(key, stored));
            sums
        };
        let all = sum_of(&mut rows.iter());
        assert_eq!(all, sum_of(&mut rows.iter().rev()));
        let mut fewer = sum_of(&mut rows.iter().skip(1));
        assert_ne!(all, fewer);
        fewer.add(&rows[0].0, &rows[0].1);
        assert_eq!(all, fewer);
        let mut older = all.clone();
        older.take(&rows[3].0, &rows[3].1);
        older.add(&rows[3].0, &sealed(&rows[3].0, b"older"));
        assert_ne!(all, older, "a value of before");
    }
}
