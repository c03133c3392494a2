//! The suite for stores, whatever they write to.
#![expect(clippy::unwrap_used, reason = "a suite of tests: a failure is a panic")]

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use crate::random::Random;
use crate::storage::{Position, Rows, Store, Syncer, Table, Write};

const STATE: Table = Table::new(1);
const OTHER: Table = Table::new(2);
const MESSAGES: Table = Table::with_fresh_keys(3);

/// Runs the whole suite.
///
/// `fresh` makes an empty place for rows, and `open` opens it. `open` is called repeatedly, each time after all earlier handles
/// were dropped, and must then find what was synced.
///
/// # Panics
///
/// If the store breaks a guarantee; the message says which.
pub fn run<P>(fresh: impl Fn() -> P, open: impl Fn(&P) -> (Store, Syncer)) {
    staged_rows_are_readable_before_they_are_durable(open(&fresh()));
    the_last_write_of_a_row_counts(open(&fresh()));
    tables_do_not_share_keys(open(&fresh()));
    empty_keys_and_values_are_rows(open(&fresh()));
    large_values_are_kept(&fresh(), &open);
    scans_are_ordered_bounded_and_limited(open(&fresh()));
    positions_are_dense(open(&fresh()));
    a_sync_covers_all_that_is_staged(open(&fresh()));
    waiting_ends_with_work_or_with_the_stop(open(&fresh()));
    what_is_synced_outlives_a_reopening(&fresh(), &open);
    each_opening_has_a_boot_number_of_its_own(&fresh(), &open);
    for seed in 0..20 {
        answers_as_a_sorted_map_does(&fresh(), &open, seed);
    }
}

fn keys(rows: &[(Bytes, Bytes)]) -> Vec<&[u8]> {
    rows.iter().map(|(key, _)| key.as_ref()).collect()
}

fn all(store: &Store, table: Table) -> Vec<(Bytes, Bytes)> {
    store.scan(table, b"", None, usize::MAX).unwrap()
}

fn staged_rows_are_readable_before_they_are_durable((store, _syncer): (Store, Syncer)) {
    let staged = store.stage(vec![Write::put(STATE, "a", "1")]);
    assert_eq!(store.get(STATE, b"a").unwrap().unwrap(), "1");
    assert_eq!(keys(&all(&store, STATE)), [b"a"]);
    assert!(store.durable() < staged, "nothing was synced");
    assert_eq!(store.get(STATE, b"b").unwrap(), None);
}

fn the_last_write_of_a_row_counts((store, _syncer): (Store, Syncer)) {
    store.stage(vec![
        Write::put(STATE, "a", "1"),
        Write::delete(STATE, "a"),
        Write::put(STATE, "a", "2"),
        Write::delete(STATE, "never there"),
    ]);
    assert_eq!(store.get(STATE, b"a").unwrap().unwrap(), "2");
    store.stage(vec![Write::put(STATE, "a", "3")]);
    assert_eq!(store.get(STATE, b"a").unwrap().unwrap(), "3");
    store.stage(vec![Write::delete(STATE, "a")]);
    assert_eq!(store.get(STATE, b"a").unwrap(), None);
    assert!(all(&store, STATE).is_empty());
}

fn tables_do_not_share_keys((store, _syncer): (Store, Syncer)) {
    store.stage(vec![
        Write::put(STATE, "a", "1"),
        Write::put(OTHER, "a", "2"),
        Write::put(MESSAGES, "a", "3"),
    ]);
    store.stage(vec![Write::delete(OTHER, "a")]);
    assert_eq!(store.get(STATE, b"a").unwrap().unwrap(), "1");
    assert_eq!(store.get(OTHER, b"a").unwrap(), None);
    assert_eq!(store.get(MESSAGES, b"a").unwrap().unwrap(), "3");
    assert_eq!(all(&store, MESSAGES).len(), 1);
}

fn empty_keys_and_values_are_rows((store, _syncer): (Store, Syncer)) {
    store.stage(vec![Write::put(STATE, "", "")]);
    assert_eq!(store.get(STATE, b"").unwrap().unwrap(), "");
    assert_eq!(all(&store, STATE).len(), 1);
}

