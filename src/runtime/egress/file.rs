//! `statefun.file.v1/egress`: a line of JSON for each record, appended to a file and synced.

use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::{Egress, EgressRecord, json_line};
use crate::sdk::{BoxError, TypeName};

/// Appends `{"egress", "id", "type", "value"}` lines. A record counts as delivered when its line is on disk.
#[derive(Debug)]
pub(crate) struct FileEgress {
    name: TypeName,
    file: Arc<Mutex<std::fs::File>>,
}

impl FileEgress {
    /// Opens the file, and makes it when it does not exist. A half line that a crash left is cut off.
    pub(crate) fn open(name: TypeName, path: &Path) -> io::Result<Self> {
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)?;
        cut_half_line(&mut file)?;
        Ok(Self {
            name,
            file: Arc::new(Mutex::new(file)),
        })
    }
}

/// Ends the file behind its last line feed, and stands there.
fn cut_half_line(file: &mut std::fs::File) -> io::Result<()> {
    use std::io::Read as _;
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut block = vec![0; 4096];
    while end > 0 {
        let length = end.min(4096);
        let start = end - length;
        file.seek(SeekFrom::Start(start))?;
        let part = block
            .get_mut(..usize::try_from(length).unwrap_or(0))
            .unwrap_or_default();
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            end = start + u64::try_from(at).unwrap_or(0) + 1;
            break;
        }
        end = start;
    }
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))?;
    Ok(())
}

#[async_trait]
impl Egress for FileEgress {
    async fn deliver(&self, records: &[EgressRecord]) -> Result<(), BoxError> {
        let mut text = String::new();
        for record in records {
            text.push_str(&json_line(&self.name, record));
            text.push('\n');
        }
        let file = Arc::clone(&self.file);
        tokio::task::spawn_blocking(move || append(&file, text.as_bytes())).await??;
        Ok(())
    }
}

/// Appends all of `text`, or nothing of it.
fn append(file: &Mutex<std::fs::File>, text: &[u8]) -> io::Result<()> {
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    let before = file.stream_position()?;
    let written = file.write_all(text).and_then(|()| file.sync_data());
    if written.is_err() {
        file.set_len(before)?;
        file.seek(SeekFrom::Start(before))?;
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_line_from_a_crash_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let long = format!("{{\"a\":1}}\n{}", "x".repeat(10_000));
        for (before, after) in [
            ("", ""),
            ("half", ""),
            ("one\ntwo\n", "one\ntwo\n"),
            (&long, "{\"a\":1}\n"),
        ] {
            std::fs::write(&path, before).unwrap();
            let egress = FileEgress::open(TypeName::new("a/b"), &path).unwrap();
            append(&egress.file, b"new\n").unwrap();
            assert_eq!(
                std::fs::read_to_string(&path).unwrap(),
                format!("{after}new\n")
            );
        }
    }
}
