//! The types of readings, and which texts are values of them.

use serde_json::Value;

use super::parameters;

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Bool,
    Text,
    Unsigned(u32),
    Signed(u32),
    Float32,
    Float64,
}

/// The type of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueType {
    Simple(Scalar, &'static str),
    Array(Scalar, &'static str),
    Binary,
    Object,
    ObjectArray,
}

const SIMPLE: [ValueType; 12] = {
    use Scalar::{Bool, Float32, Float64, Signed, Text, Unsigned};
    [
        ValueType::Simple(Bool, "Bool"),
        ValueType::Simple(Text, "String"),
        ValueType::Simple(Unsigned(8), "Uint8"),
        ValueType::Simple(Unsigned(16), "Uint16"),
        ValueType::Simple(Unsigned(32), "Uint32"),
        ValueType::Simple(Unsigned(64), "Uint64"),
        ValueType::Simple(Signed(8), "Int8"),
        ValueType::Simple(Signed(16), "Int16"),
        ValueType::Simple(Signed(32), "Int32"),
        ValueType::Simple(Signed(64), "Int64"),
        ValueType::Simple(Float32, "Float32"),
        ValueType::Simple(Float64, "Float64"),
    ]
};

const ARRAYS: [ValueType; 12] = {
    use Scalar::{Bool, Float32, Float64, Signed, Text, Unsigned};
    [
        ValueType::Array(Bool, "BoolArray"),
        ValueType::Array(Text, "StringArray"),
        ValueType::Array(Unsigned(8), "Uint8Array"),
        ValueType::Array(Unsigned(16), "Uint16Array"),
        ValueType::Array(Unsigned(32), "Uint32Array"),
        ValueType::Array(Unsigned(64), "Uint64Array"),
        ValueType::Array(Signed(8), "Int8Array"),
        ValueType::Array(Signed(16), "Int16Array"),
        ValueType::Array(Signed(32), "Int32Array"),
        ValueType::Array(Signed(64), "Int64Array"),
        ValueType::Array(Float32, "Float32Array"),
        ValueType::Array(Float64, "Float64Array"),
    ]
};

const OTHERS: [ValueType; 3] = [ValueType::Binary, ValueType::Object, ValueType::ObjectArray];

impl ValueType {
    /// The type with this name, in any case.
    pub(super) fn named(name: &str) -> Option<Self> {
        let all = SIMPLE.into_iter().chain(ARRAYS).chain(OTHERS);
        all.into_iter()
            .find(|known| known.name().eq_ignore_ascii_case(name))
    }

    /// Its name as EdgeX writes it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Simple(_, name) | Self::Array(_, name) => name,
            Self::Binary => "Binary",
            Self::Object => "Object",
            Self::ObjectArray => "ObjectArray",
        }
    }

    /// Whether the text of a reading is a value of this type.
    pub(super) fn takes(self, text: &str) -> bool {
        match self {
            Self::Simple(scalar, _) => scalar.takes(text),
            Self::Array(scalar, _) => {
                let inner = text.trim().strip_prefix('[');
                let inner = inner.and_then(|inner| inner.strip_suffix(']'));
                inner.is_some_and(|inner| {
                    scalar == Scalar::Text
                        || inner.trim().is_empty()
                        || inner.split(',').all(|item| scalar.takes(item.trim()))
                })
            }
            Self::Binary | Self::Object | Self::ObjectArray => false,
        }
    }

    /// The text of a reading for a JSON value; `None` if it is not of this type.
    pub(super) fn text_of(self, value: &Value) -> Option<String> {
        match self {
            Self::Simple(scalar, _) => scalar.text_of(value),
            Self::Array(scalar, _) => {
                let items: Option<Vec<String>> = value
                    .as_array()?
                    .iter()
                    .map(|item| scalar.text_of(item))
                    .collect();
                Some(format!("[{}]", items?.join(", ")))
            }
            Self::Binary | Self::Object | Self::ObjectArray => None,
        }
    }
}

impl Scalar {
    fn takes(self, text: &str) -> bool {
        match self {
            Self::Bool => parameters::boolean(text).is_ok(),
            Self::Text => true,
            Self::Unsigned(bits) => text
                .parse::<u64>()
                .is_ok_and(|n| n <= u64::MAX >> (64 - bits)),
            Self::Signed(bits) => text.parse::<i64>().is_ok_and(|n| fits(n, bits)),
            Self::Float32 => text.parse::<f32>().is_ok(),
            Self::Float64 => text.parse::<f64>().is_ok(),
        }
    }

    fn text_of(self, value: &Value) -> Option<String> {
        match (self, value) {
            (Self::Bool, Value::Bool(value)) => Some(value.to_string()),
            (Self::Text, Value::String(text)) => Some(text.clone()),
            (Self::Unsigned(bits), Value::Number(number)) => {
                let number = number.as_u64()?;
                (number <= u64::MAX >> (64 - bits)).then(|| number.to_string())
            }
            (Self::Signed(bits), Value::Number(number)) => {
                let number = number.as_i64()?;
                fits(number, bits).then(|| number.to_string())
            }
            (Self::Float32, Value::Number(number)) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "a 32-bit float is asked for"
                )]
                let number = number.as_f64()? as f32;
                number
                    .is_finite()
                    .then(|| exponential(&format!("{number:e}")))
            }
            (Self::Float64, Value::Number(number)) => {
                Some(exponential(&format!("{:e}", number.as_f64()?)))
            }
            _ => None,
        }
    }
}

fn fits(number: i64, bits: u32) -> bool {
    let shift = 64 - bits;
    (number << shift) >> shift == number
}

/// EdgeX's form of a float, `1.25e+01`, from Rust's `1.25e1`: a sign and at least two digits in the exponent.
fn exponential(text: &str) -> String {
    let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn types_are_known_in_any_case() {
        for (name, known) in [
            ("int8", "Int8"),
            ("FLOAT64ARRAY", "Float64Array"),
            ("binary", "Binary"),
            ("ObjectArray", "ObjectArray"),
        ] {
            assert_eq!(ValueType::named(name).map(ValueType::name), Some(known));
        }
        assert_eq!(ValueType::named("Int128"), None);
    }

    #[test]
    fn a_text_is_a_value_of_its_type_or_not() {
        for (name, good, bad) in [
            ("Bool", "true", "yes"),
            ("Uint8", "255", "256"),
            ("Int8", "-128", "128"),
            ("Uint64", "18446744073709551615", "-1"),
            ("Float32", "1.25e+01", "1,5"),
            ("Int16Array", "[1, -2]", "[1, x]"),
            ("BoolArray", "[]", "true"),
        ] {
            let value_type = ValueType::named(name).unwrap();
            assert!(value_type.takes(good), "{name} {good}");
            assert!(!value_type.takes(bad), "{name} {bad}");
        }
    }

    #[test]
    fn values_are_written_as_edgex_writes_them() {
        for (name, value, text) in [
            ("Float64", json!(12.5), Some("1.25e+01")),
            ("Float32", json!(0.1), Some("1e-01")),
            ("Float64", json!(1e300), Some("1e+300")),
            ("Int32Array", json!([1, 2]), Some("[1, 2]")),
            ("Int8", json!(128), None),
            ("Int8", json!(1.5), None),
            ("Uint16", json!(65535), Some("65535")),
            ("Bool", json!(true), Some("true")),
            ("Bool", json!("true"), None),
        ] {
            let written = ValueType::named(name).unwrap().text_of(&value);
            assert_eq!(written.as_deref(), text, "{name} {value}");
        }
    }
}
