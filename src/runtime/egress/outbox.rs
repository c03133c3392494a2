//! The undelivered records of one egress: all on disk, some of them in a window in memory.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;
use tokio::sync::{Notify, watch};

use crate::runtime::condition::Condition;
use crate::runtime::core::MessageId;
use crate::runtime::core::keys::{OUTBOX, SET_ASIDE, after_prefix};
use crate::storage::{Position, Rows as _, StorageError, Store, Stretch, Write, count, stretch};

/// Maximum records of one egress in memory.
const WINDOW_RECORDS: usize = 16_384;
/// Maximum bytes of records of one egress in memory.
const WINDOW_BYTES: usize = 8 << 20;
/// Maximum records whose sender is remembered.
const ATTRIBUTED: usize = 200_000;
/// Records read from the store at a time.
const PAGE: usize = 1_024;

/// A record to deliver. Its id is the same at every attempt, also after a crash.
#[derive(Debug, Clone)]
pub(crate) struct OutboxRecord {
    /// The id of the record in the outbox, which orders the records of a function.
    pub(crate) id: MessageId,
    /// The encoded `TypedValue`.
    pub(crate) value: Bytes,
}

/// A stored record that its target system will never accept.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SetAside {
    /// The reason of the refusal.
    #[prost(string, tag = "1")]
    pub(crate) why: String,
    /// The typename of the value.
    #[prost(string, tag = "2")]
    pub(crate) value_type_name: String,
    /// The encoded value.
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) value: Bytes,
}

/// The outbox of one egress; clones are the same outbox. There is one consumer.
#[derive(Debug, Clone)]
pub(crate) struct Outbox(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    prefix: Bytes,
    store: Store,
    durable: watch::Receiver<Position>,
    window: Mutex<Window>,
    arrived: Notify,
    condition: Condition,
    /// The number of records that are kept because their target system refuses them.
    set_aside: AtomicU64,
    /// The number of records that the consumer goes on delivering while it takes others.
    kept: AtomicU64,
}

#[derive(Debug, Default)]
struct Window {
    records: VecDeque<OutboxRecord>,
    bytes: usize,
    /// Whether the store has records that are not in the window.
    behind: bool,
    /// The last commit whose record was left in the store.
    left_behind: Position,
    /// Everything committed up to here is in the window or was read from the store.
    read_to: Position,
    /// Records of the last page, which may arrive again.
    page: HashSet<MessageId>,
    /// Records that the consumer has taken and not settled.
    taken: HashSet<MessageId>,
    /// The known senders of unsettled records: at most [`ATTRIBUTED`], of this start.
    senders: HashMap<MessageId, Bytes>,
    by_sender: HashMap<Bytes, u64>,
    /// Unsettled records. A record read from the store may be settled before it is pushed, so this can be negative.
    undelivered: i64,
}

impl Window {
    /// Records the sender of a record.
    fn attribute(&mut self, id: MessageId, sender: &Bytes) {
        if self.senders.len() >= ATTRIBUTED {
            return;
        }
        self.senders.insert(id, sender.clone());
        match self.by_sender.get_mut(sender) {
            Some(count) => *count += 1,
            None => _ = self.by_sender.insert(sender.clone(), 1),
        }
    }

    /// Settles the record.
    fn release(&mut self, id: &MessageId) {
        let Some(sender) = self.senders.remove(id) else {
            return;
        };
        let count = self.by_sender.get_mut(&sender);
        let count = count.expect("each record that is attributed is counted");
        *count -= 1;
        if *count == 0 {
            self.by_sender.remove(&sender);
        }
    }
}

