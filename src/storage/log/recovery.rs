//! Reads the log at a start: what is in it, where it ends, and whether it is whole.

use std::io;

use super::super::StorageError;
use super::super::disk::{Disk, DiskFile};
use super::super::row::{Position, Write};
use super::format::{FORMAT, HeaderRead, Record, SEGMENT_HEADER, SegmentHeader};
use super::writer::{Finished, segment_name, segment_number};

/// What the log holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Recovered {
    /// The last position; `START` when there is no record.
    pub(super) last: Position,
    /// The highest boot number in it; 0 when there is none.
    pub(super) boot: u64,
    /// The highest segment number in it; 0 when there is none.
    pub(super) segment: u64,
    /// The segments with records that the tables do not have.
    pub(super) needed: Vec<Finished>,
    /// The segments without such records.
    pub(super) stale: Vec<u64>,
    /// Bytes of the records that the tables do not have.
    pub(super) bytes: u64,
}

const REMEDY: &str = "restore a backup, or cut the file there and remove the later log files to start without what they hold";

/// Gives `apply` all writes after `checkpoint`, in order. Afterwards the log ends with its last whole record, durably.
///
/// A bad end is what a crash leaves, and is cut off. Anything bad with good records after it is damage: nothing is changed then.
pub(super) fn replay(
    disk: &dyn Disk,
    names: &[String],
    checkpoint: Position,
    apply: &mut dyn FnMut(Write),
) -> Result<Recovered, StorageError> {
    let mut numbers: Vec<u64> = names
        .iter()
        .filter_map(|name| segment_number(name))
        .collect();
    numbers.sort_unstable();
    let mut replay = Replay {
        checkpoint,
        apply,
        recovered: Recovered::default(),
    };
    let mut end = None;
    for number in numbers {
        let segment = SegmentBytes::read(disk, number)?;
        let begin = segment.begin(&mut replay.recovered)?;
        let segment_end = replay.segment(&segment, begin)?;
        if begin > 0 {
            end = Some((segment, segment_end));
        }
    }
    if let Some((segment, segment_end)) = end {
        let settled = segment.settle(&segment_end);
        settled.map_err(|source| StorageError::io(format!("write {}", segment.name), source))?;
    }
    Ok(replay.recovered)
}

/// A segment as it was found.
struct SegmentBytes {
    number: u64,
    /// The name with the folder.
    name: String,
    file: Box<dyn DiskFile>,
    bytes: Vec<u8>,
}

/// Where the records of a segment end.
struct SegmentEnd {
    last_record: Option<usize>,
    end: usize,
}

impl SegmentBytes {
    fn read(disk: &dyn Disk, number: u64) -> Result<Self, StorageError> {
        let file_name = segment_name(number);
        let name = format!("{disk}/{file_name}");
        let read = || -> io::Result<_> {
            let file = disk.open(&file_name)?;
            let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
            let mut bytes = vec![0; len];
            file.read_at(0, &mut bytes)?;
            Ok((file, bytes))
        };
        let (file, bytes) =
            read().map_err(|source| StorageError::io(format!("read {name}"), source))?;
        Ok(Self {
            number,
            name,
            file,
            bytes,
        })
    }

    /// Where its records begin; 0 when it was never finished being made and so has none.
    fn begin(&self, recovered: &mut Recovered) -> Result<usize, StorageError> {
        recovered.segment = self.number;
        match SegmentHeader::decode(&self.bytes) {
            HeaderRead::Good(header) if header.segment == self.number => {
                recovered.boot = recovered.boot.max(header.boot);
                Ok(SEGMENT_HEADER)
            }
            HeaderRead::Good(_) | HeaderRead::Bad => Ok(0),
            HeaderRead::OtherFormat(found) => Err(StorageError::Format {
                file: self.name.clone(),
                found,
                expected: FORMAT,
            }),
        }
    }

    fn record(&self, at: usize) -> Option<Record<'_>> {
        Record::decode(self.bytes.get(at..)?, self.number)
    }

    /// The first record after byte `from` that goes on after `last`. One that does not is a user's copy of a log file.
    fn later_record(&self, from: usize, last: Position) -> Option<usize> {
        let mut from = from;
        while let Some(at) = Record::candidate(&self.bytes, from) {
            if self
                .record(at)
                .is_some_and(|record| record.header.first > last)
            {
                return Some(at);
            }
            from = at + 1;
        }
        None
    }

    /// Makes its end durable: a record read from the file system's cache may never have reached the disk, and after a
    /// failed sync nothing but writing it again would bring it there.
    fn settle(&self, SegmentEnd { last_record, end }: &SegmentEnd) -> io::Result<()> {
        if let Some((at, record)) = last_record.and_then(|at| Some((at, self.bytes.get(at..*end)?)))
        {
            self.file.write_at(at as u64, record)?;
        }
        let rest = self.bytes.get(*end..).unwrap_or_default();
        if rest.iter().any(|byte| *byte != 0) {
            tracing::warn!(file = self.name, at = end, "cut off an unfinished round");
            self.file.set_len(*end as u64)?;
        }
        self.file.sync_data()
    }

    fn damaged(&self, at: usize, fault: String) -> StorageError {
        StorageError::Damaged {
            file: self.name.clone(),
            offset: at as u64,
            fault,
            remedy: REMEDY,
        }
    }
}

struct Replay<'a> {
    checkpoint: Position,
    apply: &'a mut dyn FnMut(Write),
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
            self.record(&record)
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

    /// Replays the record; the error says what is wrong with it.
    fn record(&mut self, record: &Record<'_>) -> Result<(), String> {
        let (first, last) = (record.header.first, record.header.last);
        let expected = self.recovered.last.next();
        let begins_the_log = self.recovered.last == Position::START;
        if first != expected && !(begins_the_log && first <= self.checkpoint.next()) {
            return Err(format!(
                "positions go on with {first} instead of {expected}: a record is missing"
            ));
        }
        self.recovered.last = last;
        if last > self.checkpoint {
            self.recovered.bytes += record.len() as u64;
            for write in record.writes() {
                (self.apply)(
                    write.map_err(|_| "the writes of the record cannot be read".to_owned())?,
                );
            }
        }
        Ok(())
    }
}
