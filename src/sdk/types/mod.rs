//! How values become bytes: the six built-in types, JSON, protobuf, plain bytes, and your own with [`Type::new`].

mod json;
mod primitive;
mod protobuf;

use std::fmt;

use bytes::Bytes;

pub use json::{UNTYPED_JSON, json};
pub use primitive::{BOOL, BuiltIn, DOUBLE, FLOAT, INT, LONG, STRING};
pub use protobuf::{KAFKA_RECORD, KINESIS_RECORD, protobuf, protobuf_as};

pub(crate) use primitive::typed;

use super::{BoxError, SdkError, TypeName, TypedBytes};

/// A type of values: its name on the wire, and how a `T` is written as bytes and read back.
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
    /// Also reads JSON that has no name of its own.
    Json(fn(&[u8]) -> Result<T, BoxError>),
}

impl<T> Type<T> {
    /// The type `name`. `encode` appends to the buffer; both functions may be called from many threads.
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

    /// Like `new`, for values that keep part of the received bytes.
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

    /// Like `new`, for JSON.
    pub(crate) const fn json(
        name: &'static str,
        encode: fn(&T, &mut Vec<u8>) -> Result<(), BoxError>,
        decode: fn(&[u8]) -> Result<T, BoxError>,
    ) -> Self {
        Self {
            name: TypeName::new(name),
            encode,
            decode: Decode::Json(decode),
        }
    }

    /// The type name that goes with the bytes, on the wire and in state.
    pub const fn name(&self) -> &TypeName {
        &self.name
    }

    /// The bytes of `value`.
    ///
    /// # Errors
    /// If the encoder refuses the value.
    pub fn encode(&self, value: &T) -> Result<Bytes, SdkError> {
        let mut out = Vec::new();
        self.encode_to(value, &mut out)?;
        Ok(out.into())
    }

    /// The value in `bytes`.
    ///
    /// # Errors
    /// If the bytes are not of this type.
    pub fn decode(&self, bytes: &[u8]) -> Result<T, SdkError> {
        match self.decode {
            Decode::Borrowed(decode) | Decode::Json(decode) => decode(bytes),
            Decode::Shared(decode) => decode(Bytes::copy_from_slice(bytes)),
        }
        .map_err(|cause| self.unreadable(cause))
    }

    /// Appends the bytes of `value`. If the encoder fails, what it has written so far stays in the buffer.
    pub(crate) fn encode_to(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SdkError> {
        (self.encode)(value, out).map_err(|cause| SdkError::Encode {
            type_name: self.name.clone(),
            cause,
        })
    }

    pub(crate) fn typed(&self, value: &T) -> Result<TypedBytes, SdkError> {
        const EXPECTED: usize = 32;
        TypedBytes::build(self.name.as_str(), EXPECTED, |out| {
            self.encode_to(value, out)
        })
    }

    /// The value in `typed`; `None` when it has none. `what` says in an error where the bytes come from.
    pub(crate) fn read(
        &self,
        typed: &TypedBytes,
        what: impl FnOnce() -> String,
    ) -> Result<Option<T>, SdkError> {
        if !typed.has_value() {
            return Ok(None);
        }
        if !self.reads(typed) {
            return Err(SdkError::TypeMismatch {
                what: what(),
                expected: self.name.clone(),
                found: typed.type_name().chars().take(200).collect(),
            });
        }
        match self.decode {
            Decode::Borrowed(decode) | Decode::Json(decode) => decode(typed.value()),
            Decode::Shared(decode) => decode(typed.shared_value()),
        }
        .map(Some)
        .map_err(|cause| self.unreadable(cause))
    }

    /// Whether the type name is this type's, or, for a JSON type, that of JSON without a name of its own.
    fn reads(&self, typed: &TypedBytes) -> bool {
        typed.is_of(self.name.as_str())
            || matches!(self.decode, Decode::Json(_)) && typed.is_of(UNTYPED_JSON)
    }

    fn unreadable(&self, cause: BoxError) -> SdkError {
        SdkError::Decode {
            type_name: self.name.clone(),
            cause,
        }
    }
}

/// Unchanged bytes under your own type name.
///
/// ```
/// use bytes::Bytes;
/// use stateful_functions::{Type, types};
///
/// const PHOTO: Type<Bytes> = types::bytes("example/photo");
/// ```
pub const fn bytes(name: &'static str) -> Type<Bytes> {
    Type::sharing(
        TypeName::new(name),
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
