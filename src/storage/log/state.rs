//! What changes in a store on disk, behind two locks, and when an overlay is frozen or intake must slow down.

use std::mem;
use std::sync::Arc;

use super::super::{Health, Position};
use super::LogSettings;
use super::layers::{Frozen, Layers};
use super::round::Round;
use super::writer::{Finished, Writer};

/// With little disk space, checkpoints begin at this fraction of the usual size.
const LOW_ROOM_SHARE: u64 = 16;

/// If the log has this many times the size that begins a checkpoint, checkpoints are failing: intake stops before the log fills the disk.
const MOST_LOG: u64 = 8;

/// Shared by writers, readers, syncer and checkpointer.
pub(super) struct StoreState {
    pub(super) layers: Layers,
    /// Staged and not taken by a sync.
    pub(super) round: Round,
    /// Bytes taken by a sync and not durable.
    pub(super) taken_bytes: usize,
    /// Bytes of the rounds in the current overlay.
    pub(super) current_log_bytes: u64,
    /// Bytes that the last checkpoint wrote for each of its rows.
    pub(super) row_cost: Option<u64>,
    /// The size at which an overlay is frozen, so that its checkpoint ends before writers wait for long.
    pub(super) frozen_bytes: usize,
    /// Segments without further records, oldest first.
    pub(super) finished: Vec<Finished>,
    pub(super) health: Health,
    /// The syncer waits for something to be staged.
    pub(super) waiting: bool,
    /// The syncer waits for more of a round.
    pub(super) lingers: bool,
    /// Somebody waits for what is staged.
    pub(super) is_urgent: bool,
    pub(super) stopped: bool,
}

/// What the thread that syncs has.
pub(super) struct Syncing {
    pub(super) writer: Writer,
    /// Taken and not durable: being written, or kept by a full disk.
    pub(super) round: Round,
    /// Bytes written since the free disk space was measured.
    pub(super) since_look: u64,
}

impl Syncing {
    pub(super) fn after(last: Position, writer: Writer) -> Self {
        Self {
            writer,
            round: Round::after(last),
            since_look: 0,
        }
    }
}

impl StoreState {
    /// Freezes the current overlay if it is large enough and the previous one is in the tables.
    pub(super) fn freeze_if_due(&mut self, settings: &LogSettings) {
        // With little disk space the log must be deleted soon.
        let share = if self.health.low_room.is_some() || self.health.disk_full {
            LOW_ROOM_SHARE
        } else {
            1
        };
        let large = self.layers.current.bytes() >= self.frozen_bytes / share as usize;
        let due = large || self.current_log_bytes >= settings.log_bytes / share;
        if due {
            self.freeze();
        }
    }

    /// Freezes the current overlay if it has rows and the previous one is in the tables.
    pub(super) fn freeze(&mut self) {
        if self.layers.current.len() > 0 && self.layers.lower.frozen.is_none() {
            self.layers.lower.frozen = Some(Frozen {
                overlay: Arc::new(mem::take(&mut self.layers.current)),
                position: self.round.last(),
                log_bytes: mem::take(&mut self.current_log_bytes),
            });
        }
    }

    pub(super) fn log_bytes(&self) -> u64 {
        self.current_log_bytes
            + self
                .layers
                .lower
                .frozen
                .as_ref()
                .map_or(0, |frozen| frozen.log_bytes)
    }

    pub(super) fn unsynced_bytes(&self) -> usize {
        self.round.bytes() + self.taken_bytes
    }

    pub(super) fn is_pressed(&self, settings: &LogSettings) -> bool {
        self.health.disk_full
            || self.health.low_room.is_some()
            || self.has_overlays_of(self.frozen_bytes)
            || self.unsynced_bytes() >= settings.unsynced_bytes
            || self.log_bytes() >= settings.log_bytes.saturating_mul(MOST_LOG)
    }

    /// Whether the current overlay is large enough, and the previous one is not in the tables yet.
    pub(super) fn has_overlays_of(&self, bytes: usize) -> bool {
        self.layers.lower.frozen.is_some() && self.layers.current.bytes() >= bytes
    }
}
