//! A source as one more sending core: its records and its positions are one list of writes.
//!
//! Whatever a crash leaves is a prefix of the staged lists, so a record is stored if and only if its position is. A source has a number
//! after those of the cores. The ids that it assigns ascend, so a receiving core knows from them which messages are still on their way.

use bytes::Bytes;

use super::keys::{AddressKey, INBOX, NOT_BROUGHT, SOURCES, after_prefix, id_hash, source_prefix};
use super::message::Message;
use super::rows::each_row;
use super::{Brought, Core, MessageId, owner};
use crate::storage::{Position, StorageError, Store, Write};

/// Rows read at a time.
const PAGE: usize = 512;

/// The position of a source in one of its splits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitPosition {
    /// The split: a partition, a shard, a file. May be empty for a source with only one.
    pub split: String,
    /// The position, which only the source understands; `None` removes the split.
    pub position: Option<Bytes>,
}

/// The sending side of one source.
#[derive(Debug)]
pub struct SourceCore {
    index: u8,
    cores: u8,
    next_number: u64,
    /// The key prefix of its positions.
    prefix: Bytes,
    name: Box<str>,
    store: Store,
}

impl SourceCore {
    /// The source `name`. Its number `index` must differ from those of all cores and other sources.
    pub fn new(index: u8, cores: u8, name: &str, store: Store) -> Self {
        Self {
            index,
            cores,
            next_number: 1,
            prefix: source_prefix(name),
            name: name.into(),
            store,
        }
    }

    /// The stored positions by split.
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

    /// Stages records, positions and the rows of records that cannot be brought as one list. The returned messages must be passed, at once
    /// and in this order, to the core with the number of their place.
    pub fn take(
        &mut self,
        records: Vec<Brought>,
        positions: Vec<SplitPosition>,
        not_brought: Vec<Bytes>,
    ) -> (Position, Vec<Vec<Message>>) {
        let rows = records.len() + positions.len() + not_brought.len();
        let mut writes = Vec::with_capacity(rows);
        let mut messages = vec![Vec::new(); usize::from(self.cores.max(1))];
        for record in records {
            let id = self.next_id();
            let (target, key, invocation) = record.into_row(id);
            writes.push(Write::put(INBOX, key, invocation.clone()));
            let to = owner(id_hash(target.id()), self.cores);
            if let Some(messages) = messages.get_mut(usize::from(to)) {
                messages.push(Message {
                    target,
                    id,
                    invocation,
                    position: Position::START,
                });
            }
        }
        for SplitPosition { split, position } in positions {
            let key = [&self.prefix, split.as_bytes()].concat();
            writes.push(match position {
                Some(position) => Write::put(SOURCES, key, position),
                None => Write::delete(SOURCES, key),
            });
        }
        for row in not_brought {
            writes.push(Write::put(NOT_BROUGHT, self.next_key(), row));
        }
        let position = self.store.stage(writes);
        for message in messages.iter_mut().flatten() {
            message.position = position;
        }
        (position, messages)
    }

    /// The key of a record that cannot be brought.
    fn next_key(&mut self) -> Bytes {
        let MessageId { boot, number } = self.next_id();
        let (namespace, name) = self.name.split_once('/').unwrap_or((&self.name, ""));
        AddressKey::new(namespace, name, &format!("{boot}-{number}")).to_bytes()
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
    /// Messages that sources may bring until the backlog is at its limit.
    pub const fn room(&self) -> u64 {
        self.settings.max_backlog.saturating_sub(self.backlog())
    }
}
