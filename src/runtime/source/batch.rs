//! The batches of a source.

use bytes::Bytes;

use crate::runtime::core::{AddressKey, Brought, SplitPosition};
use crate::sdk::{Address, Message};

/// A record as a message for a function.
#[derive(Debug, Clone)]
pub struct SourceRecord {
    target: AddressKey,
    argument: Bytes,
}

impl SourceRecord {
    /// A record with this message, which has no caller.
    pub fn new(message: &Message) -> Self {
        Self {
            target: AddressKey::from(message.target()),
            argument: message.typed().raw().clone(),
        }
    }

    /// The target of the message.
    pub fn target(&self) -> Address {
        self.target.to_address()
    }
}

impl From<&Message> for SourceRecord {
    fn from(message: &Message) -> Self {
        Self::new(message)
    }
}

/// Records, and the positions of their splits after them. They take effect together or not at all.
///
/// It may have records without a position (if the system that is read keeps track itself), and positions without records (if records
/// were skipped).
#[derive(Debug, Clone, Default)]
#[must_use = "what is not brought has no effect"]
pub struct Batch {
    pub(super) records: Vec<Brought>,
    pub(super) positions: Vec<SplitPosition>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record at the end.
    pub fn record(mut self, record: impl Into<SourceRecord>) -> Self {
        self.push(record);
        self
    }

    /// Like [`record`](Self::record), for use in a loop.
    pub fn push(&mut self, record: impl Into<SourceRecord>) {
        let SourceRecord { target, argument } = record.into();
        self.records.push(Brought { target, argument });
    }

    /// Sets where `split` continues; only the source understands `position`.
    pub fn position(mut self, split: impl Into<String>, position: impl Into<Bytes>) -> Self {
        self.set_position(split, position);
        self
    }

    /// Like [`position`](Self::position), for use in a loop.
    pub fn set_position(&mut self, split: impl Into<String>, position: impl Into<Bytes>) {
        self.positions.push(SplitPosition {
            split: split.into(),
            position: Some(position.into()),
        });
    }

    /// Marks `split` as ended: its position is no longer needed.
    pub fn forget(mut self, split: impl Into<String>) -> Self {
        self.positions.push(SplitPosition {
            split: split.into(),
            position: None,
        });
        self
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}
