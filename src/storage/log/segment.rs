//! A segment of the log as a start reads it.

use std::io;

use bytes::Bytes;

use super::super::StorageError;
use super::super::disk::{Disk, DiskFile};
use super::super::row::Position;
use super::format::{FORMAT, HeaderRead, LogRecord, SegmentHeader};
use super::writer::segment_name;

const REMEDY: &str = "restore a backup, or cut the file there and remove the later log files and the file `folder` to start without what they hold";

/// A segment as read.
pub(super) struct SegmentBytes {
    pub(super) number: u64,
    /// The name with the folder.
    pub(super) name: String,
    file: Box<dyn DiskFile>,
    pub(super) bytes: Bytes,
}

/// Where the records of a segment end.
pub(super) struct SegmentEnd {
    pub(super) last_record: Option<usize>,
    pub(super) end: usize,
}

impl SegmentBytes {
    pub(super) fn read(disk: &dyn Disk, number: u64) -> Result<Self, StorageError> {
        let file_name = segment_name(number);
        let name = format!("{disk}/{file_name}");
        let read = || -> io::Result<_> {
            let file = disk.open(&file_name)?;
            let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
            let mut bytes = vec![0; len];
            file.read_at(0, &mut bytes)?;
            Ok((file, Bytes::from(bytes)))
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

    /// Its header; `None` if it was never completely created and so has no records.
    pub(super) fn header(&self) -> Result<Option<SegmentHeader>, StorageError> {
        match SegmentHeader::decode(&self.bytes) {
            HeaderRead::Good(header) if header.segment == self.number => Ok(Some(header)),
            HeaderRead::Good(_) | HeaderRead::Bad => Ok(None),
            HeaderRead::OtherFormat(found) => Err(StorageError::Format {
                file: self.name.clone(),
                found,
                expected: FORMAT,
            }),
        }
    }

    pub(super) fn record(&self, at: usize) -> Option<LogRecord<'_>> {
        LogRecord::decode(self.bytes.get(at..)?, self.number)
    }

    /// The first record after byte `from` that continues after `last`. Others are copies of log files stored by users.
    pub(super) fn later_record(&self, from: usize, last: Position) -> Option<usize> {
        let mut from = from;
        while let Some(at) = LogRecord::candidate(&self.bytes, from) {
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
    /// failed sync only writing it again would bring it there.
    pub(super) fn settle(
        &self,
        SegmentEnd { last_record, end }: &SegmentEnd,
    ) -> io::Result<Option<String>> {
        if let Some((at, record)) = last_record.and_then(|at| Some((at, self.bytes.get(at..*end)?)))
        {
            self.file.write_at(at as u64, record)?;
        }
        let rest = self.bytes.get(*end..).unwrap_or_default();
        let cut = rest.iter().any(|byte| *byte != 0).then(|| {
            format!(
                "the last round in {} was not finished and does not count: {} bytes at byte {end}",
                self.name,
                rest.len()
            )
        });
        if cut.is_some() {
            tracing::warn!(file = self.name, at = end, "cut off an unfinished round");
            self.file.set_len(*end as u64)?;
        }
        self.file.sync_data()?;
        Ok(cut)
    }

    pub(super) fn damaged(&self, at: usize, fault: String) -> StorageError {
        StorageError::Damaged {
            file: self.name.clone(),
            offset: at as u64,
            fault,
            remedy: REMEDY,
        }
    }
}
