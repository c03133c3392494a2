//! Kind: lost data looks like a new folder. With its log files removed or emptied, a folder started as if it were new, and answered `ok`.
//!
//! Right is: the folder knows that it was used and how far its log reached, and a start without the log is refused with the remedy.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use stateful_functions::storage::{
    Disk as _, Folder, LogSettings, Rows, StorageError, Store, Syncer, Table, Write, open, verify,
};
use stateful_functions::testing::faulty::FaultyDisk;

const STATE: Table = Table::new(2);

fn by_hand() -> LogSettings {
    let mut settings = LogSettings::default();
    settings.overlay_bytes = 1_000;
    settings.segment_bytes = 4_000;
    settings.reserve_bytes = 0;
    settings.background = false;
    settings
}

fn put(store: &Store, syncer: &mut Syncer, keys: std::ops::Range<u32>) {
    for key in keys {
        store.stage(vec![Write::put(STATE, key.to_string(), vec![7; 300])]);
        syncer.sync().unwrap();
    }
}

/// A used folder, stopped well.
fn used(path: &Path) {
    let (store, mut syncer) = open(Arc::new(Folder::new(path)), by_hand()).unwrap();
    put(&store, &mut syncer, 0..20);
}

fn logs(path: &Path) -> Vec<std::path::PathBuf> {
    let mut logs: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("log-")
        })
        .collect();
    logs.sort();
    logs
}

fn refusal(path: &Path) -> String {
    let err = open(Arc::new(Folder::new(path)), by_hand()).unwrap_err();
    let text = err.to_string();
    assert!(matches!(err, StorageError::Lost { .. }), "{text}");
    assert!(
        text.contains("was used before") && text.contains("restore a backup"),
        "{text}"
    );
    text
}

#[test]
fn a_start_without_log_files_is_refused_and_goes_on_when_they_are_back() {
    let temp = tempfile::tempdir().unwrap();
    used(temp.path());
    let away = tempfile::tempdir().unwrap();
    for log in logs(temp.path()) {
        fs::rename(&log, away.path().join(log.file_name().unwrap())).unwrap();
    }
    assert!(refusal(temp.path()).contains("is gone"));
    assert!(logs(temp.path()).is_empty(), "the refusal begins nothing");
    for log in logs(away.path()) {
        fs::rename(&log, temp.path().join(log.file_name().unwrap())).unwrap();
    }
    let (store, _syncer) = open(Arc::new(Folder::new(temp.path())), by_hand()).unwrap();
    assert!(store.get(STATE, b"19").unwrap().is_some());
}

#[test]
fn emptied_log_files_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    used(temp.path());
    for log in logs(temp.path()) {
        fs::write(log, "").unwrap();
    }
    assert!(refusal(temp.path()).contains("has lost its content"));
}

#[test]
fn the_loss_of_the_last_log_file_alone_is_noticed() {
    let temp = tempfile::tempdir().unwrap();
    used(temp.path());
    let last = logs(temp.path()).pop().unwrap();
    let name = last.file_name().unwrap().to_str().unwrap().to_owned();
    fs::remove_file(last).unwrap();
    assert!(refusal(temp.path()).contains(&name));
}

#[test]
fn a_log_that_was_cut_after_a_stop_is_noticed() {
    let temp = tempfile::tempdir().unwrap();
    used(temp.path());
    let last = logs(temp.path()).pop().unwrap();
    let bytes = fs::read(&last).unwrap();
    fs::write(last, &bytes[..32]).unwrap();
    assert!(refusal(temp.path()).contains("its log ends at position"));
}

/// What was confirmed since the last log file was begun could be cut off after a kill, and neither start nor `state verify` knew.
#[test]
fn a_log_that_was_cut_after_a_kill_is_noticed() {
    let running = FaultyDisk::default();
    let (store, mut syncer) = open(Arc::new(running.clone()), by_hand()).unwrap();
    put(&store, &mut syncer, 0..5);
    let bytes = running.contents("log-0000000001").unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64;
    // In its last round, between two rounds, and all of it.
    for left in [end - 10, end + 1 - end / 5, 32] {
        let killed = running.kill();
        killed
            .open("log-0000000001")
            .unwrap()
            .set_len(left)
            .unwrap();
        let cut = killed.contents("log-0000000001");
        for err in [
            open(Arc::new(killed.clone()), by_hand()).unwrap_err(),
            verify(Arc::new(killed.clone())).unwrap_err(),
        ] {
            let text = err.to_string();
            assert!(
                text.contains("had come to 5: log-0000000001 was cut or overwritten"),
                "{text}"
            );
            assert!(text.contains("remove the file `folder`"), "{text}");
        }
        assert_eq!(
            killed.contents("log-0000000001"),
            cut,
            "the refusal changes nothing"
        );
        killed.remove("folder").unwrap();
        open(Arc::new(killed), by_hand()).unwrap();
    }
    open(Arc::new(running.kill()), by_hand()).unwrap();
}