fn large_values_are_kept<P>(place: &P, open: &impl Fn(&P) -> (Store, Syncer)) {
    let value = Bytes::from(vec![7; 3 << 20]);
    let (store, mut syncer) = open(place);
    store.stage(vec![Write::put(STATE, "large", value.clone())]);
    syncer.sync().unwrap();
    drop((store, syncer));
    let (store, _syncer) = open(place);
    assert!(store.get(STATE, b"large").unwrap().unwrap() == value);
}

fn scans_are_ordered_bounded_and_limited((store, _syncer): (Store, Syncer)) {
    for key in ["b", "", "a\0", "c", "ab", "a", "\u{ff}"] {
        store.stage(vec![Write::put(STATE, key, key)]);
    }
    let all_keys: [&[u8]; 7] = [b"", b"a", b"a\0", b"ab", b"b", b"c", "\u{ff}".as_bytes()];
    assert_eq!(keys(&all(&store, STATE)), all_keys);
    let scan = |from: &[u8], to: Option<&[u8]>, limit| store.scan(STATE, from, to, limit).unwrap();
    assert_eq!(keys(&scan(b"a", Some(b"b"), 9)), all_keys[1..4]);
    assert_eq!(keys(&scan(b"a\0\0", None, 2)), all_keys[3..5]);
    assert!(scan(b"a", None, 0).is_empty());
    assert!(scan(b"b", Some(b"b"), 9).is_empty());
    assert!(scan(b"c", Some(b"b"), 9).is_empty());
    assert!(store.scan(OTHER, b"", None, 9).unwrap().is_empty());
}

fn positions_are_dense((store, mut syncer): (Store, Syncer)) {
    assert_eq!(store.durable(), Position::START);
    for n in 1..=5 {
        let writes = (0..n % 3).map(|_| Write::put(STATE, "a", "1")).collect();
        assert_eq!(
            store.stage(writes).as_u64(),
            n,
            "also a list without writes counts"
        );
    }
    assert_eq!(syncer.sync().unwrap().as_u64(), 5);
    assert_eq!(store.stage(Vec::new()).as_u64(), 6);
}

fn a_sync_covers_all_that_is_staged((store, mut syncer): (Store, Syncer)) {
    assert_eq!(syncer.sync().unwrap(), Position::START, "nothing to do");
    store.stage(vec![Write::put(STATE, "a", "1")]);
    let last = store.stage(vec![Write::put(STATE, "b", "1")]);
    assert_eq!(syncer.sync().unwrap(), last);
    assert_eq!(store.durable(), last);
    assert_eq!(syncer.sync().unwrap(), last);
}

fn waiting_ends_with_work_or_with_the_stop((store, mut syncer): (Store, Syncer)) {
    let (synced, rounds) = mpsc::channel();
    let committer = thread::spawn(move || {
        while syncer.wait() {
            synced.send(syncer.sync().unwrap()).unwrap();
        }
        assert!(syncer.pause(Duration::from_secs(3600)), "stopped: no pause");
    });
    let first = store.stage(vec![Write::put(STATE, "a", "1")]);
    assert_eq!(rounds.recv().unwrap(), first);
    let second = store.stage(vec![Write::put(STATE, "a", "2")]);
    assert_eq!(rounds.recv().unwrap(), second);
    let third = store.stage(vec![Write::put(STATE, "a", "3")]);
    store.stop();
    committer.join().unwrap();
    assert_eq!(store.durable(), third, "the stop leaves nothing unsynced");
}

fn what_is_synced_outlives_a_reopening<P>(place: &P, open: &impl Fn(&P) -> (Store, Syncer)) {
    let (store, mut syncer) = open(place);
    store.stage(vec![
        Write::put(STATE, "kept", "1"),
        Write::put(MESSAGES, "m1", "1"),
    ]);
    store.stage(vec![Write::put(STATE, "gone", "1")]);
    syncer.sync().unwrap();
    store.stage(vec![
        Write::delete(STATE, "gone"),
        Write::delete(MESSAGES, "m1"),
    ]);
    let synced = syncer.sync().unwrap();
    store.stage(vec![
        Write::put(STATE, "unsynced", "1"),
        Write::delete(STATE, "kept"),
    ]);
    drop((store, syncer));

    let (store, _syncer) = open(place);
    assert_eq!(keys(&all(&store, STATE)), [b"kept"]);
    assert!(all(&store, MESSAGES).is_empty());
    assert_eq!(store.durable(), synced);
    assert_eq!(
        store.stage(Vec::new()),
        synced.next(),
        "positions go on where they were"
    );
}