impl Outbox {
    /// The outbox of the egress whose rows begin with `prefix`, with what an earlier run left.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) fn open(
        prefix: Bytes,
        store: Store,
        durable: watch::Receiver<Position>,
    ) -> Result<Self, StorageError> {
        let end = after_prefix(&prefix);
        let undelivered = count(&store, OUTBOX, &prefix, end.as_deref(), usize::MAX)?;
        let set_aside = count(&store, SET_ASIDE, &prefix, end.as_deref(), usize::MAX)?;
        let undelivered = i64::try_from(undelivered).unwrap_or(i64::MAX);
        let window = Window {
            behind: undelivered > 0,
            undelivered,
            ..Window::default()
        };
        Ok(Self(Arc::new(Shared {
            prefix,
            store,
            durable,
            window: Mutex::new(window),
            arrived: Notify::new(),
            condition: Condition::default(),
            set_aside: AtomicU64::new(u64::try_from(set_aside).unwrap_or(u64::MAX)),
            kept: AtomicU64::new(0),
        })))
    }

    /// Adds a durable record of a function of type `sender`.
    pub(crate) fn push(&self, id: MessageId, value: Bytes, sender: &Bytes, position: Position) {
        let mut window = self.window();
        window.undelivered += 1;
        let was_read = position <= window.read_to || window.page.contains(&id);
        if !was_read {
            // One that was read may be settled already.
            window.attribute(id, sender);
        }
        let full = window.records.len() >= WINDOW_RECORDS || window.bytes >= WINDOW_BYTES;
        if window.behind || full {
            window.behind = true;
            window.left_behind = window.left_behind.max(position);
        } else if !was_read {
            window.bytes += value.len();
            window.records.push_back(OutboxRecord { id, value });
        }
        drop(window);
        self.0.arrived.notify_one();
    }

    /// Waits for records, oldest first, at most `limit`. Each is returned once per process.
    ///
    /// # Errors
    /// When the store can't be read; call again later.
    pub(crate) async fn take(&self, limit: usize) -> Result<Vec<OutboxRecord>, StorageError> {
        loop {
            {
                let mut window = self.window();
                let count = window.records.len().min(limit);
                if count > 0 {
                    let taken: Vec<_> = window.records.drain(..count).collect();
                    window.bytes -= taken.iter().map(|record| record.value.len()).sum::<usize>();
                    window.taken.extend(taken.iter().map(|record| record.id));
                    return Ok(taken);
                }
            }
            let is_behind = self.window().behind;
            if is_behind {
                self.read_page().await?;
                if self.window().records.is_empty() {
                    self.0.arrived.notified().await;
                }
            } else {
                self.0.arrived.notified().await;
            }
        }
    }

    /// Settles delivered records: they are deleted with the next round.
    pub(crate) fn settle(&self, ids: &[MessageId]) {
        if ids.is_empty() {
            return;
        }
        let deletes = ids
            .iter()
            .map(|id| Write::delete(OUTBOX, self.row(*id)))
            .collect();
        self.0.store.stage(deletes);
        self.0.condition.moved_on(ids.len());
        let mut window = self.window();
        for id in ids {
            window.taken.remove(id);
            window.release(id);
        }
        window.undelivered -= i64::try_from(ids.len()).unwrap_or_default();
    }

    /// The number of unsettled records.
    pub(crate) fn undelivered(&self) -> u64 {
        u64::try_from(self.window().undelivered).unwrap_or_default()
    }

    /// The number of those known to come from functions of type `sender`.
    pub(crate) fn undelivered_of(&self, sender: &[u8]) -> u64 {
        let window = self.window();
        window.by_sender.get(sender).copied().unwrap_or_default()
    }

    /// Stages a row in addition to the records; ready when it is on disk, which never happens once the store has closed.
    pub(crate) async fn make_durable(&self, write: Write) {
        let position = self.0.store.stage(vec![write]);
        self.0.store.hurry();
        let mut durable = self.0.durable.clone();
        if durable
            .wait_for(|durable| *durable >= position)
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
    }

    /// Stores a record that its target system refuses, with the reason; ready when it is on disk. It stays in the outbox until it is settled.
    /// False if it was set aside before.
    pub(crate) async fn set_aside(&self, id: MessageId, refused: &SetAside) -> bool {
        let row = self.row(id);
        // A batch that fails is repeated, with the records that were set aside.
        let is_known = matches!(self.0.store.get(SET_ASIDE, &row), Ok(Some(_)));
        let write = Write::put(SET_ASIDE, row, refused.encode_to_vec());
        self.make_durable(write).await;
        self.0
            .set_aside
            .fetch_add(u64::from(!is_known), Ordering::Relaxed);
        !is_known
    }

    /// A record that was set aside is no longer.
    pub(crate) fn took_back(&self) {
        let less = |count: u64| count.checked_sub(1);
        // A command that was answered too late is counted at the next start.
        let _ = self
            .0
            .set_aside
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// How many records are set aside.
    pub(crate) fn set_aside_count(&self) -> u64 {
        self.0.set_aside.load(Ordering::Relaxed)
    }

    /// The consumer goes on delivering one more record while it takes others.
    pub(crate) fn keeps(&self) {
        self.0.kept.fetch_add(1, Ordering::Relaxed);
    }

    /// A record that the consumer has kept is settled. With the last one, what delayed them is over.
    pub(crate) fn keeps_no_longer(&self) {
        if self.0.kept.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.condition.works();
        }
    }

    /// Whether the consumer delivers records that it has kept.
    pub(crate) fn is_keeping(&self) -> bool {
        self.0.kept.load(Ordering::Relaxed) > 0
    }

    /// The condition of its consumer.
    pub(crate) fn condition(&self) -> &Condition {
        &self.0.condition
    }

    /// As many of the oldest records as the window may have, without those in `taken`, and whether there are more. A damaged one stays stored:
    /// the store has reported it, and it must not block the others.
    fn oldest(
        &self,
        taken: &HashSet<MessageId>,
        end: Option<&[u8]>,
    ) -> Result<(Vec<OutboxRecord>, bool), StorageError> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        let mut from = self.0.prefix.to_vec();
        loop {
            let Stretch { rows, is_last } = stretch(&self.0.store, OUTBOX, &from, end, PAGE)?;
            if let Some((last, _)) = rows.last() {
                from = [&last[..], &[0]].concat();
            }
            for (key, value) in rows {
                let id = key.get(self.0.prefix.len()..).and_then(MessageId::decode);
                if let (Some(id), Ok(value)) = (id.filter(|id| !taken.contains(id)), value) {
                    bytes += value.len();
                    records.push(OutboxRecord { id, value });
                }
            }
            if is_last || records.len() >= WINDOW_RECORDS || bytes >= WINDOW_BYTES {
                return Ok((records, !is_last));
            }
        }
    }

    /// Reads the oldest records from the store into the empty window, and waits until they are durable.
    async fn read_page(&self) -> Result<(), StorageError> {
        let before = self.0.store.stage(Vec::new());
        let end = after_prefix(&self.0.prefix);
        let taken = self.window().taken.clone();
        // Where a thread may wait for the disk.
        let outbox = self.clone();
        let read = move || outbox.oldest(&taken, end.as_deref());
        let read = tokio::task::spawn_blocking(read).await;
        let (records, full) = read.map_err(|failure| StorageError::Io {
            action: "read the outbox".to_owned(),
            source: std::io::Error::other(failure),
        })??;
        let after = self.0.store.stage(Vec::new());
        self.0.store.hurry();
        // A closed store makes nothing durable any more, so nothing more is delivered.
        let mut durable = self.0.durable.clone();
        if durable.wait_for(|durable| *durable >= after).await.is_err() {
            std::future::pending::<()>().await;
        }

        let mut window = self.window();
        window.page.clear();
        for record in records {
            window.bytes += record.value.len();
            window.page.insert(record.id);
            window.records.push_back(record);
        }
        window.behind = full || window.left_behind > before;
        window.read_to = before;
        Ok(())
    }

    fn row(&self, id: MessageId) -> Bytes {
        let mut key = BytesMut::with_capacity(self.0.prefix.len() + MessageId::LENGTH);
        key.put_slice(&self.0.prefix);
        key.put_slice(&id.encode());
        key.freeze()
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        // The window is consistent after every section that holds the lock.
        self.0.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
