//! An open file that is read from a position on, as long as the bytes before the position are those that were read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use super::cursor::{Cursor, Line};
use super::position::{FileId, Fingerprint, Modified, Position};

/// Bytes read at a time, unless a line is longer.
const BLOCK: usize = 1 << 20;

/// A file that is being read.
#[derive(Debug)]
pub(super) struct Tracked {
    file: File,
    pub(super) id: FileId,
    cursor: Cursor,
    fingerprint: Fingerprint,
    modified: Modified,
    /// Its end when it was last looked at.
    end: u64,
    /// When the end moved last.
    grew: Instant,
    /// Whether it was rotated, and has been read to its end.
    is_done: bool,
}

/// What a look at a file brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Lines were taken.
    Lines,
    /// There are no complete lines, only this many bytes without a line feed.
    Rest(usize),
    /// The bytes before the position are gone: the file was truncated or rewritten.
    Rewritten,
}

impl Tracked {
    /// The file from its beginning.
    pub(super) fn begin(file: File) -> io::Result<Self> {
        Self::of(file, Cursor::default(), Fingerprint::default())
    }

    /// The file from `position` on; `None` if its bytes before the position are others.
    pub(super) fn resume(file: File, position: &Position) -> io::Result<Option<Self>> {
        let Some(fingerprint) = position.find_in(&file)? else {
            return Ok(None);
        };
        let mut found = Self::of(file, position.cursor, fingerprint)?;
        found.is_done = position.is_done;
        // Copies that are newer than this have something else.
        found.modified = position.modified;
        Ok(Some(found))
    }

    fn of(file: File, cursor: Cursor, fingerprint: Fingerprint) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            id: FileId::of(&metadata),
            modified: Modified::of(&metadata),
            end: metadata.len(),
            file,
            cursor,
            fingerprint,
            grew: Instant::now(),
            is_done: false,
        })
    }

    /// When the file was modified last, as it was read.
    pub(super) const fn modified(&self) -> Modified {
        self.modified
    }

    pub(super) fn position(&self) -> Position {
        let (id, modified) = (self.id, self.modified);
        let mut position = Position::new(self.cursor, id, &self.fingerprint, modified);
        position.is_done = self.is_done;
        position
    }

    /// Whether nothing of it has been read.
    pub(super) const fn is_at_start(&self) -> bool {
        self.cursor.byte == 0
    }

    /// Notes that it was rotated and has been read to its end. True if that is new.
    pub(super) const fn ends(&mut self) -> bool {
        !std::mem::replace(&mut self.is_done, true)
    }

    /// Bytes behind the position, as far as they were seen.
    pub(super) const fn behind(&self) -> u64 {
        self.end.saturating_sub(self.cursor.byte)
    }

    /// Bytes behind the position now; `None` if that is not known.
    pub(super) fn added(&self) -> Option<u64> {
        let metadata = self.file.metadata().ok()?;
        metadata.len().checked_sub(self.cursor.byte)
    }

    /// How long the file has not grown.
    pub(super) fn quiet(&self) -> Duration {
        self.grew.elapsed()
    }

    /// Notes that its path names another file from now on.
    pub(super) fn retire(&mut self) {
        self.grew = Instant::now();
    }

    /// Whether `other` has the same bytes up to the position of this file.
    pub(super) fn is_copied_to(&self, other: &File) -> io::Result<bool> {
        let position = self.position();
        Ok(self.cursor.byte > 0 && position.find_in(other)?.is_some())
    }

    /// Begins again at the beginning of the file.
    pub(super) fn begin_again(&mut self) {
        self.cursor = Cursor::default();
        self.fingerprint = Fingerprint::default();
    }

    /// Takes the lines of the next block.
    pub(super) fn take(
        &mut self,
        buffer: &mut Vec<u8>,
        max_line_bytes: usize,
        mut each: impl FnMut(Line<'_>),
    ) -> io::Result<Progress> {
        let mut size = BLOCK;
        loop {
            let Some(bytes) = self.bytes(buffer, size)? else {
                return Ok(Progress::Rewritten);
            };
            let taken = self.cursor.take(bytes, max_line_bytes, &mut each);
            if taken > 0 {
                self.fingerprint
                    .extend(bytes.get(..taken).unwrap_or_default());
                return Ok(Progress::Lines);
            }
            if bytes.len() < size {
                return Ok(Progress::Rest(bytes.len()));
            }
            size = size
                .saturating_mul(4)
                .min(max_line_bytes.saturating_add(1))
                .max(BLOCK);
        }
    }

    /// Takes what is behind the last line feed as a line, if `is_whole` says so.
    pub(super) fn take_last(
        &mut self,
        buffer: &mut Vec<u8>,
        max_line_bytes: usize,
        is_whole: impl Fn(&[u8]) -> bool,
        each: impl FnMut(Line<'_>),
    ) -> io::Result<bool> {
        let size = max_line_bytes.min(usize::try_from(self.behind()).unwrap_or(usize::MAX));
        let Some(bytes) = self.bytes(buffer, size)? else {
            return Ok(false);
        };
        if bytes.is_empty() || bytes.contains(&b'\n') || !is_whole(bytes) {
            return Ok(false);
        }
        self.cursor.take_last(bytes, each);
        self.fingerprint.extend(bytes);
        Ok(true)
    }

    /// Up to `size` bytes behind the position; `None` if the bytes before it are others than those that were read, or if none were read and the file
    /// has become shorter.
    fn bytes<'b>(&mut self, buffer: &'b mut Vec<u8>, size: usize) -> io::Result<Option<&'b [u8]>> {
        let metadata = self.file.metadata()?;
        // Nothing before the position can tell that what was there was not read.
        let is_cut = self.is_at_start() && metadata.len() < self.end;
        if metadata.len() != self.end {
            self.end = metadata.len();
            self.grew = Instant::now();
        }
        if is_cut {
            return Ok(None);
        }
        let tail = self.fingerprint.tail();
        let from = self.cursor.byte - u64::try_from(tail.len()).unwrap_or(self.cursor.byte);
        let left = usize::try_from(self.end.saturating_sub(from)).unwrap_or(usize::MAX);
        buffer.resize(tail.len().saturating_add(size).min(left), 0);
        let length = read_at(&self.file, buffer, from)?;
        let read = buffer.get(..length).unwrap_or_default();
        let bytes = read.strip_prefix(tail);
        if bytes.is_some() {
            // Until the file was truncated: a copy of it is not older.
            self.modified = Modified::of(&metadata);
        }
        Ok(bytes)
    }
}

/// Fills `buffer` from the byte `at` on, up to the end of the file. Returns the number of bytes.
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        let from = at + u64::try_from(length).unwrap_or_default();
        match file.read_at(rest, from) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(length)
}
