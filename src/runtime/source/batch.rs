//! The batches of a source.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use bytes::Bytes;
use prost::Message as _;

use crate::runtime::core::{AddressKey, Brought, SplitPosition};
use crate::sdk::{Address, Message, TypeName};

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

    /// A message with this encoded `TypedValue`.
    pub(crate) const fn encoded(target: AddressKey, argument: Bytes) -> Self {
        Self { target, argument }
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

/// A stored record of a source that cannot be brought.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct NotBrought {
    /// The reason.
    #[prost(string, tag = "1")]
    pub(crate) why: String,
    /// Where the record stands, such as a file and a line.
    #[prost(string, tag = "2")]
    pub(crate) origin: String,
    /// The bytes of the record, cut off if it is long.
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) value: Bytes,
    /// The target, if the record can be read: namespace, type and id.
    #[prost(string, repeated, tag = "4")]
    pub(crate) target: Vec<String>,
    /// The encoded `TypedValue`, if the record can be read.
    #[prost(bytes = "bytes", tag = "5")]
    pub(crate) argument: Bytes,
}

/// Bytes that are kept of a record that cannot be brought.
const KEPT_BYTES: usize = 64 << 10;

/// Records, and the positions of their splits after them. They take effect together or not at all.
///
/// It may have records without a position (if the system that is read keeps track itself), and positions without records (if records
/// were skipped).
#[derive(Debug, Clone, Default)]
#[must_use = "what is not brought has no effect"]
pub struct Batch {
    /// By address; there may be several for one address, in order.
    pub(super) records: Vec<Brought>,
    pub(super) positions: Vec<SplitPosition>,
    /// By the hash of an address, the place of its last ones in `records`.
    last: HashMap<u64, usize>,
    hasher: RandomState,
    /// The number of records.
    count: usize,
    /// Encoded [`NotBrought`]s.
    pub(super) not_brought: Vec<Bytes>,
    /// Where the first of those stands, and why it is there.
    pub(super) first_aside: Option<String>,
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

    /// Makes room for this many more records.
    pub(crate) fn reserve(&mut self, records: usize) {
        self.records.reserve(records);
    }

    /// Like [`record`](Self::record), for use in a loop.
    pub fn push(&mut self, record: impl Into<SourceRecord>) {
        let SourceRecord { target, argument } = record.into();
        self.to(target.parts()).add(&argument);
    }

    /// Adds a record for `id` of a function, with bytes that are a value of type `type_name` (any text, unchecked). Cheaper than a message for
    /// each record.
    pub fn add(&mut self, function: &TypeName, id: &str, type_name: &str, value: &[u8]) {
        self.to((function.namespace(), function.name(), id))
            .add_value(type_name, value);
    }

    /// The place for a further record of an address.
    fn to(&mut self, address: (&str, &str, &str)) -> &mut Brought {
        self.count += 1;
        let hash = self.hasher.hash_one(address);
        let known = self.last.get(&hash).copied();
        // Another address may have the same hash.
        let fits = |brought: &Brought| brought.target().parts() == address && !brought.is_full();
        let known = known.filter(|place| self.records.get(*place).is_some_and(fits));
        let place = known.unwrap_or_else(|| {
            let (namespace, name, id) = address;
            let target = AddressKey::new(namespace, name, id);
            self.records.push(Brought::new(target));
            self.last.insert(hash, self.records.len() - 1);
            self.records.len() - 1
        });
        let brought = self.records.get_mut(place);
        brought.expect("the place was found or made above")
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
        self.end(split);
        self
    }

    /// Like [`forget`](Self::forget), for use in a loop.
    pub fn end(&mut self, split: impl Into<String>) {
        self.positions.push(SplitPosition {
            split: split.into(),
            position: None,
        });
    }

    /// Sets a record aside that can never be brought, such as one that cannot be read: it counts as brought, and its first 64 KiB and `why` are kept
    /// for operators. `origin` says where it stands.
    pub fn set_aside(&mut self, origin: impl Into<String>, why: impl Into<String>, record: &[u8]) {
        self.keep(origin, why, record, None);
    }

    /// Like [`set_aside`](Self::set_aside), for a record that can be read: an operator may bring `message` later, for example once its function is bound.
    pub fn set_message_aside(
        &mut self,
        origin: impl Into<String>,
        why: impl Into<String>,
        record: &[u8],
        message: impl Into<SourceRecord>,
    ) {
        self.keep(origin, why, record, Some(message.into()));
    }

    fn keep(
        &mut self,
        origin: impl Into<String>,
        why: impl Into<String>,
        record: &[u8],
        message: Option<SourceRecord>,
    ) {
        let (target, argument) = match message {
            Some(SourceRecord { target, argument }) => {
                let (namespace, name, id) = target.parts();
                (vec![namespace.into(), name.into(), id.into()], argument)
            }
            None => (Vec::new(), Bytes::new()),
        };
        let (origin, why) = (origin.into(), why.into());
        self.first_aside
            .get_or_insert_with(|| format!("{origin}: {why}"));
        let kept = NotBrought {
            why,
            origin,
            value: Bytes::copy_from_slice(record.get(..KEPT_BYTES).unwrap_or(record)),
            target,
            argument,
        };
        self.not_brought.push(kept.encode_to_vec().into());
    }

    /// The number of records.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are no records.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdk::MessageBuilder;

    #[test]
    fn records_of_one_address_come_together_in_their_order_however_they_were_added() {
        let function = TypeName::new("a/f");
        let mut batch = Batch::new();
        batch.add(&function, "1", "a/b", b"one");
        batch.add(&function, "2", "a/b", b"two");
        let one = Address::new(function.clone(), "1");
        let three = MessageBuilder::to(one).raw("a/b", b"three");
        batch.push(&three);
        assert_eq!(batch.len(), 3);

        let mut first = Brought::new(AddressKey::new("a", "f", "1"));
        first.add_value("a/b", b"one");
        first.add_value("a/b", b"three");
        let mut second = Brought::new(AddressKey::new("a", "f", "2"));
        second.add_value("a/b", b"two");
        assert_eq!(batch.records, [first, second]);
    }

    #[test]
    fn what_does_not_fit_a_row_any_more_is_in_the_next_one() {
        let function = TypeName::new("a/f");
        let mut batch = Batch::new();
        for _ in 0..2_500 {
            batch.add(&function, "1", "a/b", b"");
        }
        assert_eq!((batch.len(), batch.records.len()), (2_500, 3));
    }
}
