//! The six built-in types of StateFun: a protobuf message with field 1 each.
//!
//! They are written canonically (a zero takes no bytes, but -0.0 is written) and read as any protobuf message: explicit zeros and unknown fields
//! are accepted. The code is written by hand, because generated code loses the sign of -0.0.

use std::convert::Infallible;

use super::Type;
use crate::sdk::wire::{Field, Fields, WireError, put_text, text, text_len};
use crate::sdk::{BoxError, TypeName, TypedBytes};

/// `io.statefun.types/bool`.
pub const BOOL: Type<bool> = built_in();
/// `io.statefun.types/int`: 32 bits.
pub const INT: Type<i32> = built_in();
/// `io.statefun.types/long`: 64 bits.
pub const LONG: Type<i64> = built_in();
/// `io.statefun.types/float`: 32 bits; a NaN keeps its bits.
pub const FLOAT: Type<f32> = built_in();
/// `io.statefun.types/double`: 64 bits; a NaN keeps its bits.
pub const DOUBLE: Type<f64> = built_in();
/// `io.statefun.types/string`: UTF-8 text.
pub const STRING: Type<String> = built_in();

/// Values whose Rust type says which built-in type they are: `bool`, `i32`, `i64`, `f32`, `f64`, `&str` and `String`. Convert other integers first.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not one of StateFun's built-in types",
    note = "they are bool, i32, i64, f32, f64 and text; give other values a `Type` with `value_as`"
)]
pub trait BuiltIn: Wrapped {}

impl<T: Wrapped> BuiltIn for T {}

/// Private: the built-in types are StateFun's.
pub trait Wrapped {
    /// Name on the wire.
    const NAME: TypeName;

    /// The length of the wrapper message.
    fn len(&self) -> usize;

    /// Appends the wrapper message.
    fn put(&self, out: &mut Vec<u8>);
}

/// `value` with the name of its type.
pub(crate) fn typed<T: BuiltIn>(value: &T) -> TypedBytes {
    let Ok(typed) = TypedBytes::build::<Infallible>(T::NAME.as_str(), value.len(), |out| {
        value.put(out);
        Ok(())
    });
    typed
}

/// Values that can be read back.
trait Unwrapped: Wrapped + Default {
    /// The value in `bytes` if they are as [`Wrapped::put`] writes them, as nearly all are.
    fn from_canonical(bytes: &[u8]) -> Option<Self>;

    fn from_field(field: Field<'_>) -> Result<Self, WireError>;
}

const fn built_in<T: Unwrapped>() -> Type<T> {
    Type::new(T::NAME, encode, decode)
}
fn encode<T: Wrapped>(value: &T, out: &mut Vec<u8>) -> Result<(), BoxError> {
    value.put(out);
    Ok(())
}

fn decode<T: Unwrapped>(bytes: &[u8]) -> Result<T, BoxError> {
    if let Some(value) = T::from_canonical(bytes) {
        return Ok(value);
    }
    let mut value = T::default();
    let mut fields = Fields::of(bytes);
    while let Some((number, field)) = fields.next()? {
        if number == 1 {
            value = T::from_field(field)?;
        }
    }
    Ok(value)
}

const VARINT: u8 = 1 << 3;
const TEXT: u8 = 1 << 3 | 2;
const FIXED64: u8 = 1 << 3 | 1;
const FIXED32: u8 = 1 << 3 | 5;
const WRONG: WireError = WireError("a field has an unexpected wire type");

impl Wrapped for bool {
    const NAME: TypeName = TypeName::new("io.statefun.types/bool");

    fn len(&self) -> usize {
        if *self { 2 } else { 0 }
    }

    fn put(&self, out: &mut Vec<u8>) {
        if *self {
            out.extend_from_slice(&[VARINT, 1]);
        }
    }
}

impl Unwrapped for bool {
    fn from_canonical(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [] => Some(false),
            [VARINT, 1] => Some(true),
            _ => None,
        }
    }

    fn from_field(field: Field<'_>) -> Result<Self, WireError> {
        field.bool()
    }
}

/// A number whose little-endian bytes follow its tag; without a set bit it takes no bytes.
macro_rules! fixed {
    ($number:ty, $name:literal, $tag:ident, $field:ident) => {
        impl Wrapped for $number {
            const NAME: TypeName = TypeName::new($name);

            fn len(&self) -> usize {
                let bytes = self.to_le_bytes();
                if bytes == [0; _] { 0 } else { 1 + bytes.len() }
            }

            fn put(&self, out: &mut Vec<u8>) {
                let bytes = self.to_le_bytes();
                if bytes != [0; _] {
                    out.push($tag);
                    out.extend_from_slice(&bytes);
                }
            }
        }

        impl Unwrapped for $number {
            fn from_canonical(bytes: &[u8]) -> Option<Self> {
                match bytes {
                    [] => Some(Self::default()),
                    [$tag, number @ ..] => number.try_into().ok().map(Self::from_le_bytes),
                    _ => None,
                }
            }

            fn from_field(field: Field<'_>) -> Result<Self, WireError> {
                match field {
                    Field::$field(bytes) => Ok(Self::from_le_bytes(bytes)),
                    _ => Err(WRONG),
                }
            }
        }
    };
}

