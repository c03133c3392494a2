//! Opens the store on disk: locks the folder, reads tables and log, and begins a new segment.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Condvar, Mutex, OnceLock};

use super::super::disk::{Disk, LOCK};
use super::super::tables::Tables;
use super::super::{Health, StorageError};
use super::LogSettings;
use super::layers::{Layers, Lower};
use super::lost;
use super::overlay::Overlay;
use super::reached::ReachedFile;
use super::recovery;
use super::reserve::Reserve;
use super::round::Round;
use super::state::{StoreState, Syncing};
use super::store::LogStore;
use super::writer::{AppendError, Writer, segment_name};

impl LogStore {
    pub(super) fn open(disk: Arc<dyn Disk>, settings: LogSettings) -> Result<Self, StorageError> {
        let io = |action: &str, source| StorageError::io(format!("{action} {disk}"), source);
        let lock = disk.lock().map_err(|err| io("open data folder", err))?;
        let lock = lock.ok_or_else(|| StorageError::Locked {
            folder: disk.to_string(),
        })?;
        let names = disk.list().map_err(|err| io("read folder", err))?;

        let (reached_file, reached) = ReachedFile::open(Arc::clone(&disk), &names)?;
        let reserve = Reserve::open(Arc::clone(&disk), &names, settings.reserve_bytes);
        let mut tables = Tables::open(Arc::clone(&disk), &names, settings.cache_bytes)?;
        if !tables.exists() {
            lost::must_be_without_tables(&*disk, &names, reached)?;
        }
        let snapshot = match tables.snapshot() {
            // redb writes to the file before it reads it.
            Err(err) if err.is_full() && reserve.release() => tables.snapshot()?,
            opened => opened?,
        };
        let mark = snapshot.mark();
        let mut overlay = Overlay::default();
        let (recovered, end) = recovery::replay(&*disk, &names, mark.position, &mut overlay)?;
        recovered.must_be_all(&*disk, &names, mark, reached)?;
        let unfinished = end.settle()?;
        drop(end);

        let boot = recovered.boot.max(mark.boot) + 1;
        let last = recovered.last.max(mark.position);
        let begin = (recovered.segment.max(reached.segment) + 1, last);
        let segment_bytes = settings.segment_bytes;
        let start = |file| Writer::start(Arc::clone(&disk), boot, begin, segment_bytes, file);
        let writer = match start(reached_file) {
            Err(AppendError::Full(_)) if reserve.release() => {
                start(ReachedFile::open(Arc::clone(&disk), &names)?.0)
            }
            started => started,
        };
        let writer = writer.map_err(|err| {
            let (AppendError::Full(source) | AppendError::Failed { source, .. }) = err;
            io("start a log file in folder", source)
        })?;
        // Only now: until its own segment is durable, theirs may hold the highest boot number.
        for segment in recovered.stale {
            let name = segment_name(segment);
            disk.remove(&name)
                .map_err(|err| io(&format!("remove {name} from folder"), err))?;
        }
        tracing::info!(folder = %disk, boot, position = last.as_u64(), replayed_bytes = recovered.bytes, "storage opened");

        let lower = Lower {
            frozen: None,
            tables: Arc::new(snapshot),
        };
        let mut state = StoreState {
            layers: Layers {
                current: overlay,
                lower,
            },
            round: Round::after(last),
            taken_bytes: 0,
            current_log_bytes: recovered.bytes,
            row_cost: None,
            frozen_bytes: settings.overlay_bytes,
            finished: recovered.needed,
            health: Health::default(),
            waiting: false,
            lingers: false,
            is_urgent: false,
            stopped: false,
        };
        state.freeze_if_due(&settings);
        Ok(Self {
            syncing: Mutex::new(Syncing::after(last, writer)),
            reserve,
            pages: tables.pages(),
            tables: Mutex::new(tables),
            state: Mutex::new(state),
            staged: Condvar::new(),
            checkpoint_due: Condvar::new(),
            room: Condvar::new(),
            durable: AtomicU64::new(last.as_u64()),
            pressure: AtomicBool::new(false),
            closed: OnceLock::new(),
            retired: AtomicBool::new(false),
            workers: Mutex::default(),
            settings,
            boot,
            unfinished,
            has_lock_file: names.iter().any(|name| name == LOCK),
            disk,
            _lock: lock,
        })
    }
}
