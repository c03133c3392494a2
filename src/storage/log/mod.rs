//! Rows on a disk: rounds go to an append-only log, the changed rows stay in an overlay in memory, and checkpoints move
//! overlays to the tables, after which the log before them goes. A start opens the tables and replays the log.

mod checkpoints;
mod format;
mod layers;
mod overlay;
mod recovery;
mod round;
mod store;
mod writer;

use std::sync::Arc;

use super::disk::Disk;
use super::{Backend, StorageError, Store, Syncer};

pub(super) use overlay::Overlay;
use store::LogStore;

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
    /// Whether a thread of the store does the checkpoints. Without it they are done by [`Store::checkpoint`] only. Default true.
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
pub fn open(disk: Arc<dyn Disk>, settings: LogSettings) -> Result<(Store, Syncer), StorageError> {
    let background = settings.background;
    let store = Arc::new(LogStore::open(disk, settings)?);
    if background {
        LogStore::start_checkpoints(&store)?;
    }
    Ok((Store(Arc::clone(&store) as Arc<dyn Backend>), Syncer(store)))
}
