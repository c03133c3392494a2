//! Moves frozen overlays to the tables, and deletes the log before them.

use std::error::Error;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use super::super::StorageError;
use super::super::tables::{Mark, Snapshot, Tables};
use super::layers::Frozen;
use super::store::LogStore;
use super::writer::{Finished, segment_name};

/// The wait between two attempts of a failing checkpoint.
const RETRY: Duration = Duration::from_secs(1);
/// The interval at which an idle thread checks that its files still exist.
const LOOK: Duration = Duration::from_secs(2);

impl LogStore {
    /// Starts the thread that does the checkpoints; `retire` ends it.
    pub(super) fn start_checkpoints(store: &Arc<Self>) -> Result<(), StorageError> {
        let start = |name: &str, work: fn(&Self)| {
            let own = Arc::clone(store);
            let thread = thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || work(&own));
            thread.map_err(|err| StorageError::io(format!("start thread {name}"), err))
        };
        let threads = [
            start("statefun-checkpoints", Self::do_checkpoints)?,
            start("statefun-verify", |store| {
                // Findings are in `health` and have been logged.
                let _ = store.verify(true);
            })?,
        ];
        store
            .workers
            .lock()
            .expect("no holder panics")
            .extend(threads);
        Ok(())
    }

    fn do_checkpoints(&self) {
        // A failure shows again at the first checkpoint.
        if let Err(err) = self.upgrade_tables() {
            tracing::warn!(
                error = chain(&err),
                "the tables keep the format of an earlier version for now"
            );
        }
        self.reserve.keep();
        while self.wait_until_due() {
            self.look_at_files();
            // The failure is in `health` and has been logged.
            if self.checkpoint_once().is_err() {
                let state = self.locked();
                let retired = |_: &mut _| !self.retired.load(Ordering::SeqCst);
                drop(
                    self.checkpoint_due
                        .wait_timeout_while(state, RETRY, retired),
                );
            }
        }
    }

    /// Waits for a checkpoint to do; false if there will be none.
    fn wait_until_due(&self) -> bool {
        let mut state = self.locked();
        loop {
            if self.retired.load(Ordering::SeqCst) || self.closed_reason().is_some() {
                return false;
            }
            if self.due(state.layers.lower.frozen.as_ref()).is_some() {
                return true;
            }
            let is_low = state.health.low_room.is_some();
            let (guard, waited) = self
                .checkpoint_due
                .wait_timeout(state, if is_low { RETRY } else { LOOK })
                .expect("no holder of the state panics");
            drop(guard);
            if waited.timed_out() {
                self.look_at_files();
            }
            if is_low {
                self.reserve.keep();
                self.look_at_room();
            }
            state = self.locked();
            if is_low && waited.timed_out() {
                // What waits to be written counts as needed space. Nothing more may come in that would make it large enough for a checkpoint.
                state.freeze();
            }
        }
    }

    /// Gives rows of an earlier format their checksums.
    fn upgrade_tables(&self) -> Result<(), StorageError> {
        let mut tables = self.locked_tables();
        if tables.upgrade()? {
            let snapshot = tables.snapshot()?;
            self.locked().layers.lower.tables = Arc::new(snapshot);
            tracing::info!(folder = %self.disk, "the tables have the format of this version now");
        }
        Ok(())
    }

    /// The overlay, if it can be moved: the tables must never be ahead of the log.
    fn due(&self, frozen: Option<&Frozen>) -> Option<Frozen> {
        frozen
            .filter(|frozen| frozen.position <= self.durable_position())
            .cloned()
    }

    fn locked_tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().expect("a checkpoint does not panic")
    }

    /// One checkpoint, if one is due.
    pub(super) fn checkpoint_once(&self) -> Result<bool, StorageError> {
        let mut tables = self.locked_tables();
        if let Some(reason) = self.closed_reason() {
            return Err(StorageError::Closed { reason });
        }
        let frozen = self.due(self.locked().layers.lower.frozen.as_ref());
        let Some(Frozen {
            overlay, position, ..
        }) = frozen
        else {
            return Ok(false);
        };
        let mark = Mark {
            position,
            boot: self.boot,
        };
        let (before, begun) = (tables.written_bytes(), Instant::now());
        let mut written = tables.write(overlay.rows(), mark, &self.retired);
        if written.as_ref().is_err_and(StorageError::is_full) && self.reserve.release() {
            written = tables.write(overlay.rows(), mark, &self.retired);
        }
        match written.and_then(|()| tables.snapshot()) {
            Ok(snapshot) => {
                let (rows, written) = (overlay.len() as u64, tables.written_bytes() - before);
                let mut state = self.locked();
                state.note_cost(rows, written);
                if self.settings.background {
                    state.frozen_bytes = next_size(
                        overlay.bytes(),
                        begun.elapsed(),
                        self.settings.overlay_bytes,
                    );
                }
                drop(state);
                let unneeded = self.install(snapshot);
                drop((tables, overlay));
                self.remove(unneeded);
                self.reserve.keep();
                self.look_at_room();
                Ok(true)
            }
            Err(err) => {
                if tables.sync_failed() {
                    self.close(&chain(&err));
                } else if !self.retired.load(Ordering::SeqCst) {
                    tracing::warn!(error = chain(&err), "checkpoint failed; will retry");
                    self.locked().health.checkpoint_failure = Some(chain(&err).into());
                    // Readers may still hold rows of the old tables.
                    if let Ok(snapshot) = tables.snapshot() {
                        self.locked().layers.lower.tables = Arc::new(snapshot);
                    }
                }
                Err(err)
            }
        }
    }

    /// Replaces the frozen overlay by the tables. Returns the segments that are no longer needed.
    fn install(&self, snapshot: Snapshot) -> Vec<Finished> {
        let position = snapshot.mark().position;
        let mut state = self.locked();
        let before = std::mem::replace(&mut state.layers.lower.tables, Arc::new(snapshot));
        let frozen = state.layers.lower.frozen.take();
        state.health.checkpoints += 1;
        state.health.checkpoint_failure = None;
        let kept = state
            .finished
            .iter()
            .position(|segment| segment.last > position);
        let kept = kept.unwrap_or(state.finished.len());
        let unneeded = state.finished.drain(..kept).collect();
        self.update_pressure(&state);
        drop(state);
        self.room_made();
        // There may be many rows to free, so the lock is no longer held.
        drop((before, frozen));
        unneeded
    }

    fn remove(&self, segments: Vec<Finished>) {
        for Finished { segment, .. } in segments {
            let name = segment_name(segment);
            match self.disk.remove(&name) {
                Ok(()) => {}
                Err(err) if err.kind() == io::ErrorKind::NotFound => {}
                // The next start removes it.
                Err(err) => {
                    tracing::warn!(file = name, error = %err, "cannot remove an old log file")
                }
            }
        }
    }

    /// Reopens the tables if the snapshot of that generation is still in use.
    pub(super) fn reopen_tables(&self, generation: u64) -> Result<(), StorageError> {
        let mut tables = self.locked_tables();
        if self.locked().layers.lower.tables.generation() != generation {
            return Ok(());
        }
        if let Some(reason) = self.closed_reason() {
            return Err(StorageError::Closed { reason });
        }
        tables.close();
        let snapshot = tables.snapshot()?;
        self.locked().layers.lower.tables = Arc::new(snapshot);
        Ok(())
    }
}

/// The target duration of a checkpoint: if intake is faster than the checkpoints, it stops for the rest of one.
const LONGEST: Duration = Duration::from_millis(150);
/// The minimum size: small checkpoints of scattered rows cost more per row.
const SMALLEST_SHARE: usize = 4;

/// The size of the next overlay, if one of `bytes` took `span`.
fn next_size(bytes: usize, span: Duration, most: usize) -> usize {
    let size = bytes as f64 * LONGEST.div_duration_f64(span.max(Duration::from_millis(1)));
    (size as usize).clamp(most / SMALLEST_SHARE, most)
}

/// The error and its causes in one line.
fn chain(err: &dyn Error) -> String {
    let mut text = err.to_string();
    let mut next = err.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_long_is_done_in_smaller_pieces_and_grows_again() {
        let after = |bytes, millis| next_size(bytes, Duration::from_millis(millis), 1600);
        assert_eq!(after(1600, 100), 1600, "fast enough");
        assert_eq!(after(1600, 300), 800);
        assert_eq!(after(1600, 3_000), 400, "no smaller");
        assert_eq!(after(800, 100), 1200);
        assert_eq!(after(400, 0), 1600);
    }
}
