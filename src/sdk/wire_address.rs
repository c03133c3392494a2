//! An address inside a request.

use std::fmt;
use std::sync::OnceLock;

use bytes::Bytes;

use super::Address;
use super::wire::{Fields, WireError};

/// Three texts, any of which may be empty.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WireAddress<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) id: &'a str,
}

impl<'a> WireAddress<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut address = Self::default();
        let mut fields = Fields::of(bytes);
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => address.namespace = field.text()?,
                2 => address.name = field.text()?,
                3 => address.id = field.text()?,
                _ => {}
            }
        }
        Ok(address)
    }
}

/// Whether two slices hold the same bytes.
///
/// Two empty slices are recognised by their length: their pointers dangle, and the vector instructions of some `memcmp`s take 100 ns
/// for such pointers even if nothing is read. Callers of ingress messages are empty, so each of them would cost that. Names
/// from the program are mostly the same bytes at the same address.
#[inline]
pub(crate) fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && (one.is_empty() || std::ptr::eq(one, other) || one == other)
}

/// The caller of the current message. Decoded when needed, and only once for consecutive messages with the same caller.
#[derive(Default)]
pub(crate) struct Caller {
    bytes: Bytes,
    address: OnceLock<Option<Address>>,
}

impl Caller {
    /// `bytes`, a slice of `request`, is an encoded address or empty.
    pub(crate) fn change(&mut self, bytes: &[u8], request: &Bytes) {
        if !is_same(&self.bytes, bytes) {
            self.bytes = request.slice_ref(bytes);
            self.address = OnceLock::new();
        }
    }

    /// `None` if all three texts are empty, too.
    pub(crate) fn address(&self) -> Option<&Address> {
        let address = self.address.get_or_init(|| {
            let wire = WireAddress::read(&self.bytes).ok()?;
            let none = wire == WireAddress::default();
            (!none).then(|| Address::from_wire(wire.namespace, wire.name, wire.id))
        });
        address.as_ref()
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().fmt(f)
    }
}
