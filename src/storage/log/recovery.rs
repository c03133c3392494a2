//! Reads the log at a start: its content and its end.

use bytes::Bytes;

use super::super::StorageError;
use super::super::disk::Disk;
use super::super::row::{Position, Table};
use super::format::{LogRecord, SEGMENT_HEADER};
use super::overlay::Overlay;
use super::segment::{SegmentBytes, SegmentEnd};
use super::writer::{Finished, segment_number};

/// The content of the log.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Recovered {
    /// The last position; `START` when there is no record.
    pub(super) last: Position,
    /// The highest boot number in it; 0 when there is none.
    pub(super) boot: u64,
    /// The highest segment number in it; 0 when there is none.
    pub(super) segment: u64,
    /// The highest number of a segment with a good header; 0 when there is none.
    pub(super) begun: u64,
    /// The segments with records that the tables do not have.
    pub(super) needed: Vec<Finished>,
    /// The segments without such records.
    pub(super) stale: Vec<u64>,
    /// Bytes of the records that the tables do not have.
    pub(super) bytes: u64,
}

/// Receives the replayed log.
pub(super) trait Rebuilt {
    /// The next write. The value is a slice of the segment.
    fn apply(&mut self, table: Table, key: &[u8], value: Option<Bytes>);

    /// A segment is finished; its memory must be released.
    fn let_go(&mut self, segment: &[u8]);
}

impl Rebuilt for Overlay {
    fn apply(&mut self, table: Table, key: &[u8], value: Option<Bytes>) {
        self.apply_at(table, key, value);
    }

    fn let_go(&mut self, segment: &[u8]) {
        self.let_go(segment);
    }
}

/// The numbers of the segments, in order.
pub(super) fn segments(names: &[String]) -> Vec<u64> {
    let numbers = names.iter().filter_map(|name| segment_number(name));
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    numbers
}

/// Passes all writes after `checkpoint` to `rows`, in order, without changing anything.
///
/// A torn end is what a crash leaves; [`LogEnd::settle`] cuts it off. A bad record with good records after it is damage.
pub(super) fn replay(
    disk: &dyn Disk,
    names: &[String],
    checkpoint: Position,
    rows: &mut dyn Rebuilt,
) -> Result<(Recovered, LogEnd), StorageError> {
    let mut replay = Replay {
        checkpoint,
        rows,
        recovered: Recovered::default(),
    };
    let mut end = None;
    for number in segments(names) {
        let segment = SegmentBytes::read(disk, number)?;
        replay.recovered.segment = number;
        let begin = match segment.header()? {
            None => 0,
            Some(header) => {
                let recovered = &mut replay.recovered;
                recovered.boot = recovered.boot.max(header.boot);
                recovered.begun = number;
                SEGMENT_HEADER
            }
        };
        let segment_end = replay.segment(&segment, begin)?;
        replay.rows.let_go(&segment.bytes);
        if begin > 0 {
            end = Some((segment, segment_end));
        }
    }
    Ok((replay.recovered, LogEnd(end)))
}

/// The last segment as read.
pub(super) struct LogEnd(Option<(SegmentBytes, SegmentEnd)>);

impl LogEnd {
    /// Durably ends the log after its last complete record. Returns what was cut off, if anything.
    pub(super) fn settle(&self) -> Result<Option<String>, StorageError> {
        let Some((segment, end)) = &self.0 else {
            return Ok(None);
        };
        let settled = segment.settle(end);
        settled.map_err(|source| StorageError::io(format!("write {}", segment.name), source))
    }
}

struct Replay<'a> {
    checkpoint: Position,
    rows: &'a mut dyn Rebuilt,
    recovered: Recovered,
}

