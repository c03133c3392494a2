//! The records of a source's batch for one address. They share a row and travel as one message, so that a record costs neither.

use bytes::Bytes;

use super::MessageId;
use super::keys::AddressKey;
use super::wire;

/// The most records in a row, so that limits on calls and memory are not exceeded by much.
const MOST: u32 = 1_024;
/// The bytes of a row at which no further record is added.
const MOST_BYTES: usize = 256 << 10;

/// Records of a source for one address, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brought {
    target: AddressKey,
    /// The key of the row, with zeros instead of its id, and the packed invocations.
    row: Vec<u8>,
    key_len: usize,
    count: u32,
}

impl Brought {
    /// No record for this address yet.
    pub fn new(target: AddressKey) -> Self {
        let key_len = target.key_len() + MessageId::LENGTH;
        let mut row = Vec::with_capacity(key_len);
        target.put_key(&mut row);
        row.resize(key_len, 0);
        Self {
            target,
            row,
            key_len,
            count: 0,
        }
    }

    /// The address.
    pub const fn target(&self) -> &AddressKey {
        &self.target
    }

    /// Adds a record; `argument` is an encoded `TypedValue`.
    pub fn add(&mut self, argument: &[u8]) {
        wire::pack(&mut self.row, argument);
        self.count += 1;
    }

    /// Adds a record with this value.
    pub fn add_value(&mut self, typename: &str, value: &[u8]) {
        wire::pack_value(&mut self.row, typename, value);
        self.count += 1;
    }

    /// The encoded `TypedValue` of each record.
    pub fn arguments(&self) -> impl Iterator<Item = &[u8]> {
        wire::arguments(self.row.get(self.key_len..).unwrap_or_default())
    }

    /// Whether further records for the address need another row.
    pub const fn is_full(&self) -> bool {
        self.count >= MOST || self.row.len() >= MOST_BYTES
    }

    /// The key of the row and the content of its message.
    pub(super) fn into_row(mut self, id: MessageId) -> (AddressKey, Bytes, Bytes) {
        let id_at = self.target.key_len();
        if let Some(place) = self.row.get_mut(id_at..self.key_len) {
            place.copy_from_slice(&id.encode());
        }
        let mut content = Bytes::from(self.row);
        let key = content.split_to(self.key_len);
        if self.count == 1 {
            wire::unpack_one(&mut content);
        }
        (self.target, key, content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_record_is_stored_like_a_message_and_several_are_packed() {
        let target = AddressKey::new("a", "f", "1");
        let id = MessageId {
            boot: 3,
            number: 7 << 8,
        };
        let mut one = Brought::new(target.clone());
        one.add(b"argument");
        let (_, key, content) = one.clone().into_row(id);
        assert_eq!(key, target.row(&id.encode()));
        assert_eq!(content, wire::invocation(None, b"argument"));
        one.add_value("a/b", b"1");
        let arguments: Vec<_> = one.arguments().map(|argument| argument.len()).collect();
        assert_eq!(arguments, [8, 10]);
        let (_, key, content) = one.into_row(id);
        assert_eq!(key, target.row(&id.encode()));
        assert_eq!(wire::count(&content), Some(2));
    }

    #[test]
    fn a_row_ends_with_many_records_or_bytes() {
        let mut many = Brought::new(AddressKey::new("a", "f", "1"));
        for _ in 0..MOST {
            assert!(!many.is_full());
            many.add(b"");
        }
        assert!(many.is_full());
        let mut large = Brought::new(AddressKey::new("a", "f", "1"));
        large.add(&vec![0; MOST_BYTES]);
        assert!(large.is_full());
    }
}
