//! Storage under power cuts, full disks and failing syncs: random schedules on a disk in memory, and real folders.
//!
//! A schedule is a seed. After each start the rows must be those of a position that is the end of a round, and not
//! before the last one that a sync has confirmed. `STATEFUN_SEED` replays one, `STATEFUN_SEEDS` sets how many are run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use stateful_functions::random::Random;
use stateful_functions::storage::{
    Disk, Folder, LogSettings, Position, Rows, StorageError, Store, SyncError, Syncer, Table,
    Write, open,
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

/// The fault until the next start, besides the loss of everything not synced.
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
        settings.reserve_bytes = random.below(2) * random.below(20_000);
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

    /// Whether the store continues.
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
        None => 0..number("STATEFUN_SEEDS").unwrap_or(500),
    };
    for seed in seeds {
        let played = std::panic::catch_unwind(|| Schedule::new(seed).play());
        assert!(
            played.is_ok(),
            "seed {seed} failed; STATEFUN_SEED={seed} replays it"
        );
    }
}

/// Bounds that a few rows reach; checkpoints by hand.
fn small() -> LogSettings {
    let mut settings = LogSettings::default();
    settings.overlay_bytes = 1_000;
    settings.reserve_bytes = 0;
    settings.background = false;
    settings
}

fn open_on(disk: &FaultyDisk, settings: LogSettings) -> (Store, Syncer) {
    open(Arc::new(disk.clone()), settings).unwrap()
}

fn put(store: &Store, key: &str, bytes: usize) -> Position {
    store.stage(vec![Write::put(STATE, key.to_owned(), vec![b'v'; bytes])])
}

fn keys(store: &Store) -> Vec<String> {
    let rows = store.scan(STATE, b"", None, usize::MAX).unwrap();
    rows.into_iter()
        .map(|(key, _)| String::from_utf8(key.to_vec()).unwrap())
        .collect()
}

#[test]
fn a_full_disk_keeps_the_round_and_continues_when_there_is_space() {
    let disk = FaultyDisk::default();
    let mut settings = small();
    settings.segment_bytes = 200;
    let (store, mut syncer) = open_on(&disk, settings.clone());
    put(&store, "a", 10);
    let confirmed = syncer.sync().unwrap();
    let log_before = disk.contents("log-0000000001").unwrap();

    disk.set_room(Some(100));
    put(&store, "b", 300);
    for _ in 0..3 {
        assert!(matches!(syncer.sync(), Err(SyncError::Full(_))));
    }
    put(&store, "c", 10);
    assert!(store.health().disk_full && store.pressure() && store.health().closed.is_none());
    assert_eq!(store.durable(), confirmed);
    assert_eq!(
        keys(&store),
        ["a", "b", "c"],
        "staged rows are readable meanwhile"
    );
    assert_eq!(
        disk.contents("log-0000000001").unwrap(),
        log_before,
        "nothing torn stays behind"
    );

    disk.set_room(None);
    let last = syncer.sync().unwrap();
    assert!(last.as_u64() == 3 && !store.health().disk_full && !store.pressure());
    drop((store, syncer));
    let disk = disk.lose_power(&mut Random::seeded(1));
    assert_eq!(keys(&open_on(&disk, settings).0), ["a", "b", "c"]);
}

#[test]
fn a_torn_record_on_a_full_disk_is_cut_off() {
    let disk = FaultyDisk::default();
    let (store, mut syncer) = open_on(&disk, small());
    let header = disk.contents("log-0000000001").unwrap();
    disk.set_room(Some(70));
    put(&store, "a", 300);
    assert!(matches!(syncer.sync(), Err(SyncError::Full(_))));
    assert_eq!(disk.contents("log-0000000001").unwrap(), header);
}

#[test]
fn after_a_failed_sync_nothing_is_confirmed_until_a_restart_and_the_restart_finds_a_prefix() {
    let disk = FaultyDisk::default();
    let (store, mut syncer) = open_on(&disk, small());
    put(&store, "a", 10);
    let confirmed = syncer.sync().unwrap();
    put(&store, "b", 10);
    disk.fail_syncs(1);
    assert!(matches!(syncer.sync(), Err(SyncError::Closed { .. })));
    let changes = disk.changes();
    for _ in 0..3 {
        put(&store, "c", 10);
        let err = syncer.sync().unwrap_err();
        assert!(
            err.to_string().contains("cannot sync log-0000000001"),
            "{err}"
        );
        assert!(store.checkpoint().is_err());
    }
    assert_eq!(disk.changes(), changes, "nothing more is written");
    assert_eq!(store.durable(), confirmed);
    assert!(store.health().closed.is_some() && store.pressure());

    // The process is restarted: the file system still shows the round, which was never acknowledged and may count.
    // Then it must be durable, too: the failed sync has left it in memory only.
    let restarted = disk.kill();
    let (after, _syncer) = open_on(&restarted, small());
    assert_eq!(keys(&after), ["a", "b"]);
    let restarted = restarted.lose_power(&mut Random::seeded(1));
    drop(after);
    assert_eq!(keys(&open_on(&restarted, small()).0), ["a", "b"]);

    // The machine is restarted: it is gone.
    let disk = disk.lose_power(&mut Random::seeded(1));
    assert_eq!(keys(&open_on(&disk, small()).0), ["a"]);
}

