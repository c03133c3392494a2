//! The stored position in a file, as text that operators can read: `byte 4096 line 17 file 802:1311 head 1024:0a1b2c3d tail 256:00ff00ff modified 1764512345.0`.
//!
//! The file is recognised by its device and inode, and by checksums of its first bytes and of the bytes right before the position.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use bytes::Bytes;

use super::cursor::{Cursor, Within};

/// Bytes at the beginning of a file that identify it.
const HEAD: usize = 1024;
/// Bytes before the position that identify the file.
const TAIL: usize = 256;

/// A file, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl FileId {
    pub(super) fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// When a file was modified: seconds and nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Modified(i64, i64);

impl Modified {
    pub(super) fn of(metadata: &std::fs::Metadata) -> Self {
        Self(metadata.mtime(), metadata.mtime_nsec())
    }
}

/// The bytes before a position that identify the file.
#[derive(Debug, Clone, Default)]
pub(super) struct Fingerprint {
    head: crc32fast::Hasher,
    head_len: usize,
    /// The last bytes.
    tail: Vec<u8>,
}

impl Fingerprint {
    /// Adds the bytes that follow.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let head = bytes.get(..HEAD - self.head_len).unwrap_or(bytes);
        self.head.update(head);
        self.head_len += head.len();
        match bytes.len().checked_sub(TAIL) {
            Some(start) => {
                self.tail.clear();
                self.tail
                    .extend_from_slice(bytes.get(start..).unwrap_or_default());
            }
            None => {
                let kept = TAIL - bytes.len();
                self.tail.drain(..self.tail.len().saturating_sub(kept));
                self.tail.extend_from_slice(bytes);
            }
        }
    }

    /// The bytes right before the position.
    pub(super) fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// The fingerprint of the first `byte` bytes of a file; `None` if it is shorter.
    fn read(file: &File, byte: u64) -> io::Result<Option<Self>> {
        let length = |most: usize| usize::try_from(byte).unwrap_or(most).min(most);
        let (mut head, mut tail) = (vec![0; length(HEAD)], vec![0; length(TAIL)]);
        let tail_at = byte - u64::try_from(tail.len()).unwrap_or(byte);
        for (bytes, at) in [(&mut head, 0), (&mut tail, tail_at)] {
            match file.read_exact_at(bytes, at) {
                Err(err) if err.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                read => read?,
            }
        }
        let mut found = Self::default();
        found.extend(&head);
        found.tail = tail;
        Ok(Some(found))
    }

    fn marks(&self) -> (Mark, Mark) {
        let mut tail = crc32fast::Hasher::new();
        tail.update(&self.tail);
        let head = Mark {
            length: self.head_len,
            checksum: self.head.clone().finalize(),
        };
        let tail = Mark {
            length: self.tail.len(),
            checksum: tail.finalize(),
        };
        (head, tail)
    }
}

/// The length of some bytes and their CRC-32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    length: usize,
    checksum: u32,
}

/// A stored position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) cursor: Cursor,
    pub(super) file: FileId,
    head: Mark,
    tail: Mark,
    /// When the file was modified last, as it was read.
    pub(super) modified: Modified,
    /// Whether it was rotated and has been read to its end, so that it may be compressed or deleted.
    pub(super) is_done: bool,
}

impl Position {
    pub(super) fn new(
        cursor: Cursor,
        file: FileId,
        fingerprint: &Fingerprint,
        modified: Modified,
    ) -> Self {
        let (head, tail) = fingerprint.marks();
        Self {
            cursor,
            file,
            head,
            tail,
            modified,
            is_done: false,
        }
    }

    /// The fingerprint of `file` up to this position, if it has the same bytes there.
    pub(super) fn find_in(&self, file: &File) -> io::Result<Option<Fingerprint>> {
        let found = Fingerprint::read(file, self.cursor.byte)?;
        Ok(found.filter(|found| found.marks() == (self.head, self.tail)))
    }

