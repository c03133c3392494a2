//! Kind: unnoticed damage. Pages of a closed folder's `tables.redb` were flipped, zeroed or exchanged: 148 of 307 such changes
//! silently gave other values, 168 of 3,500 values vanished at once, and the log's last file could disappear without a trace.
//!
//! Right is: every row that is read is what was written at its key, or an error with file, row and remedy, and a row that is not found was
//! never written; other damage is found by the scan of a start and by `statefun state verify`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use stateful_functions::random::Random;
use stateful_functions::storage::{
    Disk as _, LogSettings, Rows, StorageError, Store, Syncer, Table, Untouched, Write, open,
    verify,
};
use stateful_functions::testing::faulty::FaultyDisk;

use crate::support::seeds::for_each_seed;

const STATE: Table = Table::new(2);
const TABLES: &str = "tables.redb";
const PAGE: usize = 4096;

fn by_hand() -> LogSettings {
    let mut settings = LogSettings::default();
    settings.overlay_bytes = 1_000;
    settings.reserve_bytes = 0;
    settings.background = false;
    settings
}

fn opened(disk: &FaultyDisk) -> Result<(Store, Syncer), StorageError> {
    open(Arc::new(disk.clone()), by_hand())
}

/// A closed folder with rows in its tables, and the rows.
fn filled(rows: usize) -> (FaultyDisk, BTreeMap<Bytes, Bytes>) {
    let disk = FaultyDisk::default();
    let (store, mut syncer) = opened(&disk).unwrap();
    let mut random = Random::seeded(5);
    let mut all = BTreeMap::new();
    for number in 0..rows {
        let key = Bytes::from(format!("example/counter/{number:05} total"));
        let value = Bytes::from(vec![
            random.below(256) as u8;
            100 + random.below(200) as usize
        ]);
        store.stage(vec![Write::put(STATE, key.clone(), value.clone())]);
        all.insert(key, value);
    }
    syncer.sync().unwrap();
    assert!(store.checkpoint().unwrap());
    drop((store, syncer));
    (disk, all)
}

fn overwrite(disk: &FaultyDisk, offset: usize, bytes: &[u8]) {
    let file = disk.open(TABLES).unwrap();
    file.write_at(offset as u64, bytes).unwrap();
}

fn is_told(err: &StorageError) -> bool {
    let text = err.to_string();
    text.contains(TABLES) && text.lines().count() == 1
}

/// Whether the damage was told somewhere; a value that differs is never right.
fn is_noticed(disk: &FaultyDisk, rows: &BTreeMap<Bytes, Bytes>) -> bool {
    if let Err(err) = verify(Arc::new(disk.kill())) {
        assert!(is_told(&err), "{err}");
        return true;
    }
    let (store, _syncer) = opened(&disk.kill()).unwrap();
    for (key, value) in rows {
        assert_eq!(store.get(STATE, key).unwrap().as_ref(), Some(value));
    }
    let all = store.scan(STATE, b"", None, usize::MAX).unwrap();
    assert_eq!(all.len(), rows.len());
    false
}

/// Reads that answer give what was written; those that do not say why. A row that looks absent is silent loss.
fn a_read_is_right_or_an_error(disk: &FaultyDisk, rows: &BTreeMap<Bytes, Bytes>) {
    let (store, mut syncer) = match opened(disk) {
        Ok(opened) => opened,
        Err(err) => {
            assert!(is_told(&err), "{err}");
            return;
        }
    };
    reads_are_right_or_errors(&store, rows);
    // A checkpoint copies pages: what was noticeable before must be so afterwards, and after the next start.
    let mut rows = rows.clone();
    for key in rows.keys().cloned().collect::<Vec<_>>().iter().step_by(97) {
        let value = Bytes::from_static(&[3; 150]);
        store.stage(vec![Write::put(STATE, key.clone(), value.clone())]);
        rows.insert(key.clone(), value);
    }
    syncer.sync().unwrap();
    let written = store.checkpoint();
    if let Err(err) = &written {
        assert!(is_told(err), "{err}");
    }
    reads_are_right_or_errors(&store, &rows);
    drop((store, syncer));
    match opened(disk) {
        Ok((store, _syncer)) => reads_are_right_or_errors(&store, &rows),
        Err(err) => assert!(is_told(&err), "{err}"),
    }
}

