//! A disk in memory that loses power, runs full and fails on demand.

mod content;
mod file;
mod pages;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use content::{Change, FileState, after_power_loss};
use file::FaultyFile;

use crate::random::Random;
use crate::storage::{Disk, DiskFile, Room};

/// A [`Disk`] in memory with faults. Clones share one disk.
///
/// Files survive as far as [`Disk`] guarantees and no further: of the unsynced changes, [`lose_power`](Self::lose_power) keeps
/// those that the generator picks, and may tear each kept write at any byte.
#[derive(Clone, Default)]
pub struct FaultyDisk(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<DiskState>,
    locked: Arc<AtomicBool>,
}

#[derive(Default)]
struct DiskState {
    files: BTreeMap<String, Arc<Mutex<FileState>>>,
    /// The durable names, and their files.
    synced_names: BTreeMap<String, Arc<Mutex<FileState>>>,
    /// The names after each change that is not yet durable.
    unsynced_names: Vec<BTreeMap<String, Arc<Mutex<FileState>>>>,
    /// Bytes by which files may still grow.
    room: Option<u64>,
    failing_syncs: u32,
    /// Changes until the power is cut.
    power: Option<u64>,
    changes: u64,
}

impl DiskState {
    /// Releases the space of a file without a name.
    fn give_back(&mut self, gone: Option<Arc<Mutex<FileState>>>) {
        if let (Some(room), Some(gone)) = (&mut self.room, gone) {
            *room += lock(&gone).taken() as u64;
        }
    }

    /// How far a write to `file` from `offset` to `end` gets. Holes take no space until they are written.
    fn take_room(&mut self, file: &mut FileState, offset: usize, end: usize) -> usize {
        let in_holes = file.fill_holes(offset, end);
        let growth = end.saturating_sub(file.written.max(offset));
        if offset > file.written {
            file.holes.push(file.written..offset);
        }
        let Some(room) = &mut self.room else {
            return end;
        };
        let Some(left) = room.checked_sub(in_holes as u64) else {
            return offset;
        };
        let granted = growth.min(usize::try_from(left).unwrap_or(usize::MAX));
        *room = left - granted as u64;
        end - (growth - granted)
    }

    /// Must be called before each change; without power the change does not happen.
    fn use_power(&mut self) -> io::Result<()> {
        self.changes += 1;
        match &mut self.power {
            Some(0) => Err(io::Error::other("the power is off")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl FaultyDisk {
    /// The disk as the next start finds it if power is lost now. This disk stays unchanged.
    pub fn lose_power(&self, random: &mut Random) -> Self {
        let state = self.locked();
        let survivors =
            usize::try_from(random.below(state.unsynced_names.len() as u64 + 1)).unwrap_or(0);
        // Names are journalled, so a prefix of their changes survives.
        let names = match survivors.checked_sub(1) {
            Some(last) => state.unsynced_names.get(last),
            None => None,
        };
        let names = names.unwrap_or(&state.synced_names);
        let files = names.iter().map(|(name, file)| {
            let kept = after_power_loss(&lock(file), random);
            (name.clone(), Arc::new(Mutex::new(kept)))
        });
        Self::of(files.collect())
    }

    /// The disk as the next process finds it if this one is killed now: complete.
    pub fn kill(&self) -> Self {
        let state = self.locked();
        let files = state.files.iter();
        Self::of(
            files
                .map(|(name, file)| (name.clone(), Arc::new(Mutex::new(lock(file).clone()))))
                .collect(),
        )
    }

    fn of(files: BTreeMap<String, Arc<Mutex<FileState>>>) -> Self {
        let state = DiskState {
            synced_names: files.clone(),
            files,
            ..DiskState::default()
        };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            locked: Arc::default(),
        }))
    }

    /// From now on files can grow by a total of `bytes`; then writes are cut short and fail. `None` removes the limit.
    pub fn set_room(&self, bytes: Option<u64>) {
        self.locked().room = bytes;
    }

    /// The next `count` syncs of a file fail. The data they should have made durable is lost with the power, even if a later sync succeeds.
    pub fn fail_syncs(&self, count: u32) {
        self.locked().failing_syncs = count;
    }

    /// Allows `count` more changes (writes, truncations, syncs, new names); all later ones fail and change nothing, as if the process
    /// had ended there. [`lose_power`](Self::lose_power) then finds the disk of that moment.
    pub fn cut_power_after(&self, count: u64) {
        self.locked().power = Some(count);
    }

    /// The number of changes requested so far.
    pub fn changes(&self) -> u64 {
        self.locked().changes
    }

    /// The bytes of a file, as the process sees them.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let file = self.locked().files.get(name).cloned()?;
        let file = lock(&file);
        let mut bytes = vec![0; file.seen.len];
        file.seen.read(0, &mut bytes);
        Some(bytes)
    }

