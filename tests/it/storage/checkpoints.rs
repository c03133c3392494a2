//! When rows move to the tables, and when writers have to slow down.

use stateful_functions::storage::{Disk, LogSettings, Write};
use stateful_functions::testing::faulty::FaultyDisk;

use super::{MESSAGES, keys, open_on, put, small};

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