fn reads_are_right_or_errors(store: &Store, rows: &BTreeMap<Bytes, Bytes>) {
    for (key, value) in rows.iter().step_by(7) {
        match store.get(STATE, key) {
            Ok(found) => assert_eq!(found.as_ref(), Some(value), "{key:?} looks absent"),
            Err(err) => assert!(is_told(&err), "{err}"),
        }
    }
    match store.scan(STATE, b"", None, usize::MAX) {
        Ok(all) => {
            assert!(all.iter().all(|(key, value)| rows.get(key) == Some(value)));
            let is_whole = all.len() == rows.len();
            assert!(is_whole || store.health().damage.is_some(), "{}", all.len());
        }
        Err(err) => assert!(is_told(&err), "{err}"),
    }
}

/// Flips, zeroes or exchanges pages of the tables, or a bit of one.
fn damage(disk: &FaultyDisk, random: &mut Random) {
    let bytes = disk.contents(TABLES).unwrap();
    let pages = (bytes.len() / PAGE) as u64;
    let mut place = || random.below(pages) as usize * PAGE;
    let (one, other) = (place(), place());
    let page = |at: usize| bytes[at..at + PAGE].to_vec();
    match random.below(3) {
        0 => disk.flip(TABLES, one + random.below(PAGE as u64) as usize),
        1 => overwrite(disk, one, &[0; PAGE]),
        _ => {
            overwrite(disk, one, &page(other));
            overwrite(disk, other, &page(one));
        }
    }
}

#[test]
fn flipped_zeroed_and_exchanged_pages_are_noticed_or_harmless() {
    let (disk, rows) = filled(2_000);
    for_each_seed(60, |seed| {
        let damaged = disk.kill();
        damage(&damaged, &mut Random::seeded(seed));
        is_noticed(&damaged, &rows);
        a_read_is_right_or_an_error(&damaged, &rows);
    });
}

/// A folder whose tables have no checksums of pages yet: one of an earlier version, or one whose file of them is lost.
#[test]
fn without_the_checksums_of_pages_the_scan_of_a_start_notices_the_same() {
    let (disk, rows) = filled(2_000);
    disk.remove("tables.sums").unwrap();
    for_each_seed(30, |seed| {
        let damaged = disk.kill();
        damage(&damaged, &mut Random::seeded(seed));
        is_noticed(&damaged, &rows);
    });
}

#[test]
fn pages_of_an_earlier_checkpoint_are_noticed() {
    let (disk, mut rows) = filled(1_000);
    let before = disk.contents(TABLES).unwrap();
    let (store, mut syncer) = opened(&disk).unwrap();
    for key in rows.keys().cloned().collect::<Vec<_>>() {
        let value = Bytes::from_static(&[1; 120]);
        store.stage(vec![Write::put(STATE, key.clone(), value.clone())]);
        rows.insert(key, value);
    }
    syncer.sync().unwrap();
    assert!(store.checkpoint().unwrap());
    drop((store, syncer));
    let after = disk.contents(TABLES).unwrap();
    let mut noticed = 0;
    for page in 0..before.len().min(after.len()) / PAGE {
        let at = page * PAGE;
        if before[at..at + PAGE] == after[at..at + PAGE] {
            continue;
        }
        let damaged = disk.kill();
        overwrite(&damaged, at, &before[at..at + PAGE]);
        noticed += u32::from(is_noticed(&damaged, &rows));
        a_read_is_right_or_an_error(&damaged, &rows);
    }
    assert!(noticed > 10, "{noticed}");
}

#[test]
fn rows_behind_a_damaged_inner_page_do_not_look_absent() {
    let (disk, rows) = filled(2_000);
    let bytes = disk.contents(TABLES).unwrap();
    let is_inner = |page: &[u8]| page[0] == 2;
    let mut hidden = 0;
    for (number, page) in bytes.chunks(PAGE).enumerate().skip(1) {
        if !is_inner(page) {
            continue;
        }
        for at in (4..PAGE).step_by(61) {
            let damaged = disk.kill();
            damaged.flip(TABLES, number * PAGE + at);
            let Ok((store, _syncer)) = opened(&damaged) else {
                hidden += 1;
                continue;
            };
            let read = |key: &Bytes| store.get(STATE, key);
            let lost = rows.keys().step_by(19).filter(|key| read(key).is_err());
            hidden += lost.count();
            reads_are_right_or_errors(&store, &rows);
        }
    }
    assert!(hidden > 0, "no inner page was read");
}

