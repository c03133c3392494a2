//! Disk space for recovery: a file that is removed when the disk is full, and intake that stops before that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::RESERVE;
use super::super::disk::{Disk, Room};

/// The maximum part of the disk for the reserve, and for the space left free in addition.
const PART: u64 = 16;
/// Space left free for pending writes: rounds, a log file.
const MARGIN: u64 = 8 << 20;

/// The file that occupies the reserved space.
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

    /// Releases the space for pending writes. False if it has already been released.
    pub(super) fn release(&self) -> bool {
        let released =
            self.is_kept.swap(false, Ordering::SeqCst) && self.disk.remove(RESERVE).is_ok();
        if released {
            tracing::warn!(folder = %self.disk, "the disk is full: the reserve is used to complete pending work");
        }
        released
    }

    /// Reserves the space when there is plenty.
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
                tracing::warn!(folder = %self.disk, error = %err, "the reserve for a full disk cannot be kept");
            }
        }
    }

    /// Free and needed bytes, if there is less space than needed. Such a period ends only with `more` space.
    pub(super) fn shortage(&self, unwritten: u64, more: bool) -> Option<(u64, u64)> {
        let (free, needed) = self.space(unwritten, more)?;
        (free < needed).then_some((free, needed))
    }

    /// The free bytes, and those needed to write `unwritten` bytes of rows to the tables and continue for a moment, below which intake stops.
    /// `None` if intake does not stop for that, or the disk does not say.
    pub(super) fn space(&self, unwritten: u64, more: bool) -> Option<(u64, u64)> {
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
        Some((room.free, needed))
    }
}

fn margin(room: Room) -> u64 {
    MARGIN.min(room.total / PART)
}
