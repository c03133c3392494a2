//! The row of an item: binary, including the unit. Rows of earlier versions are read, too.

use bytes::Bytes;
use prost::Message as _;

use super::item::Item;
use super::item_form::WireItem;
use super::old_row::OldHead;
use crate::sdk::BoxError;

/// The first byte of this form of the row. Rows of an earlier version begin with a brace.
pub(super) const FORM: u8 = 1;

/// An item, and the unit that it delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// The delivery.
    pub item: Item,
    /// The unit, as its target keeps it; `None` if it is stored separately.
    pub unit: Option<Bytes>,
}

/// The row is not an item.
#[derive(Debug, thiserror::Error)]
#[error("stored delivery cannot be read: {0}")]
pub struct InvalidItem(String);

impl InvalidItem {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// A row as read.
#[derive(Debug, Clone)]
pub(crate) enum Row {
    Stored(Box<Stored>),
    /// Of an earlier version: history and unit are separate values.
    Old(Box<OldHead>),
}

impl Row {
    pub(crate) fn encode_to(&self, out: &mut Vec<u8>) {
        if let Self::Stored(stored) = self {
            stored.encode_to(out);
        }
    }

    pub(crate) fn decode(bytes: Bytes) -> Result<Self, BoxError> {
        Ok(match bytes.first() {
            Some(b'{') => Self::Old(serde_json::from_slice(&bytes)?),
            _ => Self::Stored(Box::new(Stored::decode(bytes)?)),
        })
    }
}

impl Stored {
    /// An item and its unit.
    pub const fn new(item: Item, unit: Option<Bytes>) -> Self {
        Self { item, unit }
    }

    /// The row.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_to(&mut out);
        out
    }

    fn encode_to(&self, out: &mut Vec<u8>) {
        let wire = WireItem::of(self);
        out.reserve(1 + wire.encoded_len());
        out.push(FORM);
        wire.encode_raw(out);
    }

    /// Reads a row; the unit is a part of `bytes`, not a copy.
    ///
    /// # Errors
    /// If the bytes are not an item.
    pub fn decode(bytes: Bytes) -> Result<Self, InvalidItem> {
        match bytes.first() {
            Some(&FORM) => {}
            Some(form) => return Err(InvalidItem::new(format!("form {form} is not known"))),
            None => return Err(InvalidItem::new("it is empty")),
        }
        let wire = WireItem::decode(bytes.slice(1..));
        wire.map_err(|err| InvalidItem::new(err.to_string()))?
            .read()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_an_item_are_an_error() {
        for bytes in [&b""[..], b"\x02x", b"\x01\xff", b"\x01\x28\x63"] {
            assert!(Stored::decode(Bytes::from_static(bytes)).is_err());
        }
    }
}
