//! A read-only view of a folder: all changes stay in memory.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile, Folder, LOCK, Room};

/// A read-only view of a store's folder. The disk may be read-only, and several views may be open, but not while a runtime has the folder open.
///
/// Changes are kept in memory; a store on it makes no checkpoints.
#[derive(Debug, Clone)]
pub struct Untouched {
    folder: Folder,
    /// Changed files; `None` if removed.
    changed: Arc<Mutex<BTreeMap<String, Option<Arc<Sheet>>>>>,
}

impl Untouched {
    /// The folder at `path`, which exists.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            folder: Folder::new(path),
            changed: Arc::default(),
        }
    }

    fn changed(&self) -> MutexGuard<'_, BTreeMap<String, Option<Arc<Sheet>>>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sheet(&self, name: &str) -> io::Result<Arc<Sheet>> {
        let mut changed = self.changed();
        match changed.get(name) {
            Some(Some(sheet)) => Ok(Arc::clone(sheet)),
            Some(None) => Err(io::ErrorKind::NotFound.into()),
            None => {
                let file = File::open(self.folder.path().join(name))?;
                let sheet = Arc::new(Sheet::over(file)?);
                changed.insert(name.to_owned(), Some(Arc::clone(&sheet)));
                Ok(sheet)
            }
        }
    }
}

impl fmt::Display for Untouched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.folder.fmt(f)
    }
}

impl Disk for Untouched {
    fn lock(&self) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let file = match File::open(self.folder.path().join(LOCK)) {
            Ok(file) => file,
            // A copy of a folder without it, which no process has open.
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Some(Box::new(()))),
            Err(err) => return Err(err),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(err)) => Err(err),
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = self.folder.list()?;
        for (name, sheet) in &*self.changed() {
            names.retain(|kept| kept != name);
            names.extend(sheet.as_ref().map(|_| name.clone()));
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let sheet = Arc::new(Sheet::default());
        self.changed()
            .insert(name.to_owned(), Some(Arc::clone(&sheet)));
        Ok(Box::new(Handle(sheet)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(Handle(self.sheet(name)?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let sheet = self.sheet(from)?;
        let mut changed = self.changed();
        changed.insert(from.to_owned(), None);
        changed.insert(to.to_owned(), Some(sheet));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.changed().insert(name.to_owned(), None);
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }

    fn room(&self) -> io::Result<Room> {
        Ok(Room::ENDLESS)
    }

    fn set_aside(&self, _: &str, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn is_lasting(&self) -> bool {
        false
    }
}

/// A file, with the changed pages.
#[derive(Debug, Default)]
struct Sheet {
    below: Option<File>,
    state: Mutex<Written>,
}

#[derive(Debug, Default)]
struct Written {
    len: u64,
    /// The file below is valid up to here.
    kept: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

const PAGE: usize = 4096;

impl Sheet {
    fn over(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let written = Written {
            len,
            kept: len,
            pages: BTreeMap::new(),
        };
        Ok(Self {
            below: Some(file),
            state: Mutex::new(written),
        })
    }

    fn state(&self) -> MutexGuard<'_, Written> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills `out`, which is all zeros, from the file below.
    fn read_below(&self, kept: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = usize::try_from(kept.saturating_sub(offset)).unwrap_or(usize::MAX);
        let there = there.min(out.len());
        match (&self.below, out.get_mut(..there)) {
            (Some(file), Some(part)) => file.read_exact_at(part, offset),
            _ => Ok(()),
        }
    }
}

#[derive(Debug)]
struct Handle(Arc<Sheet>);

impl DiskFile for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.state().len)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.0.state();
        if offset + out.len() as u64 > state.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        out.fill(0);
        self.0.read_below(state.kept, offset, out)?;
        if state.pages.is_empty() {
            return Ok(());
        }
        for (page, within, part) in pages(offset, out.len()) {
            if let (Some(page), Some(to)) = (state.pages.get(&page), out.get_mut(part)) {
                let from = page.get(within..within + to.len()).unwrap_or_default();
                to.copy_from_slice(from);
            }
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.0.state();
        let kept = state.kept;
        for (number, within, part) in pages(offset, bytes.len()) {
            let from = bytes.get(part).unwrap_or_default();
            let page = match state.pages.entry(number) {
                std::collections::btree_map::Entry::Occupied(page) => page.into_mut(),
                std::collections::btree_map::Entry::Vacant(place) => {
                    let mut page = vec![0; PAGE];
                    self.0.read_below(kept, number * PAGE as u64, &mut page)?;
                    place.insert(page)
                }
            };
            if let Some(to) = page.get_mut(within..within + from.len()) {
                to.copy_from_slice(from);
            }
        }
        state.len = state.len.max(offset + bytes.len() as u64);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.0.state();
        if len < state.len {
            state.kept = state.kept.min(len);
            state.pages.split_off(&len.div_ceil(PAGE as u64));
            let within = usize::try_from(len % PAGE as u64).unwrap_or(0);
            if let Some(page) = state.pages.get_mut(&(len / PAGE as u64)) {
                page.get_mut(within..).unwrap_or_default().fill(0);
            }
        }
        state.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Splits `len` bytes from `offset` at page boundaries: the page number, the start within the page, and the range in the whole.
fn pages(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = usize::try_from(at % PAGE as u64).unwrap_or(0);
        let part = (PAGE - within).min(len - done);
        let range = done..done + part;
        done += part;
        (part > 0).then_some((at / PAGE as u64, within, range))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_change_in_memory_and_the_folder_stays_as_it_is() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("a"), vec![7; 10_000]).unwrap();
        let disk = Untouched::new(temp.path());
        let file = disk.open("a").unwrap();
        file.write_at(5_000, &[1; 6_000]).unwrap();
        let mut out = vec![9; 11_000];
        file.read_at(0, &mut out).unwrap();
        assert!(out[..5_000].iter().all(|byte| *byte == 7) && out[5_000..] == [1; 6_000]);
        file.set_len(4_000).unwrap();
        file.set_len(9_000).unwrap();
        let mut out = vec![9; 9_000];
        file.read_at(0, &mut out).unwrap();
        assert!(
            out[..4_000].iter().all(|byte| *byte == 7)
                && out[4_000..].iter().all(|byte| *byte == 0)
        );
        disk.rename("a", "b").unwrap();
        disk.create("c").unwrap().write_at(0, b"new").unwrap();
        let mut names = disk.list().unwrap();
        names.sort();
        assert_eq!(names, ["b", "c"]);
        assert!(disk.open("a").is_err());
        disk.remove("b").unwrap();
        assert_eq!(
            std::fs::read(temp.path().join("a")).unwrap(),
            vec![7; 10_000]
        );
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1);
    }
}
