//! Storage under power cuts, full disks and failing syncs: random schedules on a disk in memory, and real folders.

mod checkpoints;
mod faulty_disks;
mod history;
mod schedules;

use std::sync::Arc;
use std::thread;

use stateful_functions::storage::{
    Folder, LogSettings, Position, Rows, StorageError, Store, Syncer, Table, Write, open,
};
use stateful_functions::testing::faulty::FaultyDisk;

const STATE: Table = Table::new(1);
const OTHER: Table = Table::new(2);
const MESSAGES: Table = Table::with_fresh_keys(3);

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
