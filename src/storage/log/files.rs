//! Detects that the folder, or a file that the next start needs, was removed while the store is running.

use std::io;

use super::super::REACHED;
use super::super::disk::LOCK;
use super::super::tables;
use super::store::LogStore;
use super::writer::segment_name;

impl LogStore {
    /// Closes the store if acknowledged data would not outlive the process.
    ///
    /// A removed file still accepts bytes and syncs, so nothing else would show this.
    pub(super) fn look_at_files(&self) {
        if self.closed_reason().is_some() {
            return;
        }
        let Some(gone) = self.gone() else {
            return;
        };
        self.close(&format!(
            "{gone} while it was in use, and with it what was acknowledged; save what is needed before this process ends (`statefun state export` still \
             reads it), and restore a backup"
        ));
    }

    /// What is missing, as a message; `None` also if the folder cannot be read.
    fn gone(&self) -> Option<String> {
        let folder = &self.disk;
        let (needed, is_linked) = self.needed_files().ok()?;
        let names = match folder.list() {
            Ok(names) => names,
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                return Some(format!("data folder {folder} was removed"));
            }
            Err(_) => return None,
        };
        if let Some(gone) = needed.iter().find(|name| !names.contains(name)) {
            // A checkpoint may have removed it meanwhile, because it is no longer needed.
            let (still_needed, _) = self.needed_files().ok()?;
            if !still_needed.contains(gone) {
                return None;
            }
            return Some(format!("file {gone} was removed from data folder {folder}"));
        }
        // The name may belong to another file.
        (!is_linked).then(|| format!("data folder {folder} was replaced by another one"))
    }

    /// The files that a start would need now, and whether the first of them, which gets the next round, still has a name.
    fn needed_files(&self) -> io::Result<(Vec<String>, bool)> {
        let syncing = self.syncing.lock().expect("the syncer does not panic");
        let mut needed = vec![syncing.writer.file_name()];
        let is_linked = syncing.writer.is_linked()?;
        drop(syncing);
        let state = self.locked();
        let finished = state.finished.iter();
        needed.extend(finished.map(|finished| segment_name(finished.segment)));
        drop(state);
        let tables = self.tables.lock().expect("a checkpoint does not panic");
        for (name, is_there) in [
            (REACHED, true),
            (LOCK, self.has_lock_file),
            (tables::FILE, tables.exists()),
        ] {
            needed.extend(is_there.then(|| name.to_owned()));
        }
        Ok((needed, is_linked))
    }
}
