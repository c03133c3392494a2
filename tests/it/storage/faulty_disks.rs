//! Disks that are full, that fail a sync, or whose tables are damaged.

use std::sync::Arc;

use stateful_functions::random::Random;
use stateful_functions::storage::{Rows, SyncError, open};
use stateful_functions::testing::faulty::FaultyDisk;

use super::{STATE, keys, open_on, put, small};

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
