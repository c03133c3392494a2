//! `statefun.file.v1/ingress`: lines of a file, or of standard input, become messages.
//!
//! The position behind the lines is stored together with them, so each line takes effect once. Lines that cannot be read are set aside.

use std::io;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use super::folder::{Named, named};
use super::gather::Gatherer;
use super::reader::{Reader, Step};
use super::stdin::Stdin;
use crate::module::FileIngress;
use crate::runtime::{HttpListeners, Inlet, Listener, Source, StartError};
use crate::sdk::BoxError;

/// The wait after which a file at its end is looked at again; it doubles while nothing comes.
const FIRST_WAIT: Duration = Duration::from_millis(1);
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// Follows a file.
#[derive(Debug)]
pub(crate) struct FileSource {
    spec: FileIngress,
    /// Standard input, once it is read.
    stdin: Option<Stdin>,
}

impl FileSource {
    pub(crate) const fn new(spec: FileIngress) -> Self {
        Self { spec, stdin: None }
    }
}

#[async_trait]
impl Source for FileSource {
    /// Refuses anything but a file. A file that does not exist yet is waited for.
    async fn open(&mut self, _listeners: &HttpListeners) -> Result<Option<Listener>, StartError> {
        if self.spec.is_stdin() {
            return Ok(None);
        }
        let path = self.spec.path.clone();
        let looked = spawn_blocking(move || look(&path)).await;
        let looked = looked.unwrap_or_else(|failure| Err(io::Error::other(failure)));
        looked.map_err(|fault| {
            let (id, path) = (&self.spec.id, self.spec.path.display());
            StartError::connector(format!("file {path} of ingress {id}"), fault)
        })?;
        Ok(None)
    }

    async fn run(&mut self, inlet: &Inlet) -> Result<(), BoxError> {
        let (json_type, most) = (self.spec.json_type.clone(), self.spec.max_line_bytes);
        let gatherer = Gatherer::new(inlet.clone(), json_type, most);
        let positions = inlet.positions()?;
        if self.spec.is_stdin() {
            let stdin = self.stdin.get_or_insert_with(Stdin::begin);
            return stdin.run(gatherer, inlet).await;
        }
        let reader = Reader::new(&self.spec.path, gatherer, positions)?;
        follow(reader, inlet).await
    }
}

/// An error if the path names anything but a file, or a file that cannot be read.
fn look(path: &Path) -> io::Result<()> {
    match named(path) {
        Named::File(_) => std::fs::File::open(path).map(drop),
        Named::Nothing(why) => match path.try_exists()? {
            true => Err(io::Error::other(why)),
            false => Ok(()),
        },
    }
}

/// Reads the next block while the last one is brought.
async fn follow(reader: Reader, inlet: &Inlet) -> Result<(), BoxError> {
    let (mut wait, mut is_troubled) = (FIRST_WAIT, false);
    let mut reading = step(reader);
    loop {
        let (reader, taken) = reading.await?;
        let Step {
            batch,
            behind,
            trouble,
        } = taken?;
        match &trouble {
            Some(trouble) => inlet.struggles(trouble),
            None if is_troubled => inlet.recovers(),
            None => {}
        }
        is_troubled = trouble.is_some();
        match batch {
            Some(batch) => {
                reading = step(reader);
                let _ = inlet.bring(batch).await?;
                wait = FIRST_WAIT;
            }
            None => {
                sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
                reading = step(reader);
            }
        }
        for (split, bytes) in &behind {
            inlet.behind(split, *bytes);
        }
    }
}

/// A step of the reader, where a thread may wait for the disk.
fn step(mut reader: Reader) -> JoinHandle<(Reader, io::Result<Step>)> {
    spawn_blocking(move || {
        let taken = reader.step();
        (reader, taken)
    })
}
