//! A `TypedValue` as its bytes: what is received is looked at in place, and passed on with all that it carries.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::wire::{self, Fields, WireError};

/// The bytes of a `TypedValue`, and where its parts are. Fields that this crate does not know stay in the bytes.
#[derive(Clone)]
pub(crate) struct TypedBytes {
    raw: Bytes,
    type_name: Range<usize>,
    value: Range<usize>,
    has_value: bool,
}

impl TypedBytes {
    /// Reads where the parts are; the value itself is not looked at.
    pub(crate) fn parse(raw: Bytes) -> Result<Self, WireError> {
        let (mut type_name, mut value, mut has_value) = (0..0, 0..0, false);
        let mut fields = Fields::of(&raw);
        while let Some((number, field)) = fields.next()? {
            match (number, field) {
                (1, field) => type_name = place(&raw, field.text()?.as_bytes()),
                (2, field) => has_value = field.bool()?,
                (3, field) => value = place(&raw, field.bytes()?),
                _ => {}
            }
        }
        Ok(Self {
            raw,
            type_name,
            value,
            has_value,
        })
    }

    /// An existing value of type `type_name`, whose bytes `write` appends.
    pub(crate) fn build<E>(
        type_name: &str,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<Self, E> {
        const SHORT_VALUE: usize = 24;
        let mut raw = Vec::with_capacity(wire::text_len(type_name) + 4 + SHORT_VALUE);
        wire::put_text(&mut raw, 1, type_name);
        let type_name = raw.len() - type_name.len()..raw.len();
        raw.extend_from_slice(HAS_VALUE);
        let header = raw.len();
        raw.extend_from_slice(&[VALUE, 0]); // the length is known afterwards; one byte does for most
        let start = raw.len();
        write(&mut raw)?;
        let len = raw.len() - start;
        if len == 0 {
            raw.truncate(header);
        } else {
            let mut length = Vec::with_capacity(wire::varint_len(len));
            wire::put_varint(&mut length, len);
            raw.splice(start - 1..start, length);
        }
        let value = raw.len() - len..raw.len();
        Ok(Self {
            raw: raw.into(),
            type_name,
            value,
            has_value: true,
        })
    }

    pub(crate) fn of_bytes(type_name: &str, value: &[u8]) -> Self {
        let Ok(typed) = Self::build::<std::convert::Infallible>(type_name, |out| {
            out.extend_from_slice(value);
            Ok(())
        });
        typed
    }

    pub(crate) fn type_name(&self) -> &str {
        let bytes = self.raw.get(self.type_name.clone()).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    pub(crate) const fn has_value(&self) -> bool {
        self.has_value
    }

    /// The bytes of the value; empty also when there is none.
    pub(crate) fn value(&self) -> &[u8] {
        self.raw.get(self.value.clone()).unwrap_or_default()
    }

    pub(crate) fn shared_value(&self) -> Bytes {
        self.raw.slice(self.value.clone())
    }

    /// The whole `TypedValue`, as received or built.
    pub(crate) const fn raw(&self) -> &Bytes {
        &self.raw
    }
}

/// Key and content of `has_value = true`.
pub(crate) const HAS_VALUE: &[u8] = &[0x10, 0x01];
/// Key of `value`.
const VALUE: u8 = 0x1A;

/// Where `part`, a slice of `whole`, lies in it.
fn place(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}

impl PartialEq for TypedBytes {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl Eq for TypedBytes {}

/// Never the value itself: it may be a secret.
impl fmt::Debug for TypedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.type_name())?;
        if self.has_value {
            write!(f, " ({} bytes)", self.value.len())
        } else {
            f.write_str(" (none)")
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::protocol::reqreply::TypedValue;

    #[test]
    fn built_bytes_are_those_of_the_generated_type() {
        for len in [0, 1, 127, 128, 20_000] {
            let value = vec![7; len];
            let built = TypedBytes::of_bytes("a/b", &value);
            let generated = TypedValue {
                typename: "a/b".to_owned(),
                has_value: true,
                value: value.clone().into(),
            };
            assert_eq!(built.raw(), &generated.encode_to_vec());
            assert_eq!(built.value(), value);
            assert_eq!(TypedBytes::parse(built.raw().clone()).unwrap(), built);
        }
    }

    #[test]
    fn an_empty_message_is_no_value_of_no_type() {
        let none = TypedBytes::parse(Bytes::new()).unwrap();
        assert_eq!((none.type_name(), none.has_value()), ("", false));
        assert_eq!(format!("{none:?}"), " (none)");
    }
}
