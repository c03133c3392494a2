//! Makes rounds durable: takes what is staged, writes it to the log, and tells who waits for it.

use std::sync::atomic::Ordering;

use super::super::{Position, SyncError};
use super::round::Round;
use super::state::Syncing;
use super::store::LogStore;
use super::writer::AppendError;

/// Bytes of log after which the free disk space is measured.
const LOOK_EVERY: u64 = 1 << 20;

impl LogStore {
    /// Makes everything durable that is staged.
    pub(super) fn sync_staged(&self) -> Result<Position, SyncError> {
        let mut syncing = self.syncing.lock().expect("the syncer does not panic");
        if let Some(reason) = self.closed_reason() {
            return Err(SyncError::Closed { reason });
        }
        if !syncing.round.is_empty() {
            self.write_round(&mut syncing)?;
        }
        self.take_round(&mut syncing.round);
        if !syncing.round.is_empty() {
            self.write_round(&mut syncing)?;
        }
        Ok(self.durable_position())
    }

    fn take_round(&self, into: &mut Round) {
        let mut state = self.locked();
        if state.round.is_empty() {
            return;
        }
        state.round.move_to(into);
        state.taken_bytes = into.bytes();
        state.current_log_bytes += into.bytes() as u64;
        // Here and only here the current overlay holds exactly what ends with a round.
        state.freeze_if_due(&self.settings);
    }

    fn write_round(&self, syncing: &mut Syncing) -> Result<(), SyncError> {
        let (last, bytes) = (syncing.round.last(), syncing.round.bytes() as u64);
        let mut written = syncing.round.write(&mut syncing.writer);
        if matches!(written, Err(AppendError::Full(_))) && self.reserve.release() {
            written = syncing.round.write(&mut syncing.writer);
            syncing.since_look = LOOK_EVERY;
        }
        if let Err(AppendError::Failed { action, source }) = written {
            let reason = self.close(&format!("cannot {action}: {source}"));
            return Err(SyncError::Closed { reason });
        }
        let mut state = self.locked();
        state.finished.extend(syncing.writer.take_finished());
        if let Err(AppendError::Full(source)) = written {
            state.health.disk_full = true;
            self.update_pressure(&state);
            return Err(SyncError::Full(source));
        }
        state.health.disk_full = false;
        state.taken_bytes = 0;
        self.durable.store(last.as_u64(), Ordering::Release);
        self.update_pressure(&state);
        if state.layers.lower.frozen.is_some() {
            self.checkpoint_due.notify_all();
        }
        let is_low = state.health.low_room.is_some();
        drop(state);
        syncing.since_look += bytes;
        if is_low || syncing.since_look >= LOOK_EVERY {
            syncing.since_look = 0;
            self.look_at_room();
        }
        Ok(())
    }
}