fixed!(i32, "io.statefun.types/int", FIXED32, Fixed32);
fixed!(i64, "io.statefun.types/long", FIXED64, Fixed64);
fixed!(f32, "io.statefun.types/float", FIXED32, Fixed32);
fixed!(f64, "io.statefun.types/double", FIXED64, Fixed64);

impl Wrapped for str {
    const NAME: TypeName = TypeName::new("io.statefun.types/string");

    fn len(&self) -> usize {
        text_len(self)
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_text(out, 1, self);
    }
}

impl Wrapped for String {
    const NAME: TypeName = <str as Wrapped>::NAME;

    fn len(&self) -> usize {
        Wrapped::len(self.as_str())
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.as_str().put(out);
    }
}

impl Unwrapped for String {
    fn from_canonical(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [] => Some(Self::new()),
            [TEXT, len @ ..0x80, content @ ..] if content.len() == usize::from(*len) => {
                text(content).ok().map(str::to_owned)
            }
            _ => None,
        }
    }

    fn from_field(field: Field<'_>) -> Result<Self, WireError> {
        field.text().map(str::to_owned)
    }
}

impl<T: Wrapped + ?Sized> Wrapped for &T {
    const NAME: TypeName = T::NAME;

    fn len(&self) -> usize {
        (**self).len()
    }

    fn put(&self, out: &mut Vec<u8>) {
        (**self).put(out);
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn both_ways<T: Debug + PartialEq + Wrapped>(ty: &Type<T>, value: &T, expected: &str) {
        let bytes = ty.encode(value).unwrap();
        assert_eq!(hex(&bytes), expected, "{value:?}");
        assert_eq!(value.len(), bytes.len(), "{value:?}");
        assert_eq!(&ty.decode(&bytes).unwrap(), value);
    }

    #[test]
    fn built_in_values_have_the_bytes_of_the_protocol() {
        both_ways(&BOOL, &true, "0801");
        both_ways(&BOOL, &false, "");
        both_ways(&INT, &-1, "0dffffffff");
        both_ways(&INT, &0, "");
        both_ways(&LONG, &-2, "09feffffffffffffff");
        both_ways(&FLOAT, &1.0, "0d0000803f");
        both_ways(&DOUBLE, &1.0, "09000000000000f03f");
        both_ways(&STRING, &"hi".to_owned(), "0a026869");
        both_ways(&STRING, &String::new(), "");
    }

    #[test]
    fn sf_02_minus_zero_keeps_its_sign_and_nan_its_bits() {
        both_ways(&FLOAT, &-0.0, "0d00000080");
        both_ways(&DOUBLE, &-0.0, "090000000000000080");
        assert!(
            FLOAT
                .decode(&[0x0D, 0, 0, 0, 0x80])
                .unwrap()
                .is_sign_negative()
        );
        let odd_nan = f32::from_bits(0x7FC0_1234);
        let back = FLOAT.decode(&FLOAT.encode(&odd_nan).unwrap()).unwrap();
        assert_eq!(back.to_bits(), odd_nan.to_bits());
    }

    #[test]
    fn sf_02_explicit_zeros_and_unknown_fields_are_read() {
        assert!(!BOOL.decode(&[0x08, 0x00]).unwrap());
        assert_eq!(INT.decode(&[0x0D, 0, 0, 0, 0]).unwrap(), 0);
        assert_eq!(STRING.decode(&[0x0A, 0x00]).unwrap(), "");
        assert_eq!(
            STRING
                .decode(&[0x12, 0x01, b'x', 0x0A, 0x01, b'y', 0x18, 0x05])
                .unwrap(),
            "y"
        );
    }

    #[test]
    fn bytes_of_another_type_are_an_error_that_names_the_type() {
        let err = INT.decode(&[0x0A, 0x02, b'h', b'i']).unwrap_err();
        let told = err.to_string();
        assert!(
            told.starts_with(
                "cannot read a value of type io.statefun.types/int: not a valid protobuf message: "
            ),
            "{told}"
        );
        assert!(STRING.decode(&[0x0A, 0x01, 0xFF]).is_err());
        assert!(LONG.decode(&[0x09, 1, 2]).is_err());
    }
}
