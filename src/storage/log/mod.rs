//! Rows on a disk: rounds go to an append-only log, the changed rows stay in an overlay in memory, and checkpoints move
//! overlays to the tables, after which the log before them is deleted. A start opens the tables and replays the log.

mod checkpoints;
mod files;
mod format;
mod layers;
mod lost;
mod opening;
mod overlay;
mod reached;
mod reading;
mod recovery;
mod reserve;
mod room;
mod round;
mod segment;
mod state;
mod store;
mod syncing;
mod writer;

use std::sync::Arc;

use super::disk::Disk;
use super::{Backend, Position, StorageError, Store, Syncer};

use store::LogStore;

/// Whether a file with this name is a segment of the log.
pub(super) fn is_segment(name: &str) -> bool {
    writer::segment_number(name).is_some()
}

/// Limits of a store on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogSettings {
    /// Changed rows kept in memory until a checkpoint begins, including overhead; up to twice as much while it runs. Default 16 MiB.
    pub overlay_bytes: usize,
    /// Bytes of log after which a checkpoint begins even if the overlay is small, as with a few hot rows. Default 40 MB.
    pub log_bytes: u64,
    /// The size of a log file; a larger round gets a larger file. Default 16 MiB.
    pub segment_bytes: u64,
    /// Bytes staged and not durable at which [pressure](Store::pressure) begins. Default 8 MiB.
    pub unsynced_bytes: usize,
    /// Memory for cached pages of the tables. Default 8 MiB.
    pub cache_bytes: usize,
    /// Disk space reserved for recovery from a full disk, at most a sixteenth of the disk. With 0 there is none, and
    /// intake continues until the disk is full. Default 16 MiB.
    pub reserve_bytes: u64,
    /// Whether background threads do the checkpoints and verify the tables. If not, only [`Store::checkpoint`] does. Default true.
    pub background: bool,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            overlay_bytes: 16 << 20,
            log_bytes: 40_000_000,
            segment_bytes: 16 << 20,
            unsynced_bytes: 8 << 20,
            cache_bytes: 8 << 20,
            reserve_bytes: 16 << 20,
            background: true,
        }
    }
}

/// Opens the store in the folder, creating it if there is none, and recovers what was synced.
///
/// The folder is in use until all handles and the [`Syncer`] are dropped. Dropping the syncer ends the checkpoints.
///
/// # Errors
///
/// If the folder is in use, is damaged, was written by another version, or cannot be read and written. The data is unchanged then.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use stateful_functions::storage::{Folder, LogSettings, Rows, Table, Write, open};
///
/// const COUNTS: Table = Table::new(1);
/// # let temp = tempfile::tempdir()?;
/// # let path = temp.path().join("data");
/// let (store, mut syncer) = open(Arc::new(Folder::new(&path)), LogSettings::default())?;
/// store.stage(vec![Write::put(COUNTS, "visits", "1")]);
/// syncer.sync()?;
/// drop((store, syncer));
///
/// let (store, _syncer) = open(Arc::new(Folder::new(&path)), LogSettings::default())?;
/// assert_eq!(store.get(COUNTS, b"visits")?.as_deref(), Some(&b"1"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn open(
    disk: Arc<dyn Disk>,
    mut settings: LogSettings,
) -> Result<(Store, Syncer), StorageError> {
    settings.background &= disk.is_lasting();
    let background = settings.background;
    let store = Arc::new(LogStore::open(disk, settings)?);
    store.look_at_room();
    if background {
        LogStore::start_checkpoints(&store)?;
    }
    Ok((
        Store::new(Arc::clone(&store) as Arc<dyn Backend>),
        Syncer(store),
    ))
}

/// The result of [`verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// The number of rows in the tables; also 0 if an earlier version wrote them, without checksums.
    pub rows: u64,
    /// The last position in the log.
    pub position: Position,
    /// An incomplete round after it, as a crash leaves it: file and position. It contained nothing that was confirmed.
    pub unfinished: Option<String>,
}

/// Reads everything in the folder and compares it with its checksums and counts. With an [`Untouched`](super::Untouched) folder, nothing
/// is changed.
///
/// # Errors
///
/// See [`open`]; also the first damage found in the tables.
pub fn verify(disk: Arc<dyn Disk>) -> Result<Verified, StorageError> {
    let settings = LogSettings {
        background: false,
        ..LogSettings::default()
    };
    let store = LogStore::open(disk, settings)?;
    Ok(Verified {
        rows: store.verify(false)?,
        position: store.durable_position(),
        unfinished: store.unfinished.clone(),
    })
}