#[test]
fn a_failed_sync_of_the_tables_closes_the_store_too() {
    let disk = FaultyDisk::default();
    let (store, mut syncer) = open_on(&disk, small());
    put(&store, "a", 2_000);
    syncer.sync().unwrap();
    disk.fail_syncs(1);
    assert!(store.checkpoint().is_err());
    assert!(store.health().closed.is_some());
    assert!(matches!(syncer.sync(), Err(SyncError::Closed { .. })));
    drop((store, syncer));
    let disk = disk.lose_power(&mut Random::seeded(1));
    assert_eq!(keys(&open_on(&disk, small()).0), ["a"]);
}

#[test]
fn a_checkpoint_without_space_is_retried_and_rows_stay_readable() {
    let disk = FaultyDisk::default();
    let (store, mut syncer) = open_on(&disk, small());
    put(&store, "in tables", 2_000);
    syncer.sync().unwrap();
    assert!(store.checkpoint().unwrap());
    put(&store, "frozen", 3_000_000);
    syncer.sync().unwrap();
    put(&store, "current", 2_000);

    disk.set_room(Some(10_000));
    for _ in 0..3 {
        assert!(store.checkpoint().is_err());
        let health = store.health();
        assert!(health.checkpoint_failure.is_some() && health.closed.is_none() && health.pressure);
        assert_eq!(keys(&store), ["current", "frozen", "in tables"]);
        assert!(store.get(STATE, b"in tables").unwrap().is_some());
    }
    disk.set_room(None);
    assert!(store.checkpoint().unwrap());
    let health = store.health();
    assert!(health.checkpoint_failure.is_none() && !health.pressure && health.checkpoints == 2);
    assert_eq!(keys(&store), ["current", "frozen", "in tables"]);
}

#[test]
fn a_checkpoint_waits_until_its_rows_are_in_the_log() {
    let disk = FaultyDisk::default();
    let (store, mut syncer) = open_on(&disk, small());
    disk.set_room(Some(0));
    put(&store, "a", 2_000);
    assert!(syncer.sync().is_err());
    disk.set_room(None);
    assert!(!store.checkpoint().unwrap(), "its round is not durable");
    syncer.sync().unwrap();
    assert!(store.checkpoint().unwrap());
    assert!(!store.checkpoint().unwrap(), "nothing is left to move");
}

#[test]
fn the_log_before_a_checkpoint_is_deleted() {
    let disk = FaultyDisk::default();
    let mut settings = small();
    settings.segment_bytes = 500;
    let (store, mut syncer) = open_on(&disk, settings.clone());
    for n in 0..20 {
        put(&store, &format!("{n:02}"), 200);
        syncer.sync().unwrap();
    }
    while store.checkpoint().unwrap() {
        put(&store, "last", 1);
        syncer.sync().unwrap();
    }
    let names = disk.list().unwrap();
    assert!(
        names.iter().filter(|name| name.starts_with("log-")).count() <= 8,
        "{names:?}"
    );
    assert!(store.health().log_bytes < 5_000);
    let before = keys(&store);
    assert_eq!(before.len(), 21);
    drop((store, syncer));
    assert_eq!(keys(&open_on(&disk, settings).0), before);
}

#[test]
fn a_few_hot_rows_are_checkpointed_for_the_length_of_their_log() {
    let disk = FaultyDisk::default();
    let mut settings = small();
    settings.overlay_bytes = 1 << 20;
    settings.log_bytes = 10_000;
    let (store, mut syncer) = open_on(&disk, settings);
    for _ in 0..60 {
        put(&store, "hot", 200);
        syncer.sync().unwrap();
    }
    assert!(store.checkpoint().unwrap());
    assert!(store.health().log_bytes < 10_000);
}