fn each_opening_has_a_boot_number_of_its_own<P>(place: &P, open: &impl Fn(&P) -> (Store, Syncer)) {
    let mut last = 0;
    for _ in 0..5 {
        let (store, mut syncer) = open(place);
        assert!(store.boot() > last, "{} after {last}", store.boot());
        last = store.boot();
        store.stage(vec![Write::put(STATE, "a", "1")]);
        syncer.sync().unwrap();
    }
}

/// A random script of lists, syncs, checkpoints and reopenings, compared with a sorted map after each step.
fn answers_as_a_sorted_map_does<P>(place: &P, open: &impl Fn(&P) -> (Store, Syncer), seed: u64) {
    let mut random = Random::seeded(seed);
    let (mut store, mut syncer) = open(place);
    let mut staged = Model::default();
    let mut synced = Model::default();
    for step in 0..60 {
        match random.below(10) {
            0..=5 => {
                store.stage(staged.random_list(&mut random));
            }
            6 | 7 => {
                syncer.sync().unwrap();
                synced.rows.clone_from(&staged.rows);
            }
            8 => {
                store.checkpoint().unwrap();
            }
            _ => {
                drop((store, syncer));
                (store, syncer) = open(place);
                staged.rows.clone_from(&synced.rows);
            }
        }
        staged.compare(&store, &mut random, &format!("seed {seed}, step {step}"));
    }
}

#[derive(Default)]
struct Model {
    rows: BTreeMap<Table, BTreeMap<Bytes, Bytes>>,
    /// All fresh keys ever used.
    messages: u64,
}

impl Model {
    fn random_list(&mut self, random: &mut Random) -> Vec<Write> {
        let writes: Vec<Write> = (0..random.below(6))
            .map(|_| self.random_write(random))
            .collect();
        for write in &writes {
            let rows = self.rows.entry(write.table).or_default();
            match &write.value {
                Some(value) => rows.insert(write.key.clone(), value.clone()),
                None => rows.remove(&write.key),
            };
        }
        writes
    }

    fn random_write(&mut self, random: &mut Random) -> Write {
        let value = vec![b'v'; usize::try_from(random.below(200)).unwrap()];
        match random.below(6) {
            0 | 1 => {
                self.messages += 1;
                Write::put(MESSAGES, self.messages.to_be_bytes().to_vec(), value)
            }
            2 => Write::delete(
                MESSAGES,
                random.below(self.messages + 1).to_be_bytes().to_vec(),
            ),
            3 => Write::delete(STATE, random_key(random)),
            4 => Write::put(OTHER, random_key(random), value),
            _ => Write::put(STATE, random_key(random), value),
        }
    }

    fn compare(&self, store: &Store, random: &mut Random, place: &str) {
        let none = BTreeMap::new();
        for table in [STATE, OTHER, MESSAGES] {
            let rows = self.rows.get(&table).unwrap_or(&none);
            let expected: Vec<_> = rows.clone().into_iter().collect();
            assert_eq!(all(store, table), expected, "{place}: all of {table:?}");

            let key = random_key(random);
            let found = store.get(table, &key).unwrap();
            assert_eq!(
                found.as_ref(),
                rows.get(key.as_slice()),
                "{place}: {table:?} {key:?}"
            );

            let limit = usize::try_from(random.below(8)).unwrap();
            let mut expected = expected;
            expected.retain(|(at, _)| *at >= key);
            expected.truncate(limit);
            let found = store.scan(table, &key, None, limit).unwrap();
            assert_eq!(
                found, expected,
                "{place}: {limit} of {table:?} from {key:?}"
            );
        }
    }
}

fn random_key(random: &mut Random) -> Vec<u8> {
    format!("{}", random.below(30)).into_bytes()
}
