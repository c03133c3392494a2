//! `statefun.file.v1/egress`: a line of JSON for each record, appended to a file and synced.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::appended::Appended;
use crate::connectors::line::lines;
use crate::runtime::{HttpListeners, Listener, Sink, SinkBatch, StartError};
use crate::sdk::BoxError;

/// Appends `{"egress", "id", "type", "value"}` lines. A record counts as delivered when its line is on disk, in the file that the path names.
#[derive(Debug)]
pub(crate) struct FileEgress {
    /// For messages.
    place: String,
    file: Arc<Mutex<Appended>>,
}

impl FileEgress {
    /// Appends to the file at `path`.
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self {
            place: format!("file {}", path.display()),
            file: Arc::new(Mutex::new(Appended::new(path))),
        }
    }

    fn in_file<T>(&self, act: impl FnOnce(&mut Appended) -> T) -> T {
        act(&mut self.file.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Sink for FileEgress {
    async fn open(&mut self, _listeners: &HttpListeners) -> Result<Option<Listener>, StartError> {
        self.in_file(Appended::open)
            .map_err(|source| StartError::connector(self.place.clone(), source))?;
        Ok(None)
    }

    async fn deliver(&self, batch: &SinkBatch) -> Result<(), BoxError> {
        let file = Arc::clone(&self.file);
        let text = lines(batch);
        let append = move || {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.append(text.as_bytes())
        };
        let appended = tokio::task::spawn_blocking(append).await?;
        appended.map_err(|err| format!("{}: {err}", self.place).into())
    }
}