#[test]
fn messages_that_come_and_go_cost_the_overlay_nothing() {
    let disk = FaultyDisk::default();
    let (store, mut syncer) = open_on(&disk, LogSettings::default());
    for n in 0..10_000_u64 {
        let key = n.to_be_bytes().to_vec();
        store.stage(vec![Write::put(MESSAGES, key.clone(), vec![0; 150])]);
        store.stage(vec![Write::delete(MESSAGES, key)]);
    }
    syncer.sync().unwrap();
    assert_eq!(store.health().overlay_bytes, 0);
}

#[test]
fn pressure_comes_with_two_full_overlays_and_goes_with_the_checkpoint() {
    let disk = FaultyDisk::default();
    let (store, mut syncer) = open_on(&disk, small());
    put(&store, "a", 2_000);
    syncer.sync().unwrap();
    assert!(!store.pressure(), "one is on its way to the tables");
    put(&store, "b", 2_000);
    assert!(store.pressure());
    assert!(store.checkpoint().unwrap());
    assert!(!store.pressure());
}

#[test]
fn pressure_comes_with_many_unsynced_bytes() {
    let disk = FaultyDisk::default();
    let mut settings = LogSettings::default();
    settings.unsynced_bytes = 1_000;
    let (store, mut syncer) = open_on(&disk, settings);
    put(&store, "a", 900);
    assert!(!store.pressure());
    put(&store, "a", 900);
    assert!(store.pressure());
    syncer.sync().unwrap();
    assert!(!store.pressure());
}

#[test]
fn a_second_store_on_the_folder_is_refused_with_its_name() {
    let temp = tempfile::tempdir().unwrap();
    let open = || open(Arc::new(Folder::new(temp.path())), LogSettings::default());
    let first = open().unwrap();
    let err = open().unwrap_err();
    assert!(matches!(err, StorageError::Locked { .. }));
    assert!(
        err.to_string().contains(temp.path().to_str().unwrap()),
        "{err}"
    );
    drop(first);
    open().unwrap();
}

#[test]
fn threads_stage_and_read_while_rounds_and_checkpoints_are_written() {
    let temp = tempfile::tempdir().unwrap();
    let mut settings = LogSettings::default();
    settings.overlay_bytes = 50_000;
    settings.segment_bytes = 100_000;
    let folder = || Arc::new(Folder::new(temp.path()));
    let (store, mut syncer) = open(folder(), settings.clone()).unwrap();
    let committer = thread::spawn(move || {
        while syncer.wait() {
            syncer.sync().unwrap();
        }
    });
    let writers = (0..3_u8).map(|writer| {
        let store = store.clone();
        thread::spawn(move || {
            for n in 0_u64.. {
                if n >= 600 && store.health().checkpoints >= 3 {
                    break;
                }
                let key = [&[writer], (n % 300).to_be_bytes().as_slice()].concat();
                store.stage(vec![Write::put(
                    STATE,
                    key.clone(),
                    n.to_be_bytes().repeat(20),
                )]);
                let read = store.get(STATE, &key).unwrap().unwrap();
                assert_eq!(read[..8], n.to_be_bytes(), "a thread reads what it wrote");
                if n % 200 == 0 {
                    let rows = store
                        .scan(STATE, &[writer], Some(&[writer + 1]), 1_000)
                        .unwrap();
                    assert_eq!(rows.len() as u64, (n + 1).min(300));
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.join().unwrap();
    }
    store.stop();
    committer.join().unwrap();
    let rows = store.scan(STATE, b"", None, usize::MAX).unwrap();
    assert_eq!(rows.len(), 900);
    drop(store);
    let (store, _syncer) = open(folder(), settings).unwrap();
    assert!(store.scan(STATE, b"", None, usize::MAX).unwrap() == rows);
}

#[test]
fn damaged_tables_are_an_error_and_never_a_panic() {
    let disk = FaultyDisk::default();
    let (store, mut syncer) = open_on(&disk, small());
    for n in 0..200 {
        put(&store, &format!("{n:04}"), 200);
    }
    syncer.sync().unwrap();
    store.checkpoint().unwrap();
    drop((store, syncer));
    let mut random = Random::seeded(3);
    let mut errors = 0;
    for round in 0..300 {
        let disk = disk.kill();
        let region = if round % 2 == 0 { 400 } else { 100_000 };
        disk.flip("tables.redb", random.below(region) as usize);
        let scanned = open(Arc::new(disk.clone()), small())
            .and_then(|(store, _syncer)| store.scan(STATE, b"", None, usize::MAX));
        errors += i32::from(scanned.is_err());
    }
    assert!(errors > 50, "{errors}: the damage is elsewhere");
}
