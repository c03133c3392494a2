//! `statefun.file.v1/egress`: a line of JSON for each record, appended to a file and synced.

use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::connectors::line::lines;
use crate::runtime::{HttpListeners, Listener, Sink, SinkBatch, StartError};
use crate::sdk::BoxError;

/// Appends `{"egress", "id", "type", "value"}` lines. A record counts as delivered when its line is on disk.
#[derive(Debug)]
pub(crate) struct FileEgress {
    path: PathBuf,
    file: Option<Arc<Mutex<std::fs::File>>>,
}

impl FileEgress {
    /// Appends to the file at `path`.
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            file: None,
        }
    }
}

#[async_trait]
impl Sink for FileEgress {
    async fn open(&mut self, _listeners: &HttpListeners) -> Result<Option<Listener>, StartError> {
        let file = open(&self.path).map_err(|source| {
            StartError::connector(format!("file {}", self.path.display()), source)
        })?;
        self.file = Some(Arc::new(Mutex::new(file)));
        Ok(None)
    }

    async fn deliver(&self, batch: &SinkBatch) -> Result<(), BoxError> {
        let file = self.file.clone().ok_or("the file was not opened")?;
        let text = lines(batch);
        tokio::task::spawn_blocking(move || append(&file, text.as_bytes())).await??;
        Ok(())
    }
}

/// Opens the file, or creates it. An incomplete line left by a crash is cut off.
fn open(path: &Path) -> io::Result<std::fs::File> {
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)?;
    cut_half_line(&mut file)?;
    Ok(file)
}

/// Cuts the file after its last line feed, and seeks there.
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

/// Appends `text` completely or not at all.
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
            let file = Mutex::new(open(&path).unwrap());
            append(&file, b"new\n").unwrap();
            assert_eq!(
                std::fs::read_to_string(&path).unwrap(),
                format!("{after}new\n")
            );
        }
    }
}