#[test]
fn a_round_that_was_not_finished_is_reported_by_verify() {
    let running = FaultyDisk::default();
    let (store, mut syncer) = open(Arc::new(running.clone()), by_hand()).unwrap();
    put(&store, &mut syncer, 0..2);
    let killed = running.kill();
    let whole = verify(Arc::new(killed.kill())).unwrap();
    assert_eq!(whole.unfinished, None);
    let bytes = killed.contents("log-0000000001").unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64;
    let log = killed.open("log-0000000001").unwrap();
    log.write_at(end + 1, b"rnd\n\x01\x02\x03").unwrap();
    let unfinished = verify(Arc::new(killed)).unwrap().unfinished.unwrap();
    assert!(
        unfinished.contains("log-0000000001 was not finished and does not count"),
        "{unfinished}"
    );
}

#[test]
fn tables_without_their_log_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let (store, mut syncer) = open(Arc::new(Folder::new(temp.path())), by_hand()).unwrap();
    put(&store, &mut syncer, 0..20);
    assert!(store.checkpoint().unwrap());
    drop((store, syncer));
    for log in logs(temp.path()) {
        fs::remove_file(log).unwrap();
    }
    fs::remove_file(temp.path().join("folder")).unwrap();
    assert!(refusal(temp.path()).contains("the log files of its start number 1 are gone"));
}

/// A start without `tables.redb` said that a record of the log was missing.
#[test]
fn removed_tables_are_named_with_the_remedy() {
    for goes_on in [true, false] {
        let temp = tempfile::tempdir().unwrap();
        let (store, mut syncer) = open(Arc::new(Folder::new(temp.path())), by_hand()).unwrap();
        // Until the tables have all rows of the first log files, which are removed.
        for begin in [0, 20, 40] {
            put(&store, &mut syncer, begin..begin + 20);
            while store.checkpoint().unwrap() {}
        }
        if goes_on {
            put(&store, &mut syncer, 60..62);
        }
        drop((store, syncer));
        assert!(!temp.path().join("log-0000000001").exists());
        if !goes_on {
            // The next start removes the log files that the tables have made unnecessary.
            drop(open(Arc::new(Folder::new(temp.path())), by_hand()).unwrap());
        }
        let tables = temp.path().join("tables.redb");
        let aside = temp.path().join("aside");
        fs::rename(&tables, &aside).unwrap();
        let text = refusal(temp.path());
        assert!(text.contains("its file tables.redb is gone"), "{text}");
        fs::rename(&aside, &tables).unwrap();
        let (store, _syncer) = open(Arc::new(Folder::new(temp.path())), by_hand()).unwrap();
        assert!(store.get(STATE, b"0").unwrap().is_some());
    }
}

#[test]
fn a_folder_of_an_earlier_version_without_its_log_is_refused_too() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("lock"), "").unwrap();
    assert!(refusal(temp.path()).contains("its log files are gone"));
}

#[test]
fn a_start_that_was_killed_before_its_first_log_file_was_there_is_made_again() {
    let temp = tempfile::tempdir().unwrap();
    let folder = Folder::new(temp.path().join("data"));
    drop(folder.lock().unwrap().unwrap());
    let (store, _syncer) = open(Arc::new(folder), by_hand()).unwrap();
    assert_eq!(store.boot(), 1);
}

#[test]
fn a_later_format_is_refused_with_both_versions() {
    let disk = FaultyDisk::default();
    drop(open(Arc::new(disk.clone()), by_hand()).unwrap());
    let file = disk.open("folder").unwrap();
    let len = disk.contents("folder").unwrap().len();
    for slot in (0..len).step_by(512) {
        let mut bytes = disk.contents("folder").unwrap()[slot..slot + 48].to_vec();
        bytes[12] = 9;
        let crc = crc32(&bytes[12..]).to_le_bytes();
        bytes[8..12].copy_from_slice(&crc);
        file.write_at(slot as u64, &bytes).unwrap();
    }
    let err = open(Arc::new(disk), by_hand()).unwrap_err().to_string();
    assert!(
        err.contains("folder has format 9, this version reads 2; use the version that wrote it"),
        "{err}"
    );
}

/// CRC-32 as the format has it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (!(crc & 1)).wrapping_add(1))
        })
    })
}
