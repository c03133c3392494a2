//! The folder of a file: what its path names, and files that were rotated.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::position::{FileId, Modified, Position};
use super::tracked::Tracked;

/// Ends of the names of compressed files.
const COMPRESSED: &[&str] = &["gz", "bz2", "xz", "zst", "lz4", "Z"];

/// What a path names.
#[derive(Debug)]
pub(super) enum Named {
    File(FileId),
    /// No file, for this reason.
    Nothing(String),
}

/// What `path` names now.
pub(super) fn named(path: &Path) -> Named {
    let kind = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => return Named::File(FileId::of(&metadata)),
        Ok(metadata) => metadata.file_type(),
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            let folder = folder(path);
            let text = match folder.try_exists() {
                Ok(false) => format!("its folder {} does not exist", folder.display()),
                _ => "the file does not exist".to_owned(),
            };
            return Named::Nothing(text);
        }
        Err(err) => return Named::Nothing(err.to_string()),
    };
    Named::Nothing(match kind.is_dir() {
        true => "it is a folder; name a file in it".to_owned(),
        false => "it is a pipe, a socket or a device; name a regular file, or read standard input with `path: \"-\"`".to_owned(),
    })
}

/// How often a folder is listed until nothing has moved meanwhile.
const LISTINGS: usize = 20;

/// A file in the folder.
#[derive(Debug)]
pub(super) struct Sibling {
    pub(super) path: PathBuf,
    pub(super) id: FileId,
    pub(super) size: u64,
    pub(super) modified: Modified,
}

/// All regular files in the folder of `path`, in the order in which they were modified.
pub(super) fn siblings(path: &Path) -> io::Result<Vec<Sibling>> {
    // A listing misses files that get another name meanwhile.
    let mut found = list(path)?;
    for _ in 0..LISTINGS {
        let again = list(path)?;
        let is_same = places(&again) == places(&found);
        found = again;
        if is_same {
            break;
        }
    }
    found.sort_by_key(|sibling| sibling.modified);
    Ok(found)
}

/// The names of files, and which files they name.
fn places(files: &[Sibling]) -> BTreeMap<&Path, FileId> {
    let places = files.iter().map(|file| (file.path.as_path(), file.id));
    places.collect()
}

fn list(path: &Path) -> io::Result<Vec<Sibling>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder(path))? {
        let entry = entry?;
        // Files come and go while they are listed.
        let Ok(metadata) = fs::metadata(entry.path()) else {
            continue;
        };
        if metadata.is_file() {
            found.push(Sibling {
                path: entry.path(),
                id: FileId::of(&metadata),
                size: metadata.len(),
                modified: Modified::of(&metadata),
            });
        }
    }
    Ok(found)
}

impl Sibling {
    /// Opens it.
    ///
    /// # Errors
    /// `NotFound` also if its path names another file by now: the listing is out of date.
    pub(super) fn open(&self) -> io::Result<File> {
        let file = File::open(&self.path)?;
        match FileId::of(&file.metadata()?) == self.id {
            true => Ok(file),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Whether the name is one that a rotation of `path` gives: its name, then `.` or `-` and something with a digit, not compressed.
    pub(super) fn is_rotation_of(&self, path: &Path) -> bool {
        let name = |path: &Path| path.file_name().map(OsStr::to_string_lossy).map(Into::into);
        let (own, of): (Option<String>, Option<String>) = (name(&self.path), name(path));
        let Some(rest) = own
            .as_deref()
            .zip(of.as_deref())
            .and_then(|(own, of)| own.strip_prefix(of))
        else {
            return false;
        };
        let is_compressed = COMPRESSED
            .iter()
            .any(|end| self.path.extension().is_some_and(|own| own == *end));
        rest.starts_with(['.', '-'])
            && rest.contains(|c: char| c.is_ascii_digit())
            && !is_compressed
    }
}

/// The file of a position under whatever name, if it was not changed before the position. At its beginning nothing but its name says that it is
/// the same file, because inodes are used again.
///
/// # Errors
/// `NotFound` if a file got another name since it was listed.
pub(super) fn renamed(
    siblings: &[Sibling],
    path: &Path,
    position: &Position,
) -> io::Result<Option<Tracked>> {
    let same = siblings.iter().filter(|sibling| {
        // The number of a device may change with a restart of the machine.
        let is_same = sibling.id.inode == position.file.inode;
        let is_named = sibling.path.file_name() == path.file_name() || sibling.is_rotation_of(path);
        is_same && (position.cursor.byte > 0 || is_named)
    });
    first_with(same, position)
}

/// A copy of the file that was made before the file was truncated.
///
/// # Errors
/// `NotFound` if a file got another name since it was listed.
pub(super) fn copied(siblings: &[Sibling], position: &Position) -> io::Result<Option<Tracked>> {
    let copies = siblings.iter().filter(|sibling| {
        let is_other = sibling.id != position.file;
        let has_more = sibling.size >= position.cursor.byte && position.cursor.byte > 0;
        is_other && has_more && sibling.modified >= position.modified
    });
    first_with(copies, position)
}

fn first_with<'a>(
    candidates: impl Iterator<Item = &'a Sibling>,
    position: &Position,
) -> io::Result<Option<Tracked>> {
    for candidate in candidates {
        let resumed = candidate
            .open()
            .and_then(|file| Tracked::resume(file, position));
        match resumed {
            Ok(Some(found)) => return Ok(Some(found)),
            Ok(None) => {}
            Err(err) => {
                let text = format!("{}: {err}", candidate.path.display());
                return Err(io::Error::new(err.kind(), text));
            }
        }
    }
    Ok(None)
}

/// The folder of a file.
pub(super) fn folder(path: &Path) -> &Path {
    let parent = path.parent();
    let parent = parent.filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}
