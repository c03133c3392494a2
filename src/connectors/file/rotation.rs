//! Rotation of a file that is appended to: `out.jsonl` becomes `out.jsonl.1`, that becomes `out.jsonl.2`, and so on.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::folder::folder;

/// The rotated file `number` of `path`; 1 is the newest.
pub(super) fn rotated(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Renames the file, and moves those before it on. At most `keep` of them stay.
///
/// A crash at any point leaves every file under some number, in order: a number is free before a file is moved there, and the next rotation
/// uses a gap that was left.
pub(super) fn rotate(path: &Path, keep: u32) -> io::Result<()> {
    let mut free = 1;
    while free <= keep && rotated(path, free).try_exists()? {
        free += 1;
    }
    if free > keep {
        fs::remove_file(rotated(path, keep))?;
        free = keep;
    }
    for number in (1..free).rev() {
        fs::rename(rotated(path, number), rotated(path, number + 1))?;
    }
    fs::rename(path, rotated(path, 1))?;
    File::open(folder(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_move_on_in_order_fill_gaps_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let found = |number| fs::read_to_string(rotated(&path, number)).unwrap_or_default();
        for text in ["a", "b", "c", "d"] {
            fs::write(&path, text).unwrap();
            rotate(&path, 3).unwrap();
        }
        assert_eq!(
            [found(1), found(2), found(3), found(4)],
            ["d", "c", "b", ""]
        );
        // A crash between two renames.
        fs::rename(rotated(&path, 2), folder.path().join("away")).unwrap();
        fs::write(&path, "e").unwrap();
        rotate(&path, 3).unwrap();
        assert_eq!([found(1), found(2), found(3)], ["e", "d", "b"]);
        assert!(!path.exists());
    }
}
