//! Up to which record of the outbox everything has arrived in a file. It is stored beside the file: `.<name>.position`.
//!
//! Before a batch is appended, its bounds in the file and the positions before and after it are written and synced. So the length of the file says
//! after a crash which of the two holds. Two slots are written in turn: if one is torn, the other is that of the batch before.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use prost::Message as _;

use super::position::FileId;

/// Bytes of a slot; positions of 255 partitions fit into it.
const SLOT: usize = 32 << 10;
/// The checksum and the length of the content.
const HEADER: usize = 8;

const IN_USE: &str = "another egress or another runtime writes to it; is this one running already? Each needs a file of its own";

/// A batch in a file.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Appending {
    /// Ascends with each write.
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(uint64, tag = "2")]
    device: u64,
    #[prost(uint64, tag = "3")]
    inode: u64,
    /// The length of the file before the batch.
    #[prost(uint64, tag = "4")]
    from: u64,
    /// The length of the file with the batch.
    #[prost(uint64, tag = "5")]
    to: u64,
    /// The position before the batch.
    #[prost(bytes = "vec", tag = "6")]
    before: Vec<u8>,
    /// The position after the batch.
    #[prost(bytes = "vec", tag = "7")]
    after: Vec<u8>,
    /// Whether the batch has arrived, whatever happened to the file since.
    #[prost(bool, tag = "8")]
    has_arrived: bool,
    /// When the file was begun, in milliseconds.
    #[prost(uint64, tag = "9")]
    pub(super) begun: u64,
}

/// The stored position of a file.
#[derive(Debug)]
pub(super) struct Reached {
    file: File,
    last: Appending,
}

impl Reached {
    /// Opens what is stored beside the file at `path`, or creates it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(beside(path))?;
        let length = 2 * u64::try_from(SLOT).unwrap_or_default();
        if file.metadata()?.len() < length {
            file.set_len(length)?;
            file.sync_all()?;
        }
        let slots = [read(&file, 0)?, read(&file, 1)?];
        let newest = slots.into_iter().flatten().max_by_key(|slot| slot.number);
        Ok(Self {
            file,
            last: newest.unwrap_or_default(),
        })
    }

    /// Keeps other egresses and other processes from the file, until this is dropped: each would take the position of the other for its own.
    ///
    /// # Errors
    /// If somebody else has it.
    pub(super) fn lock(&self) -> io::Result<()> {
        match self.file.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => Err(io::Error::other(IN_USE)),
            Err(TryLockError::Error(err)) => Err(err),
        }
    }

    /// When the current file was begun, in milliseconds; 0 if that is not known.
    pub(super) const fn begun(&self) -> u64 {
        self.last.begun
    }

    /// Creates it again if it is gone, for example with its folder.
    pub(super) fn look_after(&mut self, path: &Path) -> io::Result<()> {
        if !beside(path).try_exists()? {
            let last = std::mem::take(&mut self.last);
            *self = Self {
                last,
                ..Self::open(path)?
            };
            self.lock()?;
        }
        Ok(())
    }

    /// The position in the file at `path`, whose rotated predecessor is at `rotated`. A batch that is not completely there is cut off.
    pub(super) fn position(&mut self, path: &Path, rotated: &Path) -> io::Result<&[u8]> {
        if !self.last.has_arrived {
            if !self.is_complete(path, rotated)? {
                self.last.after.clone_from(&self.last.before);
            }
            self.last.has_arrived = true;
        }
        Ok(&self.last.after)
    }

    /// Whether the last batch is completely in one of the files.
    fn is_complete(&self, path: &Path, rotated: &Path) -> io::Result<bool> {
        let last = &self.last;
        for path in [path, rotated] {
            let metadata = match fs::metadata(path) {
                Ok(metadata) => metadata,
                Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
                Err(err) => return Err(err),
            };
            let FileId { device, inode } = FileId::of(&metadata);
            if (device, inode) != (last.device, last.inode) {
                continue;
            }
            if metadata.len() >= last.to {
                return Ok(true);
            }
            if metadata.len() > last.from {
                let file = OpenOptions::new().write(true).open(path)?;
                file.set_len(last.from)?;
                file.sync_all()?;
            }
        }
        Ok(false)
    }

    /// Notes that a batch of `length` bytes is about to be appended to `file` at `from`. On disk when this returns.
    pub(super) fn begins(
        &mut self,
        file: FileId,
        from: u64,
        length: usize,
        position: &[u8],
        now: u64,
    ) -> io::Result<()> {
        let before = match self.last.has_arrived {
            true => self.last.after.clone(),
            false => self.last.before.clone(),
        };
        let is_same = (file.device, file.inode) == (self.last.device, self.last.inode);
        self.last = Appending {
            number: self.last.number + 1,
            device: file.device,
            inode: file.inode,
            from,
            to: from + u64::try_from(length).unwrap_or_default(),
            before,
            after: position.to_vec(),
            has_arrived: false,
            begun: if is_same && from > 0 {
                self.last.begun
            } else {
                now
            },
        };
        self.write()?;
        self.file.sync_data()
    }

    /// Notes that the batch has arrived. It need not be synced: the length of the file says the same.
    pub(super) fn arrived(&mut self) -> io::Result<()> {
        self.last.number += 1;
        self.last.has_arrived = true;
        self.write()
    }

    fn write(&self) -> io::Result<()> {
        let content = self.last.encode_to_vec();
        let Ok(length) = u32::try_from(content.len()).map(u32::to_le_bytes) else {
            return Err(io::Error::other("the position is too long"));
        };
        if content.len() + HEADER > SLOT {
            return Err(io::Error::other("the position is too long"));
        }
        let checksum = crc32fast::hash(&content).to_le_bytes();
        let bytes = [&checksum[..], &length[..], &content].concat();
        self.file.write_all_at(&bytes, at(self.last.number))
    }
}

