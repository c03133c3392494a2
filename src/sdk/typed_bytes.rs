//! A `TypedValue` as its bytes: received values are read in place, and passed on with everything they contain.

use std::convert::Infallible;
use std::fmt;

use bytes::Bytes;

use super::wire::{self, Fields, Span, WireError};

/// The bytes of a `TypedValue`, and where its parts are. Fields that this crate does not know stay in the bytes.
#[derive(Clone)]
pub(crate) struct TypedBytes {
    raw: Bytes,
    parts: TypedParts,
}

/// Where the parts of a `TypedValue` are in it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TypedParts {
    type_name: Span,
    value: Span,
    has_value: bool,
}

impl TypedParts {
    /// Finds the parts of `typed`. It checks neither the value nor that the type name is UTF-8.
    #[inline]
    pub(crate) fn read(typed: &[u8]) -> Result<Self, WireError> {
        let mut parts = Self::default();
        let mut fields = Fields::of(typed);
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => parts.type_name = Span::of(field.bytes()?, typed),
                2 => parts.has_value = field.bool()?,
                3 => parts.value = Span::of(field.bytes()?, typed),
                _ => {}
            }
        }
        Ok(parts)
    }

    /// The bytes of the type name in `typed`.
    pub(crate) fn type_name<'a>(&self, typed: &'a [u8]) -> &'a [u8] {
        self.type_name.in_bytes(typed)
    }
}

impl TypedBytes {
    /// Finds the parts; the value itself is not checked.
    pub(crate) fn parse(raw: Bytes) -> Result<Self, WireError> {
        let parts = TypedParts::read(&raw)?;
        wire::text(parts.type_name(&raw))?;
        Ok(Self { raw, parts })
    }

    /// What [`TypedParts::read`] found in `raw`, the type name being text.
    pub(crate) const fn from_parts(raw: Bytes, parts: TypedParts) -> Self {
        Self { raw, parts }
    }

    /// A value of type `type_name`, whose bytes `write` appends; if there are `expected` of them, it allocates once.
    pub(crate) fn build<E>(
        type_name: &str,
        expected: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let len = wire::text_len(type_name) + HAS_VALUE.len() + wire::field_len(expected);
        let mut raw = Vec::with_capacity(len);
        wire::put_text(&mut raw, 1, type_name);
        let type_name = Span::ending_at(raw.len(), type_name.len());
        raw.extend_from_slice(HAS_VALUE);
        let length = wire::put_open_header(&mut raw, 3);
        write(&mut raw)?;
        let value = wire::close_header(&mut raw, length);
        let parts = TypedParts {
            type_name,
            value: Span::ending_at(raw.len(), value),
            has_value: true,
        };
        Ok(Self {
            raw: raw.into(),
            parts,
        })
    }

    pub(crate) fn of_bytes(type_name: &str, value: &[u8]) -> Self {
        let Ok(typed) = Self::build::<Infallible>(type_name, value.len(), |out| {
            out.extend_from_slice(value);
            Ok(())
        });
        typed
    }

    pub(crate) fn type_name(&self) -> &str {
        wire::text(self.parts.type_name(&self.raw)).unwrap_or_default()
    }

    pub(crate) fn is_of(&self, type_name: &str) -> bool {
        self.parts.type_name(&self.raw) == type_name.as_bytes()
    }

    pub(crate) const fn has_value(&self) -> bool {
        self.parts.has_value
    }

    /// The bytes of the value; empty also when there is none.
    pub(crate) fn value(&self) -> &[u8] {
        self.parts.value.in_bytes(&self.raw)
    }

    pub(crate) fn shared_value(&self) -> Bytes {
        self.raw.slice_ref(self.value())
    }

    /// The whole `TypedValue`, as received or built.
    pub(crate) const fn raw(&self) -> &Bytes {
        &self.raw
    }
}

/// Key and content of `has_value = true`.
pub(crate) const HAS_VALUE: &[u8] = &[0x10, 0x01];

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
        if self.has_value() {
            write!(f, " ({} bytes)", self.value().len())
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
        for len in [0, 1, 127, 128, 16_383, 16_384, 20_000] {
            let value = vec![7; len];
            let built = TypedBytes::of_bytes("a/b", &value);
            let generated = TypedValue {
                typename: "a/b".to_owned(),
                has_value: true,
                value: value.clone().into(),
            };
            assert_eq!(built.raw(), &generated.encode_to_vec());
            assert_eq!((built.type_name(), built.value()), ("a/b", &*value));
            assert_eq!(TypedBytes::parse(built.raw().clone()).unwrap(), built);
        }
    }

    #[test]
    fn a_value_counts_only_with_its_flag() {
        let flagged = |flag| TypedBytes::parse(vec![0x10, flag, 0x1A, 0x01, b'x'].into()).unwrap();
        assert!(!flagged(0).has_value());
        assert!(flagged(1).has_value());
    }

    #[test]
    fn an_empty_message_has_neither_type_nor_value() {
        let none = TypedBytes::parse(Bytes::new()).unwrap();
        assert_eq!((none.type_name(), none.has_value()), ("", false));
        assert_eq!(format!("{none:?}"), " (none)");
    }
}
