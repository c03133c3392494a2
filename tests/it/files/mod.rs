//! Files in and out: followed through rotations, rotated, and killed on the way.

mod conformance;
mod egress;
mod ingress;
mod kills;
mod stdin;

use std::fs::{self, DirEntry, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Appends `text` to the file at `path`, which is made if it does not exist.
fn append(path: &Path, text: &str) {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

/// The file at `path`, moved on under the name with this number.
fn numbered(path: &Path, number: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// The text of the file at `path` and of all that were moved on from it, the oldest first. A file that moves on meanwhile may be missing in it, but is
/// never there twice; a crash may leave a number free.
fn rotated_text(path: &Path) -> String {
    let name = format!("{}.", path.file_name().unwrap().display());
    let number = |entry: io::Result<DirEntry>| {
        let own = entry.unwrap().file_name();
        own.to_str()?.strip_prefix(&name)?.parse().ok()
    };
    let folder = fs::read_dir(path.parent().unwrap()).unwrap();
    let mut numbers: Vec<u64> = folder.filter_map(number).collect();
    numbers.sort_unstable();
    let rotated = numbers.into_iter().rev();
    let files = rotated.map(|number| numbered(path, number));
    files
        .chain([path.to_owned()])
        .map(|file| fs::read_to_string(file).unwrap_or_default())
        .collect()
}

/// How a program that rotates logs does it.
#[derive(Debug, Clone, Copy)]
enum Turn {
    /// The file gets another name, and a new one is made when something is written.
    Renamed,
    /// The file is copied and emptied.
    CopiedAndTruncated,
}

impl Turn {
    /// Rotates the file at `path`. What is written afterwards has a later time: only that tells in which order the files were written.
    fn rotate(self, path: &Path, number: u64) {
        self.turn(path, number);
        let probe = path.with_file_name("probe");
        let time = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
        loop {
            fs::write(&probe, "").unwrap();
            if time(&probe) > time(&numbered(path, number)) {
                return;
            }
        }
    }

    fn turn(self, path: &Path, number: u64) {
        let aside = numbered(path, number);
        match self {
            Self::Renamed => fs::rename(path, aside).unwrap(),
            Self::CopiedAndTruncated => {
                fs::copy(path, aside).unwrap();
                OpenOptions::new()
                    .write(true)
                    .open(path)
                    .unwrap()
                    .set_len(0)
                    .unwrap();
            }
        }
    }
}
