//! Rows on a disk: rounds go to an append-only log, the changed rows stay in an overlay in memory, and checkpoints move
//! overlays to the tables, after which the log before them goes. A start opens the tables and replays the log.

mod checkpoints;
mod files;
mod format;
mod layers;
mod overlay;
mod reached;
mod recovery;
mod reserve;
mod room;
mod round;
mod store;
mod writer;

use std::sync::Arc;

use super::disk::Disk;
use super::{Backend, Position, StorageError, Store, Syncer};

use store::LogStore;

/// Whether a file of this name is a segment of the log.
pub(super) fn is_segment(name: &str) -> bool {
    writer::segment_number(name).is_some()
}

/// The bounds of a store on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogSettings {
    /// Changed rows kept in memory until a checkpoint begins, overhead included; up to twice as much while it runs. Default 16 MiB.
    pub overlay_bytes: usize,
    /// Bytes of rounds after which a checkpoint begins even if the overlay is small, as with a few hot rows. Default 40 MB.
    pub log_bytes: u64,
    /// The size of a file of the log; a larger round gets a larger file. Default 16 MiB.
    pub segment_bytes: u64,
    /// Bytes staged and not durable from which on there is [pressure](Store::pressure). Default 8 MiB.
    pub unsynced_bytes: usize,
    /// Memory with which the tables cache their pages. Default 8 MiB.
    pub cache_bytes: usize,
    /// Room that is kept on the disk for getting well again when it is full; never more than a sixteenth of the disk. 0: none, and
    /// intake goes on until the disk is full. Default 16 MiB.
    pub reserve_bytes: u64,
    /// Whether threads of the store do the checkpoints and verify the tables. Without it they are done by [`Store::checkpoint`] only. Default true.
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
/// When the folder is in use, is damaged, was written by another version, or cannot be read and written. Nothing is lost by that.
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
    Ok((Store(Arc::clone(&store) as Arc<dyn Backend>), Syncer(store)))
}

/// What [`verify`] has read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Rows in the tables; 0 as well when an earlier version wrote them, without checksums.
    pub rows: u64,
    /// The last position in the log.
    pub position: Position,
    /// What stands behind it and is no whole round, as a crash leaves it: which file, where. Nothing that was confirmed was in it.
    pub unfinished: Option<String>,
}

/// Reads everything in the folder and holds it against its checksums and counts. On an [`Untouched`](super::Untouched) folder nothing
/// in it is changed.
///
/// # Errors
///
/// As [`open`], and the first damage found in the tables.
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
