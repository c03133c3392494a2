//! The rows of a core, and their keys. Every stored layout is defined here or next to its type.
//!
//! Texts inside keys are preceded by their length, so that no id can be mistaken for another, whatever its bytes.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::{BufMut, Bytes};
use prost::encoding::decode_varint;

use crate::sdk::{Address, put_varint, varint_len};
use crate::storage::Table;
use crate::time::Timestamp;

/// Settings of the store itself. Key: a text.
pub const META: Table = Table::new(0);
/// Messages that wait or are in flight. Key: address, message id. Value: the encoded `ToFunction.Invocation`; of several records that a source
/// has brought together, the invocations as they stand in a request (each after the key and the length of field 3).
pub const INBOX: Table = Table::with_fresh_keys(1);
/// State. Key: address, name. Value: see [`super::state`].
pub const STATE: Table = Table::new(2);
/// Delayed messages. Key: due time, message id, hash of the sender's id. Value: see [`super::timers`].
pub const TIMERS: Table = Table::with_fresh_keys(3);
/// Pending cancellation tokens. Key: sender id, token. Value: the timer's key, then the sender.
pub const TOKENS: Table = Table::new(4);
/// Declared values. Key: function type, name. Value: see [`super::state`].
pub const SPECS: Table = Table::new(5);
/// Undelivered egress records. Key: egress, message id. Value: the encoded `TypedValue`.
pub const OUTBOX: Table = Table::with_fresh_keys(6);
/// Parked addresses. Key: address. Value: see [`super::failure`].
pub const PARKED: Table = Table::new(7);
/// Calls whose answer is to be stored. Key: gateway id. Value: the key in [`ANSWERS`].
pub const GATEWAYS: Table = Table::new(8);
/// Idempotency keys with their answers. Key: made by the ingress. Value: see [`super::idempotency`].
pub const ANSWERS: Table = Table::new(9);
/// Positions of sources. Key: the source's name preceded by its length, then the split. Value: the source's own.
pub const SOURCES: Table = Table::new(10);

/// Egress records that their target system refuses. Key: egress, message id. Value: see `runtime::egress`.
pub const SET_ASIDE: Table = Table::new(14);
/// Records that a source cannot bring. Key: an address of the source's name and an id. Value: see `runtime::source`.
pub const NOT_BROUGHT: Table = Table::new(15);

/// Notes of parts above the runtime for later starts, with their own keys and values.
pub const NOTES: Table = Table::new(20);

/// An address: namespace, type and id. In keys each is preceded by its length.
///
/// Its text is checked once, when it is created; the parts are slices of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddressKey {
    /// Namespace, type and id, without separators.
    text: Arc<str>,
    /// Where the type begins.
    name_at: usize,
    /// Where the id begins.
    id_at: usize,
}

/// Namespace, type and id.
pub type Parts<'a> = (&'a str, &'a str, &'a str);

impl AddressKey {
    /// The key of the address with these three parts.
    pub fn new(namespace: &str, name: &str, id: &str) -> Self {
        Self {
            text: [namespace, name, id].concat().into(),
            name_at: namespace.len(),
            id_at: namespace.len() + name.len(),
        }
    }

    /// The key at the front of `row`, and the rest of it; `None` if it is damaged.
    pub fn split(row: &Bytes) -> Option<(Self, Bytes)> {
        let mut rest = &row[..];
        let mut next = || take_text(&mut rest);
        let address = Self::new(next()?, next()?, next()?);
        Some((address, row.slice_ref(rest)))
    }

