//! What a source brings at once.

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
    /// `message`, which has no caller: nobody waits for an answer to it.
    pub fn new(message: &Message) -> Self {
        Self {
            target: AddressKey::from(message.target()),
            argument: message.typed().raw().clone(),
        }
    }

    /// Whom it goes to.
    pub fn target(&self) -> Address {
        self.target.to_address()
    }
}

impl From<&Message> for SourceRecord {
    fn from(message: &Message) -> Self {
        Self::new(message)
    }
}

/// Records, and where their splits go on behind them. They take effect together or not at all.
///
/// It may have records without a position (of a far side that keeps count itself), and positions without records (of what was
/// looked at and passed over).
#[derive(Debug, Clone, Default)]
#[must_use = "what is not brought has no effect"]
pub struct Batch {
    pub(super) records: Vec<Brought>,
    pub(super) positions: Vec<SplitPosition>,
}

impl Batch {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record behind those that are there.
    pub fn record(mut self, record: impl Into<SourceRecord>) -> Self {
        self.push(record);
        self
    }

    /// As [`record`](Self::record), in a loop.
    pub fn push(&mut self, record: impl Into<SourceRecord>) {
        let SourceRecord { target, argument } = record.into();
        self.records.push(Brought { target, argument });
    }

    /// `split` goes on at `position`, which only the source understands.
    pub fn position(mut self, split: impl Into<String>, position: impl Into<Bytes>) -> Self {
        self.set_position(split, position);
        self
    }

    /// As [`position`](Self::position), in a loop.
    pub fn set_position(&mut self, split: impl Into<String>, position: impl Into<Bytes>) {
        self.positions.push(SplitPosition {
            split: split.into(),
            position: Some(position.into()),
        });
    }

    /// `split` has come to its end, and will never be asked for again.
    pub fn forget(mut self, split: impl Into<String>) -> Self {
        self.positions.push(SplitPosition {
            split: split.into(),
            position: None,
        });
        self
    }

    /// How many records are in it.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it has no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}
