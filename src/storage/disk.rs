//! The file layer: the few operations on a folder of files that log and tables need, so that tests can simulate a disk.

use std::any::Any;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A flat folder of files. All names are chosen by this crate.
///
/// Guaranteed to survive a crash: the bytes of a file up to its last [`DiskFile::sync_data`], and the set of files up
/// to the last [`sync_names`](Disk::sync_names). All other changes may or may not survive, in any mixture.
pub trait Disk: fmt::Debug + fmt::Display + Send + Sync {
    /// Locks the folder, creating it if necessary. Dropping the result unlocks it. `None` if it is already locked.
    ///
    /// # Errors
    ///
    /// When the folder cannot be created or locked.
    fn lock(&self) -> io::Result<Option<Box<dyn Any + Send + Sync>>>;

    /// The names of all files, in no order.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Creates an empty file, replacing an existing one.
    ///
    /// # Errors
    ///
    /// When it cannot be created.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Opens the file, which exists.
    ///
    /// # Errors
    ///
    /// When it does not exist or cannot be opened.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Renames the file, replacing a file with the new name. Open handles stay with the file.
    ///
    /// # Errors
    ///
    /// When it does not exist or cannot be renamed.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes the file.
    ///
    /// # Errors
    ///
    /// When it does not exist or cannot be removed.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes all creations, renames and removals durable.
    ///
    /// # Errors
    ///
    /// If the disk fails; it is then unknown what is durable.
    fn sync_names(&self) -> io::Result<()>;

    /// The free space.
    ///
    /// # Errors
    ///
    /// If it cannot be determined.
    fn room(&self) -> io::Result<Room>;

    /// Durably creates a file that takes `bytes` of disk space, with any content.
    ///
    /// # Errors
    ///
    /// If there is not enough space; a part of the file may exist then.
    fn set_aside(&self, name: &str, bytes: u64) -> io::Result<()>;

    /// Whether written data outlives the process. If not, work for later starts is skipped.
    fn is_lasting(&self) -> bool {
        true
    }
}

/// The space of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "implementers of `Disk` make it")]
pub struct Room {
    /// Bytes that can still be written.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

impl Room {
    /// A disk without limits.
    pub const ENDLESS: Self = Self {
        free: u64::MAX,
        total: u64::MAX,
    };
}

/// An open file, read and written at offsets, by one writer and any number of readers.
#[expect(
    clippy::len_without_is_empty,
    reason = "the length of a file, not of a collection"
)]
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// The length in bytes.
    ///
    /// # Errors
    ///
    /// If it cannot be determined.
    fn len(&self) -> io::Result<u64>;

    /// Fills `out` with the bytes from `offset`.
    ///
    /// # Errors
    ///
    /// When they cannot be read, or the file ends before.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`, growing the file as needed.
    ///
    /// # Errors
    ///
    /// When not all could be written; a part of them may have been.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file to `len`, or grows it with zeros.
    ///
    /// # Errors
    ///
    /// When it cannot be done.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes all bytes and the length durable.
    ///
    /// # Errors
    ///
    /// If the disk fails; it is then unknown what is durable, and another attempt on this file would prove nothing.
    fn sync_data(&self) -> io::Result<()>;

    /// Whether the file still has a name: one that was removed from outside accepts bytes, but is lost with the process.
    ///
    /// # Errors
    ///
    /// If it cannot be determined.
    fn is_linked(&self) -> io::Result<bool> {
        Ok(true)
    }
}

/// Whether `err` means that the disk is full: nothing is damaged, and the same write may succeed later.
pub(super) fn is_full(err: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull, WriteZero};
    matches!(err.kind(), StorageFull | QuotaExceeded | WriteZero)
}

/// A folder of the file system (Unix).
///
/// Folder and files are accessible by their owner only (0700 and 0600). The modes of an existing folder are corrected, unless other files are in it.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at `path`; it is created when a store is opened in it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    fn open_with(&self, options: &OpenOptions, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = options.open(self.0.join(name))?;
        Ok(Box::new(FileInFolder(file)))
    }
}

/// The file that is locked. Earlier versions created it first.
pub(super) const LOCK: &str = "lock";

