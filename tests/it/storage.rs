//! Storage under power cuts, full disks and failing syncs: random schedules on a disk in memory, and real folders.
//!
//! A schedule is a seed. After each start the rows must be those after a position that is the end of a round, and no
//! earlier than what a sync has confirmed. `STATEFUN_SEED` replays one, `STATEFUN_SEEDS` sets how many are run.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use stateful_functions::random::Random;
use stateful_functions::storage::{
    LogSettings, Rows, StorageError, Store, SyncError, Syncer, Table, Write, open,
};
use stateful_functions::testing::faulty::FaultyDisk;

const STATE: Table = Table::new(1);
const OTHER: Table = Table::new(2);
const MESSAGES: Table = Table::with_fresh_keys(3);

type Tables = BTreeMap<Table, BTreeMap<Bytes, Bytes>>;

/// All that was ever staged on a disk, as far as it survived.
#[derive(Default)]
struct History {
    lists: Vec<Vec<Write>>,
    /// Positions that a round may end at.
    round_ends: Vec<u64>,
    confirmed: u64,
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

    fn staged(&self) -> u64 {
        self.lists.len() as u64
    }

    fn random_list(&mut self, random: &mut Random) -> Vec<Write> {
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
    fn check_start(&mut self, store: &Store) {
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
    fn check_rows(&self, store: &Store) {
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
    }
}

/// What goes wrong until the next start, beside the loss of all that is not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    PowerCut,
    FullDisk,
    FailingSync,
}

struct Schedule {
    random: Random,
    settings: LogSettings,
    disk: FaultyDisk,
    history: History,
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let mut random = Random::seeded(seed);
        let mut settings = LogSettings::default();
        settings.overlay_bytes = 200 + random.below(6_000) as usize;
        settings.log_bytes = 200 + random.below(10_000);
        settings.segment_bytes = 100 + random.below(6_000);
        settings.cache_bytes = 64 << 10;
        settings.background = false;
        Self {
            random,
            settings,
            disk: FaultyDisk::default(),
            history: History::default(),
        }
    }

    fn play(mut self) {
        for _ in 0..4 {
            let (store, mut syncer) = self.start();
            let fault = match self.random.below(4) {
                0 => Fault::None,
                1 => Fault::FullDisk,
                2 => Fault::FailingSync,
                _ => Fault::PowerCut,
            };
            self.run(&store, &mut syncer, fault);
            let crashed = if self.random.chance(25) {
                self.disk.kill()
            } else {
                self.disk.lose_power(&mut self.random)
            };
            drop((store, syncer));
            self.disk = crashed;
        }
        let (store, mut syncer) = self.start();
        self.stage(&store);
        syncer.sync().unwrap();
        store.checkpoint().unwrap();
        self.history.check_rows(&store);
    }

    fn open(&self) -> Result<(Store, Syncer), StorageError> {
        open(Arc::new(self.disk.clone()), self.settings.clone())
    }

    /// Opens the disk; the power may go meanwhile.
    fn start(&mut self) -> (Store, Syncer) {
        if self.random.chance(20) {
            self.disk.cut_power_after(self.random.below(12));
            if let Ok((store, _syncer)) = self.open() {
                self.history.check_start(&store);
            }
            self.disk = self.disk.lose_power(&mut self.random);
        }
        let (store, syncer) = self.open().unwrap();
        self.history.check_start(&store);
        (store, syncer)
    }

    /// Does random things until the store closes, or for some time.
    fn run(&mut self, store: &Store, syncer: &mut Syncer, fault: Fault) {
        if fault == Fault::PowerCut {
            self.disk.cut_power_after(self.random.below(200));
        }
        for _ in 0..self.random.below(80) {
            match self.random.below(12) {
                0..=5 => self.stage(store),
                6 | 7 => {
                    if !self.sync(store, syncer, fault) {
                        return;
                    }
                }
                8 => self.checkpoint(store, fault),
                9 if fault == Fault::FullDisk => {
                    let room = self.random.below(20_000);
                    self.disk.set_room(self.random.chance(70).then_some(room));
                }
                10 if fault == Fault::FailingSync => self.disk.fail_syncs(1),
                // A disk without power cannot be read either.
                _ if fault == Fault::PowerCut && store.health().checkpoint_failure.is_some() => {}
                _ if store.health().closed.is_some() => {}
                _ => self.history.check_rows(store),
            }
        }
        if fault == Fault::FullDisk {
            self.disk.set_room(None);
            assert!(self.sync(store, syncer, fault));
            while store.checkpoint().unwrap() {}
            let health = store.health();
            assert!(
                !health.disk_full && health.checkpoint_failure.is_none(),
                "{health:?}"
            );
        }
    }

    fn stage(&mut self, store: &Store) {
        let list = self.history.random_list(&mut self.random);
        self.history.lists.push(list.clone());
        let position = store.stage(list);
        assert_eq!(position.as_u64(), self.history.staged());
    }

    /// Whether the store goes on.
    fn sync(&mut self, store: &Store, syncer: &mut Syncer, fault: Fault) -> bool {
        self.history.round_ends.push(self.history.staged());
        match syncer.sync() {
            Ok(position) => {
                assert_eq!(position.as_u64(), self.history.staged());
                assert!(!store.health().disk_full);
                self.history.confirmed = position.as_u64();
                true
            }
            Err(SyncError::Full(_)) => {
                assert_eq!(fault, Fault::FullDisk);
                assert!(store.health().disk_full && store.pressure());
                true
            }
            Err(_) => {
                assert!(
                    matches!(fault, Fault::PowerCut | Fault::FailingSync),
                    "{fault:?}"
                );
                assert!(store.health().closed.is_some() && store.pressure());
                assert!(
                    matches!(syncer.sync(), Err(SyncError::Closed { .. })),
                    "closed for ever"
                );
                false
            }
        }
    }

    fn checkpoint(&mut self, store: &Store, fault: Fault) {
        match store.checkpoint() {
            Ok(_) => assert_eq!(store.health().checkpoint_failure, None),
            Err(err) => {
                assert_ne!(fault, Fault::None, "{err}");
                let health = store.health();
                assert!(health.closed.is_some() || health.checkpoint_failure.is_some());
            }
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn every_crash_leaves_a_prefix_of_whole_rounds_with_all_that_was_confirmed() {
    let seeds = match number("STATEFUN_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("STATEFUN_SEEDS").unwrap_or(1_000),
    };
    for seed in seeds {
        let played = std::panic::catch_unwind(|| Schedule::new(seed).play());
        assert!(
            played.is_ok(),
            "seed {seed} failed; STATEFUN_SEED={seed} replays it"
        );
    }
}
