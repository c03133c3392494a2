//! `statefun.file.v1/ingress`: lines of a file, or of standard input, become messages.
//!
//! The position behind the lines is stored together with them, so each line takes effect once. Lines that cannot be read are set aside.

use std::io;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::Instant;

use super::changes::Changes;
use super::folder::{Named, named};
use super::gather::Gatherer;
use super::reader::{Reader, Step};
use super::stdin::Stdin;
use crate::module::FileIngress;
use crate::runtime::{HttpListeners, Inlet, Listener, Source, StartError};
use crate::sdk::BoxError;

/// The wait after which a file at its end is looked at again, if no change is reported before; it doubles while nothing comes.
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

/// Reads the next block while the last one is brought, and at the end of the file waits for a change.
async fn follow(reader: Reader, inlet: &Inlet) -> Result<(), BoxError> {
    let mut changes = Changes::new();
    let (mut wait, mut looked) = (FIRST_WAIT, Instant::now());
    // Whether a change has ended the last wait.
    let (mut is_told, mut is_troubled) = (false, false);
    let mut reading = Reading::elsewhere(reader);
    loop {
        let (reader, taken) = reading.done().await?;
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
        // Further changes are told, and what the path names has just been looked at.
        let may_wait = is_told && reader.is_at_end() && looked.elapsed() < LONGEST_WAIT;
        match batch {
            Some(batch) if may_wait => {
                let _ = inlet.bring(batch).await?;
                report(&behind, inlet);
                wait = LONGEST_WAIT;
                is_told = changes.within(wait).await;
                reading = Reading::begin(reader, is_told);
            }
            Some(batch) => {
                reading = Reading::elsewhere(reader);
                let _ = inlet.bring(batch).await?;
                report(&behind, inlet);
                wait = FIRST_WAIT;
            }
            None => {
                report(&behind, inlet);
                looked = Instant::now();
                is_told = changes.follow(reader.path()) && changes.within(wait).await;
                wait = match is_told {
                    true => FIRST_WAIT,
                    false => (wait * 2).min(LONGEST_WAIT),
                };
                reading = Reading::begin(reader, is_told);
            }
        }
    }
}

fn report(behind: &[(String, u64)], inlet: &Inlet) {
    for (split, bytes) in behind {
        inlet.behind(split, *bytes);
    }
}

/// A step of the reader, and the reader after it.
type Taken = (Reader, io::Result<Step>);

/// A step of the reader.
enum Reading {
    Done(Box<Taken>),
    /// Where a thread may wait for the disk.
    Elsewhere(JoinHandle<Taken>),
}

impl Reading {
    /// What was just added to the file is read at once if it is short, because it is still in memory.
    fn begin(mut reader: Reader, is_told: bool) -> Self {
        if !is_told || !reader.has_little() {
            return Self::elsewhere(reader);
        }
        let taken = reader.step();
        Self::Done(Box::new((reader, taken)))
    }

    fn elsewhere(mut reader: Reader) -> Self {
        Self::Elsewhere(spawn_blocking(move || {
            let taken = reader.step();
            (reader, taken)
        }))
    }

    async fn done(self) -> Result<Taken, JoinError> {
        match self {
            Self::Done(taken) => Ok(*taken),
            Self::Elsewhere(task) => task.await,
        }
    }
}
