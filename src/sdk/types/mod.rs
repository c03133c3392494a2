//! How values become bytes: the six built-in types, JSON, protobuf, plain bytes, and your own with [`Type::new`].

mod json;
mod primitive;
mod protobuf;

use std::fmt;

use bytes::Bytes;

pub use json::json;
pub use primitive::{BOOL, BuiltIn, DOUBLE, FLOAT, INT, LONG, STRING};
pub use protobuf::{KAFKA_RECORD, KINESIS_RECORD, protobuf, protobuf_as};

pub(crate) use primitive::typed;

use super::{BoxError, SdkError, TypeName, TypedBytes};

/// A type of values: its name on the wire, and how a `T` becomes bytes and comes back.
///
/// ```
/// use stateful_functions::{Type, TypeName};
///
/// /// Seconds, as decimal text.
/// const SECONDS: Type<u64> = Type::new(
///     TypeName::new("example/seconds"),
///     |seconds, out| { out.extend_from_slice(seconds.to_string().as_bytes()); Ok(()) },
///     |bytes| Ok(std::str::from_utf8(bytes)?.parse()?),
/// );
/// assert_eq!(SECONDS.decode(&SECONDS.encode(&90)?)?, 90);
/// # Ok::<(), stateful_functions::SdkError>(())
/// ```
pub struct Type<T> {
    name: TypeName,
    encode: fn(&T, &mut Vec<u8>) -> Result<(), BoxError>,
    decode: Decode<T>,
}

enum Decode<T> {
    Borrowed(fn(&[u8]) -> Result<T, BoxError>),
    Shared(fn(Bytes) -> Result<T, BoxError>),
}

impl<T> Type<T> {
    /// The type `name`. `encode` appends to what is there already; both may be called from many threads.
    pub const fn new(
        name: TypeName,
        encode: fn(&T, &mut Vec<u8>) -> Result<(), BoxError>,
        decode: fn(&[u8]) -> Result<T, BoxError>,
    ) -> Self {
        Self {
            name,
            encode,
            decode: Decode::Borrowed(decode),
        }
    }

    /// Like `new`, for values that keep a part of the received bytes.
    pub(crate) const fn sharing(
        name: TypeName,
        encode: fn(&T, &mut Vec<u8>) -> Result<(), BoxError>,
        decode: fn(Bytes) -> Result<T, BoxError>,
    ) -> Self {
        Self {
            name,
            encode,
            decode: Decode::Shared(decode),
        }
    }

    /// The name beside the bytes, on the wire and in state.
    pub const fn name(&self) -> &TypeName {
        &self.name
    }

    /// The bytes of `value`.
    ///
    /// # Errors
    /// When the encoder refuses the value.
    pub fn encode(&self, value: &T) -> Result<Bytes, SdkError> {
        let mut out = Vec::new();
        self.encode_to(value, &mut out)?;
        Ok(out.into())
    }

    /// The value in `bytes`.
    ///
    /// # Errors
    /// When the bytes are not of this type.
    pub fn decode(&self, bytes: &[u8]) -> Result<T, SdkError> {
        match self.decode {
            Decode::Borrowed(decode) => decode(bytes),
            Decode::Shared(decode) => decode(Bytes::copy_from_slice(bytes)),
        }
        .map_err(|source| self.unreadable(source))
    }

    /// Appends the bytes of `value`; what an encoder wrote before it failed stays.
    pub(crate) fn encode_to(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SdkError> {
        (self.encode)(value, out).map_err(|source| SdkError::Encode {
            type_name: self.name.clone(),
            source,
        })
    }

    pub(crate) fn typed(&self, value: &T) -> Result<TypedBytes, SdkError> {
        const EXPECTED: usize = 32;
        TypedBytes::build(self.name.as_str(), EXPECTED, |out| {
            self.encode_to(value, out)
        })
    }

    /// The value in `typed`; `None` when it has none. `what` tells the reader of an error where the bytes come from.
    pub(crate) fn read(
        &self,
        typed: &TypedBytes,
        what: impl FnOnce() -> String,
    ) -> Result<Option<T>, SdkError> {
        if !typed.has_value() {
            return Ok(None);
        }
        if !typed.is_of(&self.name) {
            return Err(SdkError::TypeMismatch {
                what: what(),
                expected: self.name.clone(),
                found: typed.type_name().chars().take(200).collect(),
            });
        }
        match self.decode {
            Decode::Borrowed(decode) => decode(typed.value()),
            Decode::Shared(decode) => decode(typed.shared_value()),
        }
        .map(Some)
        .map_err(|source| self.unreadable(source))
    }

    fn unreadable(&self, source: BoxError) -> SdkError {
        SdkError::Decode {
            type_name: self.name.clone(),
            source,
        }
    }
}

/// Bytes as they are, under a name of your own.
///
/// ```
/// use bytes::Bytes;
/// use stateful_functions::{Type, TypeName, types};
///
/// const PHOTO: Type<Bytes> = types::bytes(TypeName::new("example/photo"));
/// ```
pub const fn bytes(name: TypeName) -> Type<Bytes> {
    Type::sharing(
        name,
        |value, out| {
            out.extend_from_slice(value);
            Ok(())
        },
        Ok,
    )
}

impl<T> Clone for Type<T> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            encode: self.encode,
            decode: self.decode,
        }
    }
}

impl<T> Copy for Decode<T> {}

impl<T> Clone for Decode<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> fmt::Debug for Type<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Type({})", self.name)
    }
}