    /// Flips all bits of a byte of a file, durably, as a bad disk would.
    pub fn flip(&self, name: &str, offset: usize) {
        let file = self.locked().files.get(name).cloned();
        if let Some(file) = file {
            let mut file = lock(&file);
            let mut byte = [0];
            file.seen.read(offset, &mut byte);
            let bytes = byte.map(|byte| !byte).to_vec();
            let change = Change::Write { offset, bytes };
            change.apply_to(&mut file.seen);
            change.apply_to(&mut file.synced);
        }
    }

    fn locked(&self) -> MutexGuard<'_, DiskState> {
        lock(&self.0.state)
    }

    fn change_names<T>(
        &self,
        change: impl FnOnce(&mut DiskState) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.locked();
        state.use_power()?;
        let done = change(&mut state)?;
        let names = state.files.clone();
        state.unsynced_names.push(names);
        Ok(done)
    }

    fn handle(&self, state: &Arc<Mutex<FileState>>) -> Box<dyn DiskFile> {
        let (disk, state) = (self.clone(), Arc::clone(state));
        Box::new(FaultyFile { disk, state })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no file {name}"))
}

impl Disk for FaultyDisk {
    fn lock(&self) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let taken = self.0.locked.swap(true, Ordering::SeqCst);
        let lock = Lock(Arc::clone(&self.0.locked));
        if taken {
            std::mem::forget(lock);
            return Ok(None);
        }
        Ok(Some(Box::new(lock)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.locked().files.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = Arc::default();
        self.change_names(|state| {
            let gone = state.files.insert(name.to_owned(), Arc::clone(&file));
            state.give_back(gone);
            Ok(())
        })?;
        Ok(self.handle(&file))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let state = self.locked();
        let file = state.files.get(name).ok_or_else(|| missing(name))?;
        Ok(self.handle(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change_names(|state| {
            let file = state.files.remove(from).ok_or_else(|| missing(from))?;
            let gone = state.files.insert(to.to_owned(), file);
            state.give_back(gone);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change_names(|state| {
            let gone = state.files.remove(name).ok_or_else(|| missing(name))?;
            state.give_back(Some(gone));
            Ok(())
        })
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.locked();
        state.use_power()?;
        state.unsynced_names.clear();
        state.synced_names = state.files.clone();
        Ok(())
    }

    fn room(&self) -> io::Result<Room> {
        let state = self.locked();
        Ok(state.room.map_or(Room::ENDLESS, |free| Room {
            free,
            total: u64::MAX,
        }))
    }

    fn set_aside(&self, name: &str, bytes: u64) -> io::Result<()> {
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        self.create(name)?;
        {
            let mut state = self.locked();
            state.use_power()?;
            let file = state
                .files
                .get(name)
                .cloned()
                .ok_or_else(|| missing(name))?;
            let mut file = lock(&file);
            let reached = state.take_room(&mut file, 0, bytes);
            file.written = reached;
            file.apply(Change::SetLen(reached));
            if reached < bytes {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        self.open(name)?.sync_data()
    }
}

impl fmt::Display for FaultyDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty-disk")
    }
}

impl fmt::Debug for FaultyDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.locked();
        f.debug_struct("FaultyDisk")
            .field("files", &state.files.keys().collect::<Vec<_>>())
            .field("room", &state.room)
            .finish_non_exhaustive()
    }
}

struct Lock(Arc<AtomicBool>);

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(disk: &FaultyDisk, name: &str) -> Option<Vec<u8>> {
        disk.contents(name)
    }

    #[test]
    fn synced_bytes_of_a_synced_name_survive_every_loss_of_power() {
        let disk = FaultyDisk::default();
        let file = disk.create("a").unwrap();
        file.write_at(4000, &[7; 200]).unwrap();
        file.sync_data().unwrap();
        disk.sync_names().unwrap();
        let before = read(&disk, "a").unwrap();
        file.write_at(4200, &[8; 10]).unwrap();
        let mut random = Random::seeded(1);
        let after: Vec<_> = (0..200)
            .map(|_| read(&disk.lose_power(&mut random), "a").unwrap())
            .collect();
        assert!(after.iter().all(|bytes| bytes.starts_with(&before)));
        assert!(after.iter().any(|bytes| bytes.len() == 4200), "never lost");
        assert!(after.iter().any(|bytes| bytes.len() == 4210), "never kept");
        assert!(
            after
                .iter()
                .any(|bytes| (4201..4210).contains(&bytes.len())),
            "never torn"
        );
    }

    #[test]
    fn an_unsynced_name_may_be_gone_or_still_there() {
        let disk = FaultyDisk::default();
        disk.create("a").unwrap();
        disk.sync_names().unwrap();
        disk.rename("a", "b").unwrap();
        let mut random = Random::seeded(1);
        let after: Vec<_> = (0..50)
            .flat_map(|_| disk.lose_power(&mut random).list().unwrap())
            .collect();
        assert!(after.contains(&"a".to_owned()) && after.contains(&"b".to_owned()));
        assert_eq!(after.len(), 50, "always exactly one of them");
    }

    #[test]
    fn a_full_disk_takes_a_part_of_a_write_and_any_overwriting() {
        let disk = FaultyDisk::default();
        let file = disk.create("a").unwrap();
        disk.set_room(Some(10));
        let err = file.write_at(0, &[1; 12]).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::StorageFull);
        assert_eq!(file.len().unwrap(), 10);
        file.write_at(0, &[2; 10]).unwrap();
        assert!(file.write_at(10, &[1]).is_err());
        disk.set_room(None);
        file.write_at(10, &[1]).unwrap();
    }

    #[test]
    fn what_a_failed_sync_covered_is_seen_but_never_durable() {
        let disk = FaultyDisk::default();
        let file = disk.create("a").unwrap();
        disk.sync_names().unwrap();
        file.write_at(0, b"lost").unwrap();
        disk.fail_syncs(1);
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        assert_eq!(read(&disk.kill(), "a").unwrap(), b"lost");
        assert_eq!(
            read(&disk.lose_power(&mut Random::seeded(1)), "a").unwrap(),
            b""
        );
    }

    #[test]
    fn after_the_cut_nothing_changes() {
        let disk = FaultyDisk::default();
        let file = disk.create("a").unwrap();
        disk.sync_names().unwrap();
        disk.cut_power_after(1);
        file.write_at(0, b"abc").unwrap();
        assert!(
            file.sync_data().is_err()
                && file.write_at(0, b"x").is_err()
                && disk.remove("a").is_err()
        );
        assert_eq!(disk.contents("a").unwrap(), b"abc");
    }

    #[test]
    fn a_cut_file_grows_again_with_zeros() {
        let disk = FaultyDisk::default();
        let file = disk.create("a").unwrap();
        file.write_at(0, &[7; 9000]).unwrap();
        file.set_len(5000).unwrap();
        file.set_len(9000).unwrap();
        let bytes = read(&disk, "a").unwrap();
        assert!(
            bytes[..5000].iter().all(|byte| *byte == 7)
                && bytes[5000..].iter().all(|byte| *byte == 0)
        );
    }
}