#[test]
fn a_damaged_row_is_named_with_file_key_and_remedy_and_others_are_read() {
    let (disk, rows) = filled(200);
    let (key, value) = rows.iter().nth(50).unwrap();
    let bytes = disk.contents(TABLES).unwrap();
    let stored = [&key[..]].concat();
    let places = bytes
        .windows(stored.len())
        .enumerate()
        .filter(|(_, window)| *window == stored);
    assert!(places.count() > 0);
    // The value is found by its bytes, which are all alike.
    let at = bytes
        .windows(value.len())
        .position(|window| window == &value[..])
        .unwrap();
    disk.flip(TABLES, at + value.len() / 2);
    let (store, _syncer) = opened(&disk).unwrap();
    let mut named = 0;
    for (key, value) in &rows {
        match store.get(STATE, key) {
            Ok(found) => assert_eq!(found.as_ref(), Some(value)),
            Err(err) => {
                named += 1;
                let text = err.to_string();
                let name = key.escape_ascii().to_string();
                assert!(
                    text.contains("faulty-disk/tables.redb is damaged") && text.contains(&name),
                    "{text}"
                );
                assert!(text.contains("restore a backup"), "{text}");
            }
        }
    }
    assert_eq!(named, 1);
    assert!(store.health().damage.unwrap().contains("Table(2)"));
    let before = &rows.keys().next().unwrap()[..];
    assert!(store.scan(STATE, before, None, 10).is_ok());
    assert!(store.scan(STATE, b"", None, usize::MAX).is_err());
}

#[test]
fn a_damaged_row_is_repaired_by_writing_or_deleting_it() {
    let value = |rows: &BTreeMap<Bytes, Bytes>, nth| {
        let (key, value) = rows.iter().nth(nth).unwrap();
        (key.clone(), value.clone())
    };
    for seal_is_hit in [false, true] {
        let (disk, rows) = filled(200);
        let (first, second) = (value(&rows, 50), value(&rows, 90));
        for (_, value) in [&first, &second] {
            let bytes = disk.contents(TABLES).unwrap();
            let mut windows = bytes.windows(value.len());
            let at = windows.rposition(|window| window == &value[..]).unwrap();
            disk.flip(TABLES, at + if seal_is_hit { value.len() } else { 9 });
        }
        let (store, mut syncer) = opened(&disk).unwrap();
        let damaged: Vec<Bytes> = rows
            .keys()
            .filter(|key| store.get(STATE, key).is_err())
            .cloned()
            .collect();
        assert_eq!(damaged.len(), 2);
        let (new, gone) = (&damaged[0], &damaged[1]);
        store.stage(vec![
            Write::put(STATE, new.clone(), &b"new"[..]),
            Write::delete(STATE, gone.clone()),
            Write::put(Table::new(3), "filler", vec![0; 2_000]),
        ]);
        let all = store.scan(STATE, b"", None, usize::MAX).unwrap();
        assert_eq!(all.len(), 199);
        syncer.sync().unwrap();
        assert!(store.checkpoint().unwrap());
        assert_eq!(store.scan(STATE, b"", None, usize::MAX).unwrap(), all);
        drop((store, syncer));
        assert_eq!(verify(Arc::new(disk)).unwrap().rows, 200);
    }
}

#[test]
fn rows_that_vanish_or_come_back_are_counted_at_the_start() {
    let (disk, rows) = filled(300);
    assert_eq!(verify(Arc::new(disk.kill())).unwrap().rows, 300);
    // The file as it was after another checkpoint, with the marks of this one, is what an exchange of inner pages makes.
    let (store, mut syncer) = opened(&disk).unwrap();
    let (gone, _) = rows.iter().nth(9).unwrap();
    store.stage(vec![
        Write::delete(STATE, gone.clone()),
        Write::put(Table::new(3), "filler", vec![0; 2_000]),
    ]);
    syncer.sync().unwrap();
    assert!(store.checkpoint().unwrap());
    assert_eq!(verify_open(&store), 300);
    drop((store, syncer));
    assert_eq!(verify(Arc::new(disk)).unwrap().rows, 300);
}

/// The rows of the store, all tables together.
fn verify_open(store: &Store) -> usize {
    let tables = [STATE, Table::new(3)];
    let rows = tables.map(|table| store.scan(table, b"", None, usize::MAX).unwrap().len());
    rows.iter().sum()
}

/// The files of a folder in a real file system, from a disk in memory.
fn write_out(disk: &FaultyDisk, folder: &Path) {
    for name in disk.list().unwrap() {
        fs::write(folder.join(&name), disk.contents(&name).unwrap()).unwrap();
    }
}

#[test]
fn a_verification_changes_nothing_in_the_folder() {
    let (disk, _) = filled(100);
    let temp = tempfile::tempdir().unwrap();
    write_out(&disk, temp.path());
    let files = || -> BTreeMap<_, _> {
        let names = fs::read_dir(temp.path()).unwrap();
        names
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect()
    };
    let before = files();
    assert_eq!(
        verify(Arc::new(Untouched::new(temp.path()))).unwrap().rows,
        100
    );
    assert_eq!(files(), before);
}
