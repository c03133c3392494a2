//! Appends rounds to the log: one record, one sync.

use std::io;
use std::mem;
use std::sync::Arc;

use super::super::REACHED;
use super::super::disk::{Disk, DiskFile, is_full};
use super::super::row::Position;
use super::format::{RecordHeader, SEGMENT_HEADER, SegmentHeader};
use super::reached::{Reached, ReachedFile};

/// A file is filled with zeros this far ahead: a sync is slow when it has to make a new length durable too.
const AHEAD: u64 = 256 << 10;

/// The name of segment `number`.
pub(super) fn segment_name(number: u64) -> String {
    format!("log-{number:010}")
}

/// The number of the segment with that name; `None` if the file is not a segment.
pub(super) fn segment_number(name: &str) -> Option<u64> {
    let number = name.strip_prefix("log-")?.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

/// A segment without further records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Finished {
    pub(super) segment: u64,
    /// The position of the last list of writes in it.
    pub(super) last: Position,
}

/// Why a round was not written.
#[derive(Debug)]
pub(super) enum AppendError {
    /// The disk is full. The log is unchanged; the same round may succeed later.
    Full(io::Error),
    /// The content of the disk is unknown, and nothing more may be written.
    Failed { action: String, source: io::Error },
}

impl AppendError {
    /// For a failed write; a full disk is not a failure.
    fn unwritten(name: &str, source: io::Error) -> Self {
        if is_full(&source) {
            Self::Full(source)
        } else {
            Self::failed("write", name, source)
        }
    }

    fn failed(action: &str, name: &str, source: io::Error) -> Self {
        let action = format!("{action} {name}");
        Self::Failed { action, source }
    }
}

/// The end of the log.
#[derive(Debug)]
pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    boot: u64,
    segment_bytes: u64,
    segment: Segment,
    finished: Vec<Finished>,
    reached: ReachedFile,
}

impl Writer {
    /// Starts the boot, with segment `number` after `last`, the last position of the log.
    pub(super) fn start(
        disk: Arc<dyn Disk>,
        boot: u64,
        (number, last): (u64, Position),
        segment_bytes: u64,
        mut reached: ReachedFile,
    ) -> Result<Self, AppendError> {
        let segment = Segment::create(&*disk, number, boot, last)?;
        segment.note(&mut reached)?;
        let finished = Vec::new();
        Ok(Self {
            disk,
            boot,
            segment_bytes,
            segment,
            finished,
            reached,
        })
    }

    /// Records for the next start that the log is completely written.
    pub(super) fn end(&mut self) -> Result<(), AppendError> {
        self.segment.note(&mut self.reached)
    }

    /// Makes `record` durable: room for its header, then the writes of the lists from `first` to `last`.
    pub(super) fn append(
        &mut self,
        record: &mut [u8],
        first: Position,
        last: Position,
    ) -> Result<(), AppendError> {
        let holds_records = self.segment.end > SEGMENT_HEADER as u64;
        if holds_records && self.segment.end + record.len() as u64 > self.segment_bytes {
            let number = self.segment.number + 1;
            let next = Segment::create(&*self.disk, number, self.boot, self.segment.last)?;
            next.note(&mut self.reached)?;
            let full = mem::replace(&mut self.segment, next);
            let (segment, last) = (full.number, full.last);
            self.finished.push(Finished { segment, last });
        }
        let segment = self.segment.number;
        RecordHeader {
            segment,
            first,
            last,
        }
        .seal(record);
        self.segment.append(record, self.segment_bytes)?;
        self.segment.last = last;
        Ok(())
    }

    /// Notes, without a sync, that the log reaches its last record.
    pub(super) fn follow(&self) {
        self.reached.follow(self.segment.reached());
    }

    /// The file that gets the next record.
    pub(super) fn file_name(&self) -> String {
        segment_name(self.segment.number)
    }

    /// Whether a folder still has that file.
    pub(super) fn is_linked(&self) -> io::Result<bool> {
        self.segment.file.is_linked()
    }

    /// The segments finished since the last call.
    pub(super) fn take_finished(&mut self) -> Vec<Finished> {
        mem::take(&mut self.finished)
    }
}

#[derive(Debug)]
struct Segment {
    number: u64,
    boot: u64,
    file: Box<dyn DiskFile>,
    /// The position of the next record.
    end: u64,
    /// Up to here the file is filled, with records and then with zeros.
    filled: u64,
    last: Position,
}

impl Segment {
    /// A durable segment without records; those before it end at `last`.
    fn create(
        disk: &dyn Disk,
        number: u64,
        boot: u64,
        last: Position,
    ) -> Result<Self, AppendError> {
        let name = segment_name(number);
        let unwritten = |err| {
            // The rest of it does no harm: a start handles it, and so does the next attempt.
            let _ = disk.remove(&name);
            AppendError::unwritten(&name, err)
        };
        let file = disk.create(&name).map_err(unwritten)?;
        let segment = number;
        let header = SegmentHeader { segment, boot }.encode();
        file.write_at(0, &header).map_err(unwritten)?;
        let synced = file.sync_data().and_then(|()| disk.sync_names());
        synced.map_err(|err| AppendError::failed("sync", &name, err))?;
        Ok(Self {
            number,
            boot,
            file,
            end: SEGMENT_HEADER as u64,
            filled: SEGMENT_HEADER as u64,
            last,
        })
    }

    /// Records that the log reaches this position.
    fn note(&self, file: &mut ReachedFile) -> Result<(), AppendError> {
        let noted = file.write(self.reached());
        noted.map_err(|err| AppendError::unwritten(REACHED, err))
    }

    const fn reached(&self) -> Reached {
        Reached {
            segment: self.number,
            boot: self.boot,
            position: self.last,
        }
    }

    fn append(&mut self, record: &[u8], segment_bytes: u64) -> Result<(), AppendError> {
        let end = self.end + record.len() as u64;
        self.file
            .write_at(self.end, record)
            .map_err(|err| self.cut(err))?;
        if end > self.filled {
            self.filled = end;
            self.fill_ahead(segment_bytes)?;
        }
        let synced = self.file.sync_data();
        synced.map_err(|err| AppendError::failed("sync", &segment_name(self.number), err))?;
        self.end = end;
        Ok(())
    }

    /// Removes what a failed write has left after the last record.
    fn cut(&self, unwritten: io::Error) -> AppendError {
        let name = segment_name(self.number);
        match self.file.set_len(self.end) {
            Ok(()) => AppendError::unwritten(&name, unwritten),
            Err(err) => AppendError::failed("cut", &name, err),
        }
    }

    /// Only for speed, so a full disk is not an error here.
    fn fill_ahead(&mut self, segment_bytes: u64) -> Result<(), AppendError> {
        let ahead = segment_bytes.saturating_sub(self.filled).min(AHEAD);
        let zeros = vec![0; usize::try_from(ahead).unwrap_or(0)];
        match self.file.write_at(self.filled, &zeros) {
            Ok(()) => {
                self.filled += ahead;
                Ok(())
            }
            Err(err) if is_full(&err) => Ok(()),
            Err(err) => Err(AppendError::unwritten(&segment_name(self.number), err)),
        }
    }
}
