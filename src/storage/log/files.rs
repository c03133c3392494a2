//! Detects that the folder, or a file that the next start needs, was removed while the store is running.

use std::io;

use super::store::LogStore;

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
}
