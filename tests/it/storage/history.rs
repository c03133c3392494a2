//! What the rows must be after a start.

use std::collections::BTreeMap;

use bytes::Bytes;
use stateful_functions::random::Random;
use stateful_functions::storage::{Rows, Store, Table, Write};

use super::{MESSAGES, OTHER, STATE};

type Tables = BTreeMap<Table, BTreeMap<Bytes, Bytes>>;

/// All that was ever staged on a disk, as far as it survived.
#[derive(Default)]
pub(super) struct History {
    pub(super) lists: Vec<Vec<Write>>,
    /// Positions that a round may end at.
    pub(super) round_ends: Vec<u64>,
    pub(super) confirmed: u64,
    messages: u64,
}

impl History {
    fn rows_after(&self, position: u64) -> Tables {
        let mut tables = Tables::new();
        for write in self.lists[..position as usize].iter().flatten() {
            let rows = tables.entry(write.table).or_default();
            match &write.value {
                Some(value) => rows.insert(write.key.clone(), value.clone()),
                None => rows.remove(&write.key),
            };
        }
        tables
    }

    pub(super) fn staged(&self) -> u64 {
        self.lists.len() as u64
    }

    pub(super) fn random_list(&mut self, random: &mut Random) -> Vec<Write> {
        let length = random.below(5);
        (0..length).map(|_| self.random_write(random)).collect()
    }

    fn random_write(&mut self, random: &mut Random) -> Write {
        let value = vec![random.below(256) as u8; random.below(300) as usize];
        let key = random.below(40).to_be_bytes().to_vec();
        match random.below(8) {
            0..=2 => {
                self.messages += 1;
                Write::put(MESSAGES, self.messages.to_be_bytes().to_vec(), value)
            }
            3 | 4 => {
                // Mostly a message of late, as queues do.
                let back = random.below(1 + self.messages.min(8));
                Write::delete(MESSAGES, (self.messages - back).to_be_bytes().to_vec())
            }
            5 => Write::delete(STATE, key),
            6 => Write::put(OTHER, key, value),
            _ => Write::put(STATE, key, value),
        }
    }

    /// The store has started after a crash: is it as it must be? Forgets what did not survive.
    pub(super) fn check_start(&mut self, store: &Store) {
        let found = store.durable().as_u64();
        assert!(
            found >= self.confirmed,
            "confirmed {}, found {found}",
            self.confirmed
        );
        assert!(
            found <= self.staged(),
            "staged {}, found {found}",
            self.staged()
        );
        assert!(
            found == 0 || self.round_ends.contains(&found),
            "{found} is inside a round: rounds end at {:?}",
            self.round_ends
        );
        self.lists.truncate(found as usize);
        self.round_ends.retain(|end| *end <= found);
        self.confirmed = found;
        self.check_rows(store);
    }

    /// Are the rows those of all that is staged?
    pub(super) fn check_rows(&self, store: &Store) {
        let expected = self.rows_after(self.staged());
        let none = BTreeMap::new();
        for table in [STATE, OTHER, MESSAGES] {
            let rows: Vec<_> = expected
                .get(&table)
                .unwrap_or(&none)
                .clone()
                .into_iter()
                .collect();
            let found = store.scan(table, b"", None, usize::MAX).unwrap();
            assert!(
                found == rows,
                "{table:?} differs: {} rows, expected {}",
                found.len(),
                rows.len()
            );
            if let Some((key, value)) = rows.first() {
                assert_eq!(store.get(table, key).unwrap().as_ref(), Some(value));
            }
        }
        for table in [STATE, MESSAGES] {
            let rows = expected.get(&table).unwrap_or(&none);
            let keys: Vec<_> = (0..44_u64).map(u64::to_be_bytes).collect();
            let ends: Vec<&[u8]> = keys.iter().map(|key| &key[4..]).collect();
            let found = store.get_all(table, &[0; 4], &ends).unwrap();
            let wanted = keys.iter().map(|key| rows.get(&key[..]).cloned());
            assert_eq!(found, wanted.collect::<Vec<_>>(), "{table:?} together");
            for key in keys.iter().rev().step_by(7) {
                let found = store.get(table, key).unwrap();
                assert_eq!(found.as_ref(), rows.get(&key[..]), "{table:?}, {key:?}");
            }
        }
    }
}
