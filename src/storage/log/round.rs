//! The lists of writes that become durable together.

use super::super::row::{Position, Write};
use super::format::{RECORD_HEADER, push_write};
use super::writer::{AppendError, Writer};

/// A larger buffer is freed once its round is written.
const KEPT_BYTES: usize = 1 << 20;

/// Encoded lists of writes, with space for the record's header in front.
#[derive(Debug)]
pub(super) struct Round {
    record: Vec<u8>,
    /// The position before its first list.
    before: Position,
    last: Position,
}

impl Round {
    /// The empty round after `position`.
    pub(super) fn after(position: Position) -> Self {
        Self {
            record: vec![0; RECORD_HEADER],
            before: position,
            last: position,
        }
    }

    pub(super) const fn last(&self) -> Position {
        self.last
    }

    pub(super) fn is_empty(&self) -> bool {
        self.last == self.before
    }

    /// The size of its record; 0 if it is empty.
    pub(super) fn bytes(&self) -> usize {
        if self.is_empty() {
            0
        } else {
            self.record.len()
        }
    }

    pub(super) fn push(&mut self, write: &Write) {
        push_write(&mut self.record, write);
    }

    /// Ends the list whose writes were pushed since the last call.
    pub(super) fn end_list(&mut self) -> Position {
        self.last = self.last.next();
        self.last
    }

    /// Moves the content to the empty round `into`, and continues with an empty round after it.
    pub(super) fn move_to(&mut self, into: &mut Self) {
        std::mem::swap(self, into);
        self.restart_after(into.last);
    }

    fn restart_after(&mut self, position: Position) {
        self.record.truncate(RECORD_HEADER);
        self.record.shrink_to(KEPT_BYTES);
        (self.before, self.last) = (position, position);
    }

    /// Makes it durable, after which it is empty. On an error it stays unchanged.
    pub(super) fn write(&mut self, writer: &mut Writer) -> Result<(), AppendError> {
        writer.append(&mut self.record, self.before.next(), self.last)?;
        self.restart_after(self.last);
        Ok(())
    }

    /// The record as it is written to that segment.
    #[cfg(all(test, feature = "testing"))]
    pub(super) fn sealed(&self, segment: u64) -> Vec<u8> {
        let mut record = self.record.clone();
        let (first, last) = (self.before.next(), self.last);
        super::format::RecordHeader {
            segment,
            first,
            last,
        }
        .seal(&mut record);
        record
    }
}
