//! Values that hold many items as bytes: adding one appends, reading one skips.
//!
//! A value is decoded and encoded as a whole whenever it is read and written. For a single run of bytes that is one copy, whatever it contains.

use bytes::{Buf, Bytes};
use prost::Message;
use prost::encoding::{decode_varint, encode_varint};

/// Items one after the other, each preceded by its length.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Blob {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) bytes: Bytes,
}

impl Blob {
    /// Adds an item at the end.
    pub(crate) fn push(&mut self, item: &[u8]) {
        let mut bytes = Vec::with_capacity(self.bytes.len() + item.len() + 10);
        bytes.extend_from_slice(&self.bytes);
        encode_varint(item.len() as u64, &mut bytes);
        bytes.extend_from_slice(item);
        self.bytes = bytes.into();
    }

    /// The item that begins at `from`, and the start of the next one; `None` after the last.
    pub(crate) fn item_at(&self, from: usize) -> Option<(Bytes, usize)> {
        let mut rest = self.bytes.clone();
        if from >= rest.len() {
            return None;
        }
        rest.advance(from);
        let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
        if length > rest.len() {
            return None;
        }
        let item = rest.split_to(length);
        Some((item, self.bytes.len() - rest.len()))
    }

    /// All items.
    pub(crate) fn items(&self) -> impl Iterator<Item = Bytes> {
        let mut from = 0;
        std::iter::from_fn(move || {
            let (item, next) = self.item_at(from)?;
            from = next;
            Some(item)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_back_in_order() {
        let mut blob = Blob::default();
        let long = vec![7; 300];
        let items: [&[u8]; 4] = [b"one", b"", &long, b"last"];
        items.iter().for_each(|item| blob.push(item));
        assert_eq!(blob.items().collect::<Vec<_>>(), items);
        let (_, second) = blob.item_at(0).unwrap();
        let (_, third) = blob.item_at(second).unwrap();
        assert_eq!(blob.item_at(third).unwrap().0, long);
        assert_eq!(blob.item_at(blob.bytes.len()), None);
    }

    #[test]
    fn bytes_that_are_not_items_give_none() {
        let bytes = Bytes::from_static(&[200, 1, 2]);
        assert_eq!(Blob { bytes }.items().count(), 0);
    }
}
