//! Intake stops while there is still disk space to complete pending work.

use super::state::StoreState;
use super::store::LogStore;

impl LogStore {
    /// The free bytes of the disk, and those below which intake stops.
    pub(super) fn space(&self) -> Option<(u64, u64)> {
        let (unwritten, is_low) = {
            let state = self.locked();
            (state.to_be_written(), state.health.low_room.is_some())
        };
        self.reserve.space(unwritten, is_low)
    }

    /// Measures the free space, and tells health and intake.
    pub(super) fn look_at_room(&self) {
        let (unwritten, was_low) = {
            let state = self.locked();
            (state.to_be_written(), state.health.low_room.is_some())
        };
        let shortage = self.reserve.shortage(unwritten, was_low);
        let mut state = self.locked();
        match shortage {
            Some((free, needed)) => {
                let text = format!(
                    "{} MB are free for data folder {}, and {} MB are needed to complete pending work; free some space",
                    free / 1_000_000,
                    self.disk,
                    needed / 1_000_000 + 1
                );
                if !was_low {
                    tracing::warn!("{text}; intake stops until then");
                }
                state.health.low_room = Some(text.into());
            }
            None if was_low => {
                tracing::info!(folder = %self.disk, "there is room again");
                state.health.low_room = None;
            }
            None => {}
        }
        self.update_pressure(&state);
    }
}

impl StoreState {
    /// An estimate of the bytes that checkpoints need for rows not yet in the tables.
    fn to_be_written(&self) -> u64 {
        let frozen = self.layers.lower.frozen.as_ref();
        let frozen = frozen.map(|frozen| &*frozen.overlay);
        let overlays = [Some(&self.layers.current), frozen];
        let (mut rows, mut bytes) = (0, 0);
        for overlay in overlays.into_iter().flatten() {
            rows += overlay.len() as u64;
            bytes += overlay.bytes() as u64;
        }
        let by_rows = self.row_cost.map_or(0, |cost| rows * cost);
        let estimate = by_rows.max(bytes * 2);
        // A quarter more than the last time.
        estimate + estimate / 4
    }

    /// Records the bytes written by a checkpoint.
    pub(super) fn note_cost(&mut self, rows: u64, bytes: u64) {
        if let Some(cost) = bytes.checked_div(rows) {
            self.row_cost = Some(cost);
        }
    }
}