    pub(super) fn to_bytes(self) -> Bytes {
        let Self {
            cursor,
            file,
            head,
            tail,
            modified,
            is_done,
        } = self;
        let done = if is_done { " done" } else { "" };
        let within = match cursor.within {
            Within::Nothing => "",
            Within::Taken => " within taken",
            Within::TooLong => " within too-long",
        };
        let text = format!(
            "byte {} line {} file {:x}:{} head {}:{:08x} tail {}:{:08x} modified {}.{}{within}{done}",
            cursor.byte,
            cursor.line,
            file.device,
            file.inode,
            head.length,
            head.checksum,
            tail.length,
            tail.checksum,
            modified.0,
            modified.1
        );
        text.into()
    }

    /// Reads [`to_bytes`](Self::to_bytes). `None` if the bytes are something else.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let done = text.strip_suffix(" done");
        let (is_done, text) = (done.is_some(), done.unwrap_or(text));
        let mut words = text.split(' ');
        let mut after = |name: &str| (words.next()? == name).then(|| words.next())?;
        let (byte, line) = (after("byte")?.parse().ok()?, after("line")?.parse().ok()?);
        let (device, inode) = after("file")?.split_once(':')?;
        let file = FileId {
            device: u64::from_str_radix(device, 16).ok()?,
            inode: inode.parse().ok()?,
        };
        let (head, tail) = (mark(after("head")?)?, mark(after("tail")?)?);
        let (seconds, nanos) = after("modified")?.split_once('.')?;
        let modified = Modified(seconds.parse().ok()?, nanos.parse().ok()?);
        let within = match after("within") {
            None => Within::Nothing,
            Some("taken") => Within::Taken,
            Some("too-long") => Within::TooLong,
            Some(_) => return None,
        };
        Some(Self {
            cursor: Cursor { byte, line, within },
            file,
            head,
            tail,
            modified,
            is_done,
        })
    }
}

fn mark(text: &str) -> Option<Mark> {
    let (length, checksum) = text.split_once(':')?;
    Some(Mark {
        length: length.parse().ok()?,
        checksum: u32::from_str_radix(checksum, 16).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_position_is_found_again_in_a_file_with_the_same_bytes_before_it_and_in_no_other() {
        for length in [0_usize, 1, 255, 256, 257, 1023, 1024, 1025, 5000] {
            let text: Vec<u8> = (0..length).map(|n| (n * 7 % 251) as u8).collect();
            let mut fingerprint = Fingerprint::default();
            for piece in text.chunks(300) {
                fingerprint.extend(piece);
            }
            let cursor = Cursor {
                byte: length as u64,
                line: 3,
                within: Within::Taken,
            };
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&text).unwrap();
            file.write_all(b"more").unwrap();
            let metadata = file.metadata().unwrap();
            let (id, modified) = (FileId::of(&metadata), Modified::of(&metadata));
            let mut position = Position::new(cursor, id, &fingerprint, modified);
            position.is_done = length > 300;
            let read = Position::from_bytes(&position.to_bytes()).unwrap();
            assert_eq!(read, position);
            let found = read.find_in(&file).unwrap().unwrap();
            assert_eq!(found.marks(), fingerprint.marks());
            for changed in [0, length.saturating_sub(1)] {
                if length > 0 {
                    let mut other = tempfile::tempfile().unwrap();
                    let mut text = text.clone();
                    text[changed] ^= 1;
                    other.write_all(&text).unwrap();
                    assert!(read.find_in(&other).unwrap().is_none());
                }
            }
            file.set_len((length as u64).saturating_sub(1)).unwrap();
            assert_eq!(read.find_in(&file).unwrap().is_none(), length > 0);
        }
    }

    #[test]
    fn other_text_is_not_a_position() {
        for text in [
            "",
            "byte 1",
            "17",
            "byte 1 line 2 file 1:2 head 3 tail 1:0 modified 1.1",
        ] {
            assert_eq!(Position::from_bytes(text.as_bytes()), None, "{text}");
        }
    }
}