    /// Namespace, type and id.
    pub fn parts(&self) -> Parts<'_> {
        let (kind, id) = self.text.split_at(self.id_at);
        let (namespace, name) = kind.split_at(self.name_at);
        (namespace, name, id)
    }

    /// The id within the type.
    pub fn id(&self) -> &str {
        self.parts().2
    }

    /// The part of the key for the function type.
    pub fn type_prefix(&self) -> Bytes {
        let (namespace, name, _) = self.parts();
        type_prefix(namespace, name)
    }

    /// The same address as the SDK's type.
    pub fn to_address(&self) -> Address {
        let (namespace, name, id) = self.parts();
        Address::from_wire(namespace, name, id)
    }

    /// The bytes of the key.
    pub fn to_bytes(&self) -> Bytes {
        self.row(&[])
    }

    /// The key of a row of this address: the address and then `suffix`.
    pub fn row(&self, suffix: &[u8]) -> Bytes {
        let mut key = Vec::with_capacity(self.key_len() + suffix.len());
        self.put_key(&mut key);
        key.extend_from_slice(suffix);
        key.into()
    }

    /// The length of the key in bytes.
    pub fn key_len(&self) -> usize {
        let (namespace, name, id) = self.parts();
        let lengths = [namespace, name, id].map(|part| varint_len(part.len()));
        lengths.iter().sum::<usize>() + self.text.len()
    }

    /// Writes the key.
    pub(super) fn put_key(&self, out: &mut Vec<u8>) {
        let (namespace, name, id) = self.parts();
        for part in [namespace, name, id] {
            put_text(out, part);
        }
    }
}

impl Hash for AddressKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
        // Addresses that differ only in the split are rare: one number is enough to distinguish them.
        state.write_usize(self.id_at.rotate_left(32) ^ self.name_at);
    }
}

impl fmt::Debug for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AddressKey").field(&self.parts()).finish()
    }
}

impl From<&Address> for AddressKey {
    fn from(address: &Address) -> Self {
        Self::new(
            address.type_name().namespace(),
            address.type_name().name(),
            address.id(),
        )
    }
}

/// A unique id of a message: the number of the start, and a number within it that includes the core.
///
/// The messages that one core sends to one address have ascending ids, so their order survives a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId {
    /// Number of the start, from [`crate::storage::Store::boot`].
    pub boot: u32,
    /// Ascending within one core; its last eight bits are the core's number.
    pub number: u64,
}

impl MessageId {
    /// Bytes of an encoded id.
    pub const LENGTH: usize = 12;

    /// The core that assigned this id.
    pub const fn core(self) -> u8 {
        self.number.to_be_bytes()[7]
    }

    /// Twelve bytes in the order of the ids.
    pub fn encode(self) -> [u8; Self::LENGTH] {
        let mut out = [0; Self::LENGTH];
        let (boot, number) = out.split_at_mut(4);
        boot.copy_from_slice(&self.boot.to_be_bytes());
        number.copy_from_slice(&self.number.to_be_bytes());
        out
    }

    /// The id at the front of `bytes`.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (boot, rest) = bytes.split_first_chunk::<4>()?;
        let (number, _) = rest.split_first_chunk::<8>()?;
        Some(Self {
            boot: u32::from_be_bytes(*boot),
            number: u64::from_be_bytes(*number),
        })
    }
}

/// The key of a timer: its due time, its order among timers of that millisecond, and its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerKey {
    /// When the message is due.
    pub due: Timestamp,
    /// The order among timers of one millisecond.
    pub id: MessageId,
    /// Hash of the sender's id, by which a core recognises its timers.
    pub hash: u32,
}

impl TimerKey {
    /// The row key; its order is the order of firing.
    pub fn encode(self) -> Bytes {
        let mut key = Vec::with_capacity(24);
        key.put_u64(self.due.as_millis());
        key.put_slice(&self.id.encode());
        key.put_u32(self.hash);
        key.into()
    }

    /// Reads a row key.
    pub fn decode(key: &[u8]) -> Option<Self> {
        let (due, rest) = key.split_first_chunk::<8>()?;
        let id = MessageId::decode(rest)?;
        let hash = rest.get(MessageId::LENGTH..)?.first_chunk::<4>()?;
        Some(Self {
            due: Timestamp::from_millis(u64::from_be_bytes(*due)),
            id,
            hash: u32::from_be_bytes(*hash),
        })
    }
}

