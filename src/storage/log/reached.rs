//! The file `folder`: up to which file and position the log reaches, so that a lost end is not mistaken for an earlier one.
//!
//! Two slots are written durably and alternately: at the start of a log file and at the end of a process. A third one is written after every round,
//! without a sync, once those who waited for the round have been told. It names a position that is already durable, so whatever a crash leaves of it is
//! true; after a kill it is exact, unless the kill came in the few microseconds between telling and writing: then it names the round before.

use std::io;
use std::sync::Arc;

use super::super::disk::{Disk, DiskFile};
use super::super::row::Position;
use super::super::{REACHED, StorageError};
use super::format::FORMAT;

const MAGIC: [u8; 8] = *b"sfnfold\n";
/// Bytes of a slot; the next one begins at [`SLOT`].
const LENGTH: usize = 48;
/// A torn write damages only one slot.
const SLOT: u64 = 512;
/// The slots that are written durably.
const DURABLE: u64 = 2;

/// The position that the log has at least reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reached {
    /// This log file has been started; 0: none.
    pub(super) segment: u64,
    /// By this boot.
    pub(super) boot: u64,
    /// The lists up to here were durable.
    pub(super) position: Position,
}

/// The file.
#[derive(Debug)]
pub(super) struct ReachedFile {
    disk: Arc<dyn Disk>,
    file: Option<Box<dyn DiskFile>>,
    /// Counts the writes, to identify the newer slot.
    turn: u64,
}

impl ReachedFile {
    /// The content of the file; none if there is no file, or if its very first write was torn.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        names: &[String],
    ) -> Result<(Self, Reached), StorageError> {
        let name = format!("{disk}/{REACHED}");
        let mut found = Self {
            disk,
            file: None,
            turn: 0,
        };
        let mut reached = Reached::default();
        if !names.iter().any(|name| name == REACHED) {
            return Ok((found, reached));
        }
        let io = |source| StorageError::io(format!("read {name}"), source);
        let file = found.disk.open(REACHED).map_err(io)?;
        let len = file.len().map_err(io)?;
        for slot in 0..=DURABLE {
            let mut bytes = [0; LENGTH];
            if len < slot * SLOT + LENGTH as u64 {
                continue;
            }
            file.read_at(slot * SLOT, &mut bytes).map_err(io)?;
            let Some((format, turn, there)) = decode(&bytes) else {
                continue;
            };
            if format > FORMAT {
                return Err(StorageError::Format {
                    file: name,
                    found: format,
                    expected: FORMAT,
                });
            }
            if slot == DURABLE {
                reached = if there.position > reached.position {
                    there
                } else {
                    reached
                };
            } else if turn > found.turn {
                (found.turn, reached) = (turn, there);
            }
        }
        found.file = Some(file);
        Ok((found, reached))
    }

    /// Writes it durably.
    pub(super) fn write(&mut self, reached: Reached) -> io::Result<()> {
        let created = self.file.is_none();
        let file = match self.file.take() {
            Some(file) => file,
            None => self.disk.create(REACHED)?,
        };
        let file = self.file.insert(file);
        let slot = (self.turn + 1) % DURABLE;
        file.write_at(slot * SLOT, &encode(self.turn + 1, reached))?;
        self.turn += 1;
        file.sync_data()?;
        if created {
            self.disk.sync_names()?;
        }
        Ok(())
    }

    /// Writes it without a sync. The position is already durable.
    pub(super) fn follow(&self, reached: Reached) {
        if let Some(file) = &self.file {
            // Without it the next start knows less about where the log must end.
            let _ = file.write_at(DURABLE * SLOT, &encode(self.turn, reached));
        }
    }
}

fn encode(turn: u64, reached: Reached) -> [u8; LENGTH] {
    let mut tail = Vec::with_capacity(LENGTH);
    tail.extend_from_slice(&FORMAT.to_le_bytes());
    tail.extend_from_slice(&turn.to_le_bytes());
    tail.extend_from_slice(&reached.segment.to_le_bytes());
    tail.extend_from_slice(&reached.boot.to_le_bytes());
    tail.extend_from_slice(&reached.position.as_u64().to_le_bytes());
    let crc = crc32fast::hash(&tail).to_le_bytes();
    let mut out = [0; LENGTH];
    for (to, from) in out.iter_mut().zip(MAGIC.into_iter().chain(crc).chain(tail)) {
        *to = from;
    }
    out
}

/// The format, the turn, and the position reached.
fn decode(bytes: &[u8; LENGTH]) -> Option<(u32, u64, Reached)> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (crc, tail) = rest.split_first_chunk::<4>()?;
    if *magic != MAGIC || u32::from_le_bytes(*crc) != crc32fast::hash(tail) {
        return None;
    }
    let (format, rest) = tail.split_first_chunk::<4>()?;
    let mut numbers = rest
        .chunks_exact(8)
        .filter_map(|bytes| bytes.try_into().ok().map(u64::from_le_bytes));
    let turn = numbers.next()?;
    let reached = Reached {
        segment: numbers.next()?,
        boot: numbers.next()?,
        position: Position::from_u64(numbers.next()?),
    };
    Some((u32::from_le_bytes(*format), turn, reached))
}
