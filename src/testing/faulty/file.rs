//! An open file of the disk.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::content::{Change, FileState};
use super::{DiskState, FaultyDisk, lock};
use crate::storage::DiskFile;

pub(super) struct FaultyFile {
    pub(super) disk: FaultyDisk,
    pub(super) state: Arc<Mutex<FileState>>,
}

impl FaultyFile {
    /// Disk and file, for changing the file. Always locked in this order, so that a crash sees all files at one moment.
    fn locked(&self) -> (MutexGuard<'_, DiskState>, MutexGuard<'_, FileState>) {
        let disk = self.disk.locked();
        (disk, lock(&self.state))
    }
}

impl DiskFile for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.state).seen.len as u64)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let file = lock(&self.state);
        if offset + out.len() > file.seen.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.seen.read(offset, out);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let (mut disk, mut file) = self.locked();
        disk.use_power()?;
        let end = offset + bytes.len();
        let reached = disk.take_room(&mut file, offset, end);
        let written = bytes
            .get(..reached.saturating_sub(offset))
            .unwrap_or_default()
            .to_vec();
        if !written.is_empty() {
            file.apply(Change::Write {
                offset,
                bytes: written,
            });
        }
        file.written = file.written.max(reached);
        if reached < end {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let (mut disk, mut file) = self.locked();
        disk.use_power()?;
        let before = file.taken();
        file.apply(Change::SetLen(len));
        file.written = file.written.min(len);
        file.holes.retain(|hole| hole.start < len);
        for hole in &mut file.holes {
            hole.end = hole.end.min(len);
        }
        if let Some(room) = &mut disk.room {
            *room += before.saturating_sub(file.taken()) as u64;
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let (mut disk, mut file) = self.locked();
        disk.use_power()?;
        let unsynced = std::mem::take(&mut file.unsynced);
        if disk.failing_syncs > 0 {
            disk.failing_syncs -= 1;
            return Err(io::Error::other("sync failed as told"));
        }
        for change in unsynced {
            change.apply_to(&mut file.synced);
        }
        Ok(())
    }
}

impl fmt::Debug for FaultyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyFile").finish_non_exhaustive()
    }
}