/// The key of a pending token: tokens are scoped by the sender's id alone, as on StateFun.
pub fn token_key(sender_id: &str, token: &str) -> Bytes {
    let mut key = Vec::with_capacity(sender_id.len() + token.len() + 2);
    put_text(&mut key, sender_id);
    key.extend_from_slice(token.as_bytes());
    key.into()
}

/// The key prefix of an egress's records.
pub fn egress_prefix(namespace: &str, name: &str) -> Bytes {
    let mut key = Vec::with_capacity(namespace.len() + name.len() + 2);
    put_text(&mut key, namespace);
    put_text(&mut key, name);
    key.into()
}

/// The key prefix of the positions of a source.
pub fn source_prefix(name: &str) -> Bytes {
    let mut key = Vec::with_capacity(name.len() + 2);
    put_text(&mut key, name);
    key.into()
}

/// The key prefix of everything that belongs to a function type.
pub fn type_prefix(namespace: &str, name: &str) -> Bytes {
    egress_prefix(namespace, name)
}

/// The first key after all that begin with `prefix`; `None` if there is none.
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

/// The hash of an id, which decides its core and is stored in timer rows. FNV-1a with a final mix; it must never change.
pub fn id_hash(id: &str) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in id.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 29;
    hash = hash.wrapping_mul(0x94D0_49BB_1331_11EB);
    u32::try_from(hash >> 32).unwrap_or_default()
}

/// Writes `text`, preceded by its length.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

/// Writes `bytes`, preceded by their length.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Takes a text with its length from the front.
pub fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(take_bytes(rest)?).ok()
}

/// Takes bytes with their length from the front.
pub fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut tail = *rest;
    let length = decode_varint(&mut tail).ok()?;
    let (taken, tail) = tail.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = tail;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_whose_joined_names_are_equal_have_different_keys() {
        assert_ne!(
            AddressKey::new("a.b", "c", "x"),
            AddressKey::new("a", "b.c", "x")
        );
        assert_ne!(
            AddressKey::new("a", "b", "1/2"),
            AddressKey::new("a", "b", "1\u{0}2")
        );
    }

    #[test]
    fn a_key_has_the_length_of_each_part_in_front_however_long_it_is() {
        let id = "é".repeat(100);
        let address = AddressKey::new("a", "", &id);
        let expected = [&[1, b'a', 0, 200, 1][..], id.as_bytes()].concat();
        assert_eq!(address.to_bytes(), expected);
        assert_eq!(address.key_len(), expected.len());
        assert_eq!(
            AddressKey::split(&expected.into()),
            Some((address, Bytes::new()))
        );
    }

    #[test]
    fn an_address_is_found_at_the_front_of_a_row_key() {
        let address = AddressKey::new("example", "greeter", "");
        let row = address.row(b"seen");
        let (found, rest) = AddressKey::split(&row).unwrap();
        assert_eq!(
            (found.parts(), &rest[..]),
            (("example", "greeter", ""), &b"seen"[..])
        );
        assert_eq!(found.type_prefix(), type_prefix("example", "greeter"));
        assert!(AddressKey::split(&Bytes::from_static(&[200, 1, 2])).is_none());
    }

    #[test]
    fn encoded_ids_and_timers_keep_their_order() {
        let id = |boot, number| MessageId { boot, number };
        let mut ids = [id(1, 2 << 8), id(1, 300 << 8), id(2, 1), id(1, 1)];
        ids.sort();
        assert!(ids.is_sorted_by_key(|id| id.encode()));
        let timer = TimerKey {
            due: Timestamp::from_millis(7),
            id: id(3, 9),
            hash: 5,
        };
        assert_eq!(TimerKey::decode(&timer.encode()), Some(timer));
    }

    #[test]
    fn the_end_of_a_prefix_carries_over() {
        assert_eq!(after_prefix(&[1, 255]), Some(vec![2]));
        assert_eq!(after_prefix(&[255]), None);
    }
}
