//! A source as one more sending core: what it brought and how far it has come are one list of writes.
//!
//! Whatever a crash leaves is a prefix of the staged lists, so a record is there exactly if its position is. A source has a number
//! beside those of the cores; the ids that it gives ascend, and a receiving core tells by them what is still on its way.

use bytes::Bytes;

use super::keys::{AddressKey, INBOX, SOURCES, after_prefix, id_hash, put_text};
use super::mailbox::Message;
use super::rows::{each_row, message_row};
use super::{Core, MessageId, owner};
use crate::storage::{Position, StorageError, Store, Write};

/// Rows that are read at a time.
const PAGE: usize = 512;

/// A record that a source brings, as a message for a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brought {
    /// Whom it goes to.
    pub target: AddressKey,
    /// The encoded `TypedValue`.
    pub argument: Bytes,
}

/// How far a source has come with one of its splits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitPosition {
    /// Which split: a partition, a shard, a file. May be empty for a source that has only one.
    pub split: String,
    /// What the source makes of it; `None` forgets the split.
    pub position: Option<Bytes>,
}

/// The sending side of one source.
#[derive(Debug)]
pub struct SourceCore {
    index: u8,
    cores: u8,
    next_number: u64,
    /// Front of the keys of its positions.
    prefix: Bytes,
    store: Store,
}

impl SourceCore {
    /// The source `name`. Its number `index` is that of no core and of no other source.
    pub fn new(index: u8, cores: u8, name: &str, store: Store) -> Self {
        let mut prefix = Vec::with_capacity(name.len() + 2);
        put_text(&mut prefix, name);
        Self {
            index,
            cores,
            next_number: 1,
            prefix: prefix.into(),
            store,
        }
    }

    /// The positions that are stored, by split.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn positions(&self) -> Result<Vec<(String, Bytes)>, StorageError> {
        let mut positions = Vec::new();
        let end = after_prefix(&self.prefix);
        let store = &self.store;
        each_row(
            store,
            SOURCES,
            &self.prefix,
            end.as_deref(),
            PAGE,
            |key, position| {
                let split = key.get(self.prefix.len()..).unwrap_or_default();
                positions.push((String::from_utf8_lossy(split).into_owned(), position));
                std::ops::ControlFlow::Continue(())
            },
        )?;
        Ok(positions)
    }

    /// Stages records and positions as one list. The messages are to be handed, at once and in this order, to the cores that stand
    /// beside them.
    pub fn take(
        &mut self,
        records: Vec<Brought>,
        positions: Vec<SplitPosition>,
    ) -> (Position, Vec<(u8, Message)>) {
        let mut writes = Vec::with_capacity(records.len() + positions.len());
        let mut messages = Vec::with_capacity(records.len());
        for Brought { target, argument } in records {
            let id = self.next_id();
            let (key, invocation) = message_row(&target, id, None, &argument);
            writes.push(Write::put(INBOX, key, invocation.clone()));
            messages.push((target, id, invocation));
        }
        for SplitPosition { split, position } in positions {
            let key = [&self.prefix, split.as_bytes()].concat();
            writes.push(match position {
                Some(position) => Write::put(SOURCES, key, position),
                None => Write::delete(SOURCES, key),
            });
        }
        let position = self.store.stage(writes);
        let handed_on = messages.into_iter().map(|(target, id, invocation)| {
            let to = owner(id_hash(target.id()), self.cores);
            let message = Message {
                target,
                id,
                invocation,
                position,
            };
            (to, message)
        });
        (position, handed_on.collect())
    }

    fn next_id(&mut self) -> MessageId {
        let number = self.next_number << 8 | u64::from(self.index);
        self.next_number += 1;
        MessageId {
            boot: u32::try_from(self.store.boot()).unwrap_or(u32::MAX),
            number,
        }
    }
}

impl Core {
    /// Whether sources may bring more: as many messages as may are not waiting.
    pub const fn has_room(&self) -> bool {
        self.backlog() < self.settings.max_backlog
    }
}
