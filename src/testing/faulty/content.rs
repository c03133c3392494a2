//! What a file holds, and what is left of it after a loss of power.

use super::pages::Pages;
use crate::random::Random;

/// A change of a file that is not yet durable.
#[derive(Clone)]
pub(super) enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

impl Change {
    pub(super) fn apply_to(&self, pages: &mut Pages) {
        match self {
            Self::Write { offset, bytes } => pages.write(*offset, bytes),
            Self::SetLen(len) => pages.set_len(*len),
        }
    }
}

/// The content of a file: as the process sees it, and as far as it is durable.
#[derive(Clone, Default)]
pub(super) struct FileState {
    /// The content that the process sees.
    pub(super) seen: Pages,
    /// The durable content.
    pub(super) synced: Pages,
    pub(super) unsynced: Vec<Change>,
    /// The end of everything ever written; writes beyond it take space.
    pub(super) written: usize,
    /// Ranges before it that were never written.
    pub(super) holes: Vec<std::ops::Range<usize>>,
}

impl FileState {
    /// Removes a range from the holes, and returns how many of its bytes were in them.
    pub(super) fn fill_holes(&mut self, offset: usize, end: usize) -> usize {
        let mut filled = 0;
        let mut left = Vec::new();
        for hole in self.holes.drain(..) {
            let (from, to) = (hole.start.max(offset), hole.end.min(end));
            if from >= to {
                left.push(hole);
                continue;
            }
            filled += to - from;
            let around = [hole.start..from, to..hole.end];
            left.extend(around.into_iter().filter(|hole| !hole.is_empty()));
        }
        self.holes = left;
        filled
    }

    /// The space it takes.
    pub(super) fn taken(&self) -> usize {
        let holes = self.holes.iter().map(std::ops::Range::len);
        self.written.saturating_sub(holes.sum())
    }

    pub(super) fn apply(&mut self, change: Change) {
        change.apply_to(&mut self.seen);
        self.unsynced.push(change);
    }
}

/// The file as a loss of power leaves it.
pub(super) fn after_power_loss(file: &FileState, random: &mut Random) -> FileState {
    let mut kept = file.synced.clone();
    // The probability that a change has reached the disk differs from crash to crash.
    let percent = random.below(101);
    for change in &file.unsynced {
        match change {
            _ if !random.chance(percent) => {}
            Change::Write { offset, bytes } if random.chance(30) => {
                let torn = usize::try_from(random.below(bytes.len() as u64 + 1)).unwrap_or(0);
                let bytes = bytes.get(..torn).unwrap_or_default().to_vec();
                kept.write(*offset, &bytes);
            }
            change => change.apply_to(&mut kept),
        }
    }
    FileState {
        written: kept.len,
        seen: kept.clone(),
        synced: kept,
        unsynced: Vec::new(),
        holes: Vec::new(),
    }
}
