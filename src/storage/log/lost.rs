//! What a used folder has lost: its tables, its log files, or the end of the log. A start without them is refused.

use super::super::disk::{Disk, LOCK};
use super::super::row::Position;
use super::super::tables::{FILE as TABLES_FILE, Mark, SUMS_FILE};
use super::super::{REACHED, StorageError};
use super::format::SEGMENT_HEADER;
use super::reached::Reached;
use super::recovery::{Recovered, segments};
use super::segment::SegmentBytes;
use super::writer::segment_name;

const LOST: &str = "put the files back or restore a backup of the whole folder; to start with an empty one, remove the folder";
const CUT: &str = "restore a backup of the whole folder; to continue without the lost rows, remove the file `folder` in it";

/// Checks that a folder without tables has made no checkpoint: its log begins with the first position.
///
/// # Errors
/// If the file of the tables is gone.
pub(super) fn must_be_without_tables(
    disk: &dyn Disk,
    names: &[String],
    reached: Reached,
) -> Result<(), StorageError> {
    let numbers = segments(names);
    let has_log = reached.segment == 0 || numbers.contains(&reached.segment);
    // The first checkpoint makes this file, and then that of the tables.
    if !has_log || !names.iter().any(|name| name == SUMS_FILE) {
        return Ok(());
    }
    let mut first = None;
    for number in numbers {
        let segment = SegmentBytes::read(disk, number)?;
        let has_header = segment.header()?.is_some();
        let record = segment.record(SEGMENT_HEADER).filter(|_| has_header);
        first = record.map(|record| record.header.first);
        if first.is_some() {
            break;
        }
    }
    let missing = match first {
        Some(first) if first > Position::START.next() => {
            format!(
                "its file {TABLES_FILE} is gone, which has the rows before position {first}, where its log begins"
            )
        }
        None if reached.position > Position::START => format!(
            "its file {TABLES_FILE} is gone, which has the rows up to position {}",
            reached.position
        ),
        _ => return Ok(()),
    };
    Err(StorageError::Lost {
        folder: disk.to_string(),
        missing,
        remedy: LOST,
    })
}

impl Recovered {
    /// Checks that the log reaches as far as the folder says.
    ///
    /// # Errors
    /// If the end of the log is missing, or all of it.
    pub(super) fn must_be_all(
        &self,
        disk: &dyn Disk,
        names: &[String],
        mark: Mark,
        reached: Reached,
    ) -> Result<(), StorageError> {
        let has = |name: &str| names.iter().any(|there| there == name);
        let mut remedy = LOST;
        let missing = if self.begun < reached.segment {
            let name = segment_name(reached.segment);
            let how = if has(&name) {
                "has lost its content"
            } else {
                "is gone"
            };
            format!("its log file {name} {how}")
        } else if self.boot < mark.boot {
            format!("the log files of its start number {} are gone", mark.boot)
        } else if self.last.max(mark.position) < reached.position {
            remedy = CUT;
            format!(
                "its log ends at position {}, and had come to {}: {} was cut or overwritten",
                self.last.max(mark.position),
                reached.position,
                segment_name(reached.segment)
            )
        } else if self.segment == 0 && has(LOCK) && !has(REACHED) {
            "its log files are gone".to_owned()
        } else {
            return Ok(());
        };
        Err(StorageError::Lost {
            folder: disk.to_string(),
            missing,
            remedy,
        })
    }
}