/// The start of the slot for the entry `number`.
fn at(number: u64) -> u64 {
    (number % 2) * u64::try_from(SLOT).unwrap_or_default()
}

/// The content of a slot; `None` if it is empty or torn.
fn read(file: &File, slot: u64) -> io::Result<Option<Appending>> {
    let mut bytes = vec![0; SLOT];
    file.read_exact_at(&mut bytes, at(slot))?;
    let content = || {
        let (checksum, rest) = bytes.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let content = rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        let is_whole = crc32fast::hash(content) == u32::from_le_bytes(*checksum);
        (is_whole && !content.is_empty()).then(|| Appending::decode(content).ok())?
    };
    Ok(content())
}

/// `.<name>.position` in the same folder.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.position"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: FileId = FileId {
        device: 1,
        inode: 2,
    };

    fn id(path: &Path) -> FileId {
        FileId::of(&fs::metadata(path).unwrap())
    }

    #[test]
    fn the_length_of_the_file_says_which_position_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let rotated = folder.path().join("out.1");
        let position = |after: &str| {
            let mut reached = Reached::open(&path).unwrap();
            let found = reached.position(&path, &rotated).unwrap();
            assert_eq!(found, after.as_bytes());
        };
        position("");
        fs::write(&path, "one\n").unwrap();
        let mut reached = Reached::open(&path).unwrap();
        reached.begins(id(&path), 0, 4, b"first", 7).unwrap();
        position("first");
        reached.arrived().unwrap();
        reached.begins(id(&path), 4, 8, b"second", 9).unwrap();
        position("first");
        // Killed in the middle of the write: what is there is cut off.
        fs::write(&path, "one\ntwo\nth").unwrap();
        position("first");
        assert_eq!(fs::read(&path).unwrap(), b"one\n");
        fs::write(&path, "one\ntwo\nthr\n").unwrap();
        position("second");
        fs::rename(&path, &rotated).unwrap();
        position("second");
        fs::remove_file(&rotated).unwrap();
        position("first");
        reached.arrived().unwrap();
        position("second");
        assert_eq!(Reached::open(&path).unwrap().begun(), 7);
    }

    #[test]
    fn a_torn_slot_leaves_that_of_the_batch_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let mut reached = Reached::open(&path).unwrap();
        reached.begins(ID, 0, 4, b"first", 1).unwrap();
        reached.arrived().unwrap();
        reached.begins(ID, 4, 4, b"second", 1).unwrap();
        reached.file.write_all_at(b"torn", at(3)).unwrap();
        let mut reached = Reached::open(&path).unwrap();
        assert_eq!(reached.position(&path, &path).unwrap(), b"first");
    }
}
