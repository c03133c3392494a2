//! `statefun.file.v1/egress`: a line of JSON for each record, appended to a file and synced.
//!
//! The position of the outbox is stored beside the file, so that the file has each record once, whatever is killed.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use super::appended::Appended;
use super::folder::folder;
use super::reached::Reached;
use super::rotation::{rotate, rotated};
use crate::connectors::line::lines;
use crate::module::{FileEgress, Rotation};
use crate::runtime::{HttpListeners, Listener, Sink, SinkBatch, SinkPosition, StartError};
use crate::sdk::BoxError;

/// Records of a batch: each batch costs two syncs.
const MAX_BATCH: usize = 4_096;
/// How often the age of a file is looked at, at least.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Appends `{"egress", "id", "type", "value"}` lines. A record counts as delivered when its line is on disk, in the file that the path names.
#[derive(Debug)]
pub(crate) struct FileSink {
    /// For messages.
    place: String,
    rotation: Option<Rotation>,
    output: Arc<Mutex<Output>>,
}

/// The file and the position in it.
#[derive(Debug)]
struct Output {
    path: PathBuf,
    file: Appended,
    /// `None` where the folder must not be written.
    reached: Option<Reached>,
    rotation: Option<Rotation>,
}

impl FileSink {
    pub(crate) fn new(spec: &FileEgress) -> Self {
        let output = Output {
            path: spec.path.clone(),
            file: Appended::new(spec.path.clone()),
            reached: None,
            rotation: spec.rotation,
        };
        Self {
            place: format!("file {}", spec.path.display()),
            rotation: spec.rotation,
            output: Arc::new(Mutex::new(output)),
        }
    }

    /// Does work on the file, where a thread may wait for the disk.
    async fn with_output<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Output) -> io::Result<T> + Send + 'static,
    ) -> Result<T, BoxError> {
        let output = Arc::clone(&self.output);
        let done = spawn_blocking(move || {
            work(&mut output.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await?
            .map_err(|err| format!("{}: {err}", self.place).into())
    }
}

#[async_trait]
impl Sink for FileSink {
    async fn open(&mut self, _listeners: &HttpListeners) -> Result<Option<Listener>, StartError> {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = output.open();
        opened.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => {
                let folder = folder(&output.path).display().to_string();
                let text = format!("its folder {folder} does not exist; make it");
                StartError::connector(self.place.clone(), text)
            }
            _ => StartError::connector(self.place.clone(), source),
        })?;
        Ok(None)
    }

    async fn position(&self) -> Result<Option<SinkPosition>, BoxError> {
        let stored = self.with_output(|output| output.position()).await?;
        let position = stored.map(|stored| SinkPosition::from_bytes(&stored));
        Ok(position.transpose()?)
    }

    async fn deliver(&self, batch: &SinkBatch) -> Result<(), BoxError> {
        let (text, position) = (lines(batch), batch.position().to_bytes());
        self.with_output(move |output| output.append(text.as_bytes(), &position))
            .await
    }

    fn max_batch(&self) -> usize {
        MAX_BATCH
    }

    /// Rotates a file whose time has come although no record does.
    async fn serve(&self, mut stop: watch::Receiver<bool>) {
        let every = self.rotation.and_then(|rotation| rotation.every);
        let Some(every) = every else {
            let _ = stop.wait_for(|stop| *stop).await;
            return;
        };
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(every.min(LOOK_AGAIN)) => {}
            }
            if let Err(failure) = self.with_output(|output| output.rotate_if_due(0)).await {
                warn!(%failure, "the file cannot be rotated now; will retry");
            }
        }
    }
}

impl Output {
    fn open(&mut self) -> io::Result<()> {
        self.reached = match Reached::open(&self.path) {
            Ok(reached) => {
                reached.lock()?;
                Some(reached)
            }
            Err(err) if is_refused(&err) && self.rotation.is_none() => {
                let (file, why) = (self.path.display(), err);
                warn!(%file, %why, "no position can be stored beside the file: it may have records twice after a crash");
                None
            }
            Err(err) => return Err(err),
        };
        // Not before it is known that no other process writes to it.
        self.file.open()
    }

    /// The stored position; `None` if there is never one.
    fn position(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(reached) = &mut self.reached else {
            return Ok(None);
        };
        let last = rotated(&self.path, 1);
        let position = reached.position(&self.path, &last)?;
        Ok(Some(position.to_vec()))
    }

    fn append(&mut self, text: &[u8], position: &[u8]) -> io::Result<()> {
        self.rotate_if_due(text.len())?;
        let Some(reached) = &mut self.reached else {
            return self.file.append(text, |_, _| Ok(()));
        };
        let path = &self.path;
        self.file.append(text, |file, from| {
            if from == 0 {
                // The folder may have been made again.
                reached.look_after(path)?;
            }
            reached.begins(file, from, text.len(), position, now())
        })?;
        reached.arrived()
    }

    /// Rotates the file, if `more` bytes would make it too large, or its time has come.
    fn rotate_if_due(&mut self, more: usize) -> io::Result<()> {
        let (Some(rotation), Some(reached)) = (self.rotation, &self.reached) else {
            return Ok(());
        };
        let length = match std::fs::metadata(&self.path) {
            Ok(metadata) => metadata.len(),
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(err) => return Err(err),
        };
        let with_more = length.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
        let is_large = rotation.max_bytes.is_some_and(|max| with_more > max.get());
        let age = Duration::from_millis(now().saturating_sub(reached.begun()));
        let is_old = rotation.every.is_some_and(|every| age >= every);
        if length == 0 || !(is_large || is_old) {
            return Ok(());
        }
        self.file.close();
        rotate(&self.path, rotation.keep.get())?;
        let file = self.path.display();
        info!(%file, bytes = length, "the file was rotated");
        Ok(())
    }
}

/// Whether the folder must not be written.
fn is_refused(err: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(err.kind(), PermissionDenied | ReadOnlyFilesystem)
}

/// Milliseconds of wall time: the age of a file outlives the process.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
