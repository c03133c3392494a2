//! Room for getting well again: a file that is given up when the disk is full, and intake that stops before it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::RESERVE;
use super::super::disk::{Disk, Room};

/// The reserve is no larger than this part of the disk, and neither is what is left free beside it.
const PART: u64 = 16;
/// Left free for what is on its way: rounds, a log file.
const MARGIN: u64 = 8 << 20;

/// The file that takes room as long as nothing needs it.
#[derive(Debug)]
pub(super) struct Reserve {
    disk: Arc<dyn Disk>,
    /// 0: there is none.
    bytes: u64,
    is_kept: AtomicBool,
}

impl Reserve {
    pub(super) fn open(disk: Arc<dyn Disk>, names: &[String], bytes: u64) -> Self {
        let is_kept = names.iter().any(|name| name == RESERVE);
        Self {
            disk,
            bytes,
            is_kept: AtomicBool::new(is_kept),
        }
    }

    const fn is_wanted(&self) -> bool {
        self.bytes > 0
    }

    fn size(&self, room: Room) -> u64 {
        self.bytes.min(room.total / PART)
    }

    /// Gives the room back, for what must be written now. `false`: it has been given back before.
    pub(super) fn release(&self) -> bool {
        let released =
            self.is_kept.swap(false, Ordering::SeqCst) && self.disk.remove(RESERVE).is_ok();
        if released {
            tracing::warn!(folder = %self.disk, "the disk is full: the reserve is used to finish what is there");
        }
        released
    }

    /// Takes the room when there is plenty of it.
    pub(super) fn keep(&self) {
        if !self.is_wanted() || self.is_kept.load(Ordering::SeqCst) || !self.disk.is_lasting() {
            return;
        }
        let Ok(room) = self.disk.room() else { return };
        let size = self.size(room);
        if room.free < size.saturating_mul(2) + margin(room) {
            return;
        }
        match self.disk.set_aside(RESERVE, size) {
            Ok(()) => self.is_kept.store(true, Ordering::SeqCst),
            Err(err) => {
                let _ = self.disk.remove(RESERVE);
                tracing::warn!(folder = %self.disk, error = %err, "no reserve can be kept for a full disk");
            }
        }
    }

    /// Free and needed bytes, when there is less room than is needed to write `unwritten` bytes of rows to the tables and go on for a
    /// moment. What ends such a time is `more` room.
    pub(super) fn shortage(&self, unwritten: u64, more: bool) -> Option<(u64, u64)> {
        if !self.is_wanted() {
            return None;
        }
        let room = self.disk.room().ok()?;
        let absent = if self.is_kept.load(Ordering::SeqCst) {
            0
        } else {
            self.size(room)
        };
        let mut needed = unwritten
            .saturating_add(margin(room))
            .saturating_add(absent);
        if more {
            needed = needed.saturating_add(margin(room) / 2);
        }
        (room.free < needed).then_some((room.free, needed))
    }
}

fn margin(room: Room) -> u64 {
    MARGIN.min(room.total / PART)
}