impl Replay<'_> {
    fn segment(
        &mut self,
        segment: &SegmentBytes,
        begin: usize,
    ) -> Result<SegmentEnd, StorageError> {
        let (mut end, mut last_record) = (begin, None);
        while let Some(record) = segment.record(end).filter(|_| begin > 0) {
            self.record(&segment.bytes, &record)
                .map_err(|fault| segment.damaged(end, fault))?;
            last_record = Some(end);
            end += record.len();
        }
        let last = self.recovered.last;
        if let Some(later) = segment.later_record(end, last) {
            return Err(segment.damaged(end, format!("a good record follows at byte {later}")));
        }
        let number = segment.number;
        if last_record.is_some() && last > self.checkpoint {
            self.recovered.needed.push(Finished {
                segment: number,
                last,
            });
        } else {
            self.recovered.stale.push(number);
        }
        Ok(SegmentEnd { last_record, end })
    }

    /// Replays the record; the error is its fault.
    fn record(&mut self, segment: &Bytes, record: &LogRecord<'_>) -> Result<(), String> {
        let (first, last) = (record.header.first, record.header.last);
        let expected = self.recovered.last.next();
        let begins_the_log = self.recovered.last == Position::START;
        if first != expected && !(begins_the_log && first <= self.checkpoint.next()) {
            return Err(format!(
                "positions continue with {first} instead of {expected}: a record is missing"
            ));
        }
        self.recovered.last = last;
        if last > self.checkpoint {
            self.recovered.bytes += record.len() as u64;
            for row in record.writes() {
                let row = row.map_err(|_| "the writes of the record cannot be read".to_owned())?;
                let value = row.value.map(|value| segment.slice_ref(value));
                self.rows.apply(row.table, row.key, value);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests {
    use std::sync::Arc;

    use super::super::reached::ReachedFile;
    use super::super::round::Round;
    use super::super::writer::Writer;
    use super::*;
    use crate::storage::Write;
    use crate::testing::faulty::FaultyDisk;

    const STATE: Table = Table::new(1);
    const SEGMENT_BYTES: u64 = 200;

    fn at(position: u64) -> Position {
        Position::from_u64(position)
    }

    fn start(disk: &FaultyDisk, boot: u64, begin: (u64, Position), segment_bytes: u64) -> Writer {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let (file, _) = ReachedFile::open(Arc::clone(&disk), &disk.list().unwrap()).unwrap();
        Writer::start(disk, boot, begin, segment_bytes, file).unwrap()
    }

    /// Appends one round per list and one write per list, whose key is the position.
    fn append(
        disk: &FaultyDisk,
        boot: u64,
        segment: u64,
        positions: std::ops::RangeInclusive<u64>,
    ) {
        let before = at(positions.start() - 1);
        let mut writer = start(disk, boot, (segment, before), SEGMENT_BYTES);
        for position in positions {
            let mut round = Round::after(at(position - 1));
            round.push(&Write::put(STATE, position.to_string(), vec![b'v'; 20]));
            round.end_list();
            round.write(&mut writer).unwrap();
        }
    }

    fn replayed(
        disk: &FaultyDisk,
        checkpoint: u64,
    ) -> Result<(Vec<String>, Recovered), StorageError> {
        let mut keys = Vec::new();
        let (recovered, end) = replay(disk, &disk.list().unwrap(), at(checkpoint), &mut keys)?;
        end.settle()?;
        Ok((keys, recovered))
    }

    /// Only the keys.
    impl Rebuilt for Vec<String> {
        fn apply(&mut self, _: Table, key: &[u8], _: Option<Bytes>) {
            self.push(String::from_utf8(key.to_vec()).unwrap());
        }

        fn let_go(&mut self, _: &[u8]) {}
    }

    fn damage(disk: &FaultyDisk, checkpoint: u64) -> (String, u64, String) {
        match replayed(disk, checkpoint) {
            Err(StorageError::Damaged {
                file,
                offset,
                fault,
                ..
            }) => (file, offset, fault),
            other => panic!("not damaged: {other:?}"),
        }
    }

    #[test]
    fn an_empty_folder_has_no_log() {
        let (keys, recovered) = replayed(&FaultyDisk::default(), 0).unwrap();
        assert!(keys.is_empty());
        assert_eq!(recovered, Recovered::default());
    }

    #[test]
    fn rounds_are_replayed_in_order_over_segments_and_boots() {
        let disk = FaultyDisk::default();
        append(&disk, 1, 1, 1..=5);
        append(&disk, 2, 4, 6..=6);
        let (keys, recovered) = replayed(&disk, 0).unwrap();
        assert_eq!(keys, ["1", "2", "3", "4", "5", "6"]);
        assert_eq!(
            (recovered.last, recovered.boot, recovered.segment),
            (at(6), 2, 4)
        );
        let segments: Vec<_> = recovered
            .needed
            .iter()
            .map(|needed| (needed.segment, needed.last))
            .collect();
        assert_eq!(segments, [(1, at(2)), (2, at(4)), (3, at(5)), (4, at(6))]);
    }

    #[test]
    fn only_what_the_tables_do_not_have_is_replayed() {
        let disk = FaultyDisk::default();
        append(&disk, 1, 1, 1..=5);
        let (keys, recovered) = replayed(&disk, 3).unwrap();
        assert_eq!(keys, ["4", "5"]);
        assert_eq!(recovered.stale, [1]);
        let (keys, recovered) = replayed(&disk, 9).unwrap();
        assert!(keys.is_empty());
        assert_eq!(recovered.stale, [1, 2, 3]);
    }

    #[test]
    fn a_bad_end_is_cut_off() {
        let disk = FaultyDisk::default();
        append(&disk, 1, 1, 1..=1);
        let end = replayed(&disk, 0).unwrap().1.bytes + SEGMENT_HEADER as u64;
        for torn in [1, 10, 39, 41, 60] {
            let file = disk.open("log-0000000001").unwrap();
            let mut round = Round::after(at(1));
            round.push(&Write::put(STATE, "2", vec![b'v'; 20]));
            round.end_list();
            let whole = round.sealed(1);
            file.write_at(end, &whole[..torn]).unwrap();
            let (keys, recovered) = replayed(&disk, 0).unwrap();
            assert_eq!(
                (keys.len(), recovered.last),
                (1, at(1)),
                "torn after {torn} bytes"
            );
            assert_eq!(file.len().unwrap(), end);
        }
    }

    #[test]
    fn a_bad_record_with_good_ones_after_it_stops_the_start() {
        let disk = FaultyDisk::default();
        append(&disk, 1, 1, 1..=5);
        disk.flip("log-0000000002", 40);
        let before = disk.contents("log-0000000002");
        let (file, offset, fault) = damage(&disk, 0);
        assert_eq!(
            (file.as_str(), offset),
            ("faulty-disk/log-0000000002", SEGMENT_HEADER as u64)
        );
        assert!(fault.contains("a good record follows at byte"), "{fault}");
        assert_eq!(
            disk.contents("log-0000000002"),
            before,
            "nothing is changed"
        );
    }

    #[test]
    fn a_bad_end_of_a_segment_with_segments_after_it_stops_the_start() {
        let disk = FaultyDisk::default();
        append(&disk, 1, 1, 1..=5);
        let last_byte = disk
            .contents("log-0000000001")
            .unwrap()
            .iter()
            .rposition(|byte| *byte != 0)
            .unwrap();
        disk.flip("log-0000000001", last_byte);
        let (file, _, fault) = damage(&disk, 0);
        assert_eq!(file, "faulty-disk/log-0000000002");
        assert!(
            fault.contains("positions continue with 3 instead of 2"),
            "{fault}"
        );
    }

    #[test]
    fn a_missing_segment_stops_the_start() {
        let disk = FaultyDisk::default();
        append(&disk, 1, 1, 1..=5);
        disk.remove("log-0000000001").unwrap();
        assert!(
            damage(&disk, 0)
                .2
                .contains("positions continue with 3 instead of 1")
        );
        assert_eq!(
            replayed(&disk, 2).unwrap().0,
            ["3", "4", "5"],
            "the tables have what was in it"
        );
    }

    #[test]
    fn a_damaged_header_before_records_stops_the_start() {
        let disk = FaultyDisk::default();
        append(&disk, 1, 1, 1..=2);
        disk.flip("log-0000000001", 3);
        assert_eq!(damage(&disk, 0).1, 0);
    }

    #[test]
    fn a_segment_that_was_never_finished_being_made_is_stale() {
        let disk = FaultyDisk::default();
        append(&disk, 1, 1, 1..=2);
        disk.create("log-0000000002")
            .unwrap()
            .write_at(0, b"sfnl")
            .unwrap();
        let (keys, recovered) = replayed(&disk, 0).unwrap();
        assert_eq!(
            (keys.len(), recovered.stale, recovered.segment),
            (2, vec![2], 2)
        );
    }

    #[test]
    fn a_user_value_that_is_a_copy_of_a_log_file_is_not_taken_for_records() {
        let disk = FaultyDisk::default();
        append(&disk, 1, 1, 1..=2);
        let copy = disk.contents("log-0000000001").unwrap();
        let mut writer = start(&disk, 2, (2, at(2)), 10_000);
        let mut round = Round::after(at(2));
        round.push(&Write::put(STATE, "3", copy));
        round.end_list();
        round.write(&mut writer).unwrap();
        let last_byte = disk
            .contents("log-0000000002")
            .unwrap()
            .iter()
            .rposition(|byte| *byte != 0)
            .unwrap();
        disk.flip("log-0000000002", last_byte);
        assert_eq!(
            replayed(&disk, 0).unwrap().1.last,
            at(2),
            "a torn end, not damage"
        );
    }

    #[test]
    fn a_newer_format_is_refused_with_both_versions() {
        let disk = FaultyDisk::default();
        append(&disk, 1, 1, 1..=1);
        let mut header = disk.contents("log-0000000001").unwrap()[..SEGMENT_HEADER].to_vec();
        header[12] = 9;
        let crc = crc32fast::hash(&header[12..]).to_le_bytes();
        header[8..12].copy_from_slice(&crc);
        disk.open("log-0000000001")
            .unwrap()
            .write_at(0, &header)
            .unwrap();
        let err = replayed(&disk, 0).unwrap_err().to_string();
        assert!(err.contains("has format 9, this version reads 2"), "{err}");
    }

    #[test]
    fn other_files_of_the_folder_are_left_alone() {
        let disk = FaultyDisk::default();
        for name in ["log-1", "log-00000000001", "log-000000000x", "notes.txt"] {
            disk.create(name).unwrap().write_at(0, b"mine").unwrap();
        }
        assert_eq!(replayed(&disk, 0).unwrap().1, Recovered::default());
    }
}