impl Folder {
    /// The folder's path.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    fn make(&self) -> io::Result<()> {
        let parent = self.0.parent();
        let parent = parent.filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        fs::create_dir_all(parent)?;
        match DirBuilder::new().mode(0o700).create(&self.0) {
            Err(err) if err.kind() != io::ErrorKind::AlreadyExists => return Err(err),
            _ => {}
        }
        File::open(parent)?.sync_all()
    }

    /// Removes access by group and others from our files, and from the folder if nothing else is in it.
    fn mend_modes(&self) -> io::Result<()> {
        let (mut open, mut foreign) = (Vec::new(), false);
        let was_used = self.list()?.iter().any(|name| super::log::is_segment(name));
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let name = entry.file_name();
            if !name.to_str().is_some_and(super::is_ours) {
                foreign = true;
            } else if entry.metadata()?.permissions().mode() & 0o077 != 0 {
                open.push(entry.path());
            }
        }
        let of_folder = fs::metadata(&self.0)?.permissions().mode();
        let mut mended = !open.is_empty();
        for path in open {
            fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        }
        if of_folder & 0o077 != 0 && !foreign {
            fs::set_permissions(&self.0, Permissions::from_mode(0o700))?;
            mended = true;
        }
        if mended && was_used {
            tracing::warn!(folder = %self, "others could read the data folder; its modes are 0700 and 0600 now");
        } else if of_folder & 0o077 != 0 && foreign {
            tracing::warn!(folder = %self, "the data folder holds other files and is left open to others: give it one of its own, with mode 0700");
        }
        Ok(())
    }
}

impl Disk for Folder {
    fn lock(&self) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        match fs::metadata(&self.0) {
            Ok(there) if there.is_dir() => {}
            Ok(_) => {
                let text = "it is a file; name a folder, or a new one";
                return Err(io::Error::new(io::ErrorKind::NotADirectory, text));
            }
            Err(_) => self.make()?,
        }
        let mut options = private();
        options.create(true).truncate(false);
        let lock = self.0.join(LOCK);
        if !lock.exists() {
            // It distinguishes this new folder from one of an earlier version that has lost its log.
            options.open(self.0.join(super::REACHED))?;
        }
        let file = options.open(lock)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(err)) => return Err(err),
        }
        if let Err(err) = self.mend_modes() {
            tracing::warn!(folder = %self, error = %err, "others may read the data folder, and its modes cannot be changed");
        }
        Ok(Some(Box::new(file)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.0)?.map(|entry| Ok(entry?.file_name()));
        let names: io::Result<Vec<_>> = names.collect();
        // A name that is not UTF-8 is none of ours.
        Ok(names?
            .into_iter()
            .filter_map(|name| name.into_string().ok())
            .collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.open_with(private().create(true).truncate(true), name)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.open_with(&private(), name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }

    fn room(&self) -> io::Result<Room> {
        let told = rustix::fs::statvfs(&self.0)?;
        Ok(Room {
            free: told.f_bavail.saturating_mul(told.f_frsize),
            total: told.f_blocks.saturating_mul(told.f_frsize),
        })
    }

    fn set_aside(&self, name: &str, bytes: u64) -> io::Result<()> {
        let file = private()
            .create(true)
            .truncate(true)
            .open(self.0.join(name))?;
        let flags = rustix::fs::FallocateFlags::empty();
        match rustix::fs::fallocate(&file, flags, 0, bytes) {
            Ok(()) => {}
            // Not every file system knows this.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                write_zeros(&file, bytes)?
            }
            Err(err) => return Err(err.into()),
        }
        file.sync_all()
    }
}

fn write_zeros(file: &File, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut at = 0;
    while at < bytes {
        let part = (bytes - at).min(zeros.len() as u64);
        let part = zeros.get(..usize::try_from(part).unwrap_or(zeros.len()));
        let part = part.unwrap_or(&zeros);
        file.write_all_at(part, at)?;
        at += part.len() as u64;
    }
    Ok(())
}

/// Read and written by the owner alone.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

#[derive(Debug)]
struct FileInFolder(File);

impl DiskFile for FileInFolder {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn is_linked(&self) -> io::Result<bool> {
        Ok(self.0.metadata()?.nlink() > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_user_at_a_time() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("deep/in/data");
        let (one, two) = (Folder::new(&path), Folder::new(&path));
        let lock = one.lock().unwrap();
        assert!(lock.is_some());
        assert!(two.lock().unwrap().is_none());
        assert!(one.lock().unwrap().is_none(), "the same process counts too");
        drop(lock);
        assert!(two.lock().unwrap().is_some());
    }

    #[test]
    fn files_are_created_renamed_and_removed() {
        let temp = tempfile::tempdir().unwrap();
        let disk = Folder::new(temp.path());
        assert!(disk.open("a").is_err());
        let file = disk.create("a").unwrap();
        file.write_at(3, b"abc").unwrap();
        disk.rename("a", "b").unwrap();
        disk.sync_names().unwrap();
        assert_eq!(disk.list().unwrap(), ["b"]);
        let again = disk.open("b").unwrap();
        let mut out = [9; 6];
        again.read_at(0, &mut out).unwrap();
        assert_eq!(&out, b"\0\0\0abc");
        assert!(again.read_at(1, &mut out).is_err(), "past the end");
        file.set_len(2).unwrap();
        assert_eq!(again.len().unwrap(), 2);
        file.sync_data().unwrap();
        disk.remove("b").unwrap();
        assert!(disk.list().unwrap().is_empty());
    }
}
