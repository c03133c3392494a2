//! Values in requests: built-in types as plain text, all others as their bytes.

use bytes::Bytes;
use prost::Message as _;

use crate::protocol::reqreply::TypedValue;
use crate::sdk::types::{self, BuiltIn};

/// Prefix of the names of the built-in types.
const BUILT_IN: &str = "io.statefun.types/";

/// The encoded `TypedValue` of a body that is a value of type `type_name`.
///
/// # Errors
/// The fault of the body, as a message.
pub(crate) fn parse(type_name: &str, body: &Bytes) -> Result<Bytes, String> {
    let Some(built_in) = type_name.strip_prefix(BUILT_IN) else {
        let value = TypedValue {
            typename: type_name.to_owned(),
            has_value: true,
            value: body.clone(),
        };
        return Ok(value.encode_to_vec().into());
    };
    let text =
        std::str::from_utf8(body).map_err(|_| format!("a value of {type_name} is UTF-8 text"))?;
    match built_in {
        "string" => Ok(types::typed(&text).raw().clone()),
        "bool" => number::<bool>(type_name, text),
        "int" => number::<i32>(type_name, text),
        "long" => number::<i64>(type_name, text),
        "float" => number::<f32>(type_name, fitting(type_name, text, f32::is_infinite)?),
        "double" => number::<f64>(type_name, fitting(type_name, text, f64::is_infinite)?),
        _ => Err(no_such_type(type_name)),
    }
}

/// Whether values of the type are written as text.
pub(crate) fn is_text(type_name: &str) -> bool {
    type_name.starts_with(BUILT_IN)
}

/// Refuses bytes that are not a value of their built-in type. Bytes of other types are not checked.
///
/// # Errors
/// The fault, as a message.
pub(crate) fn check(type_name: &str, value: &Bytes) -> Result<(), String> {
    match type_name.strip_prefix(BUILT_IN) {
        None => Ok(()),
        Some(built_in @ ("bool" | "int" | "long" | "float" | "double" | "string")) => {
            match text_of(built_in, value) {
                Some(_) => Ok(()),
                None => Err(format!("the bytes are not a value of {type_name}")),
            }
        }
        Some(_) => Err(no_such_type(type_name)),
    }
}

fn no_such_type(type_name: &str) -> String {
    format!("there is no type {type_name}; known: bool, int, long, float, double, string")
}

/// `text`, unless it is a number beyond the range of its type, which would be read as infinity.
fn fitting<'a, T: std::str::FromStr + Copy>(
    type_name: &str,
    text: &'a str,
    is_infinite: fn(T) -> bool,
) -> Result<&'a str, String> {
    let is_number = text.contains(|letter: char| letter.is_ascii_digit());
    match text.trim().parse::<T>() {
        Ok(value) if is_number && is_infinite(value) => {
            let shown: String = text.trim().chars().take(40).collect();
            Err(format!("`{shown}` is beyond the range of {type_name}"))
        }
        _ => Ok(text),
    }
}

fn number<T: std::str::FromStr + BuiltIn>(type_name: &str, text: &str) -> Result<Bytes, String> {
    let text = text.trim();
    let value: T = text.parse().map_err(|_| {
        let shown: String = text.chars().take(40).collect();
        format!("`{shown}` is not a value of {type_name}")
    })?;
    Ok(types::typed(&value).raw().clone())
}

/// The value in an encoded `TypedValue`.
///
/// # Errors
/// If the bytes are something else.
pub(crate) fn read(value: Bytes) -> Result<TypedValue, prost::DecodeError> {
    TypedValue::decode(value)
}

/// The typename of an encoded `TypedValue`; empty if the bytes are something else.
pub(crate) fn type_name(value: &[u8]) -> String {
    TypedValue::decode(value).map_or_else(|_| String::new(), |value| value.typename)
}

/// A value for display: its typename, and text for built-in types or otherwise its bytes.
pub(crate) fn show(value: TypedValue) -> (String, Option<String>, Bytes) {
    let built_in = value.typename.strip_prefix(BUILT_IN);
    let text = built_in.and_then(|built_in| text_of(built_in, &value.value));
    (value.typename, text, value.value)
}

fn text_of(built_in: &str, value: &Bytes) -> Option<String> {
    use crate::protocol::types::{
        BooleanWrapper, DoubleWrapper, FloatWrapper, IntWrapper, LongWrapper, StringWrapper,
    };
    let value = value.clone();
    match built_in {
        "string" => StringWrapper::decode(value)
            .ok()
            .map(|wrapper| wrapper.value),
        "bool" => BooleanWrapper::decode(value)
            .ok()
            .map(|wrapper| wrapper.value.to_string()),
        "int" => IntWrapper::decode(value)
            .ok()
            .map(|wrapper| wrapper.value.to_string()),
        "long" => LongWrapper::decode(value)
            .ok()
            .map(|wrapper| wrapper.value.to_string()),
        "float" => FloatWrapper::decode(value)
            .ok()
            .map(|wrapper| wrapper.value.to_string()),
        "double" => DoubleWrapper::decode(value)
            .ok()
            .map(|wrapper| wrapper.value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_values_are_read_and_shown_as_text() {
        for (type_name, text) in [
            ("bool", "true"),
            ("int", "-41"),
            ("long", "9007199254740993"),
            ("float", "1.5"),
            ("double", "0"),
            ("string", "hello"),
        ] {
            let type_name = format!("{BUILT_IN}{type_name}");
            let value = parse(&type_name, &Bytes::copy_from_slice(text.as_bytes())).unwrap();
            let (shown_type, shown, _) = show(TypedValue::decode(value).unwrap());
            assert_eq!((shown_type, shown.as_deref()), (type_name, Some(text)));
        }
    }

    #[test]
    fn a_body_that_is_not_a_value_of_its_type_is_refused_with_the_type() {
        let fault = parse("io.statefun.types/int", &Bytes::from_static(b"four")).unwrap_err();
        assert_eq!(fault, "`four` is not a value of io.statefun.types/int");
        assert!(parse("io.statefun.types/date", &Bytes::new()).is_err());
    }

    #[test]
    fn a_number_beyond_the_range_of_its_type_is_not_taken_as_infinity() {
        let read = |name: &str, text: &'static str| {
            parse(
                &format!("{BUILT_IN}{name}"),
                &Bytes::from_static(text.as_bytes()),
            )
        };
        let fault = read("float", "1e39").unwrap_err();
        assert_eq!(
            fault,
            "`1e39` is beyond the range of io.statefun.types/float"
        );
        assert!(read("double", "-1e999").is_err());
        assert!(read("double", "1e39").is_ok());
        assert!(read("float", "inf").is_ok(), "that is what it says");
    }

    #[test]
    fn bytes_are_checked_against_the_built_in_type_they_are_said_to_be() {
        let long = "io.statefun.types/long";
        let five = parse(long, &Bytes::from_static(b"5")).unwrap();
        let five = TypedValue::decode(five).unwrap().value;
        assert_eq!(check(long, &five), Ok(()));
        assert!(check(long, &Bytes::from_static(&[0])).is_err());
        assert!(check("io.statefun.types/date", &five).is_err());
        assert_eq!(check("shop/order", &Bytes::from_static(&[0])), Ok(()));
    }

    #[test]
    fn other_types_are_their_bytes() {
        let value = parse("shop/order", &Bytes::from_static(b"\x00\xff")).unwrap();
        assert_eq!(
            show(TypedValue::decode(value).unwrap()),
            (
                "shop/order".to_owned(),
                None,
                Bytes::from_static(b"\x00\xff")
            )
        );
    }
}
