//! The records of a file: `{"target": "<namespace>/<type>/<id>", "type"?, "value"}`, or `base64` in place of `value`.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::runtime::values;
use crate::sdk::{TypeName, put_bytes, put_header, put_text, text_len, types};

/// A line as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    #[serde(borrow)]
    target: Cow<'a, str>,
    #[serde(borrow, default, rename = "type", deserialize_with = "text")]
    type_name: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "given")]
    value: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "text")]
    base64: Option<Cow<'a, str>>,
}

/// Also `null`, which is a value.
fn given<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// Text, without a copy where it has no escapes.
fn text<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<Cow<'a, str>>, D::Error> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    Text::deserialize(from).map(|Text(text)| Some(text))
}

/// A line that can be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ParsedLine<'a> {
    /// `<namespace>/<type>/<id>`, checked.
    pub(super) target: Cow<'a, str>,
    value: Value<'a>,
}

#[derive(Debug, PartialEq, Eq)]
enum Value<'a> {
    /// A text, as `io.statefun.types/string`.
    Text(Cow<'a, str>),
    /// Bytes of a type that is not built in.
    Bytes(Cow<'a, str>, Cow<'a, [u8]>),
    /// JSON without a type.
    Json(&'a str),
    /// An encoded `TypedValue`.
    Encoded(Bytes),
}

impl<'a> ParsedLine<'a> {
    /// Reads a line. The error says what is wrong with it.
    pub(super) fn read(line: &'a [u8]) -> Result<Self, String> {
        let line = std::str::from_utf8(line).map_err(|fault| {
            let byte = fault.valid_up_to() + 1;
            format!("it is not UTF-8: the fault is at byte {byte} of the line")
        })?;
        if line.contains('\0') {
            return Err("it has zero bytes".to_owned());
        }
        let written: Written<'a> = serde_json::from_str(line).map_err(fault)?;
        address(&written.target)?;
        let value = match (written.value, written.base64) {
            (Some(value), None) => of_json(written.type_name, value)?,
            (None, Some(text)) => of_base64(written.type_name, &text)?,
            (Some(_), Some(_)) => return Err("it has both `value` and `base64`".to_owned()),
            (None, None) => return Err("it has no `value`".to_owned()),
        };
        Ok(Self {
            target: written.target,
            value,
        })
    }

    /// Appends the encoded `TypedValue`; JSON without a type is a `json_type`.
    pub(super) fn encode(&self, json_type: &TypeName, out: &mut Vec<u8>) {
        match &self.value {
            Value::Text(text) => {
                put_type(types::STRING.name().as_str(), out);
                // A `StringWrapper`.
                if !text.is_empty() {
                    put_header(out, 3, text_len(text));
                    put_text(out, 1, text);
                }
            }
            Value::Bytes(type_name, bytes) => put_typed(type_name, bytes, out),
            Value::Json(json) => put_typed(json_type.as_str(), json.as_bytes(), out),
            Value::Encoded(bytes) => out.extend_from_slice(bytes),
        }
    }
}

/// Appends a `TypedValue`.
fn put_typed(type_name: &str, value: &[u8], out: &mut Vec<u8>) {
    put_type(type_name, out);
    if !value.is_empty() {
        put_bytes(out, 3, value);
    }
}

/// Appends the type name of a `TypedValue`, and that there is a value.
fn put_type(type_name: &str, out: &mut Vec<u8>) {
    put_text(out, 1, type_name);
    out.extend_from_slice(&[0x10, 0x01]);
}

/// Namespace, type and id of a target.
///
/// # Errors
/// If it is something else.
pub(super) fn address(target: &str) -> Result<(&str, &str, &str), String> {
    let mut parts = target.splitn(3, '/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(namespace), Some(name), Some(id)) if !namespace.is_empty() && !name.is_empty() => {
            Ok((namespace, name, id))
        }
        _ => Err(format!(
            "`target` is `{}`; a target is <namespace>/<type>/<id>",
            shown(target)
        )),
    }
}

/// A value without a type is text if it is a JSON string, otherwise JSON.
fn of_json<'a>(type_name: Option<Cow<'a, str>>, value: &'a RawValue) -> Result<Value<'a>, String> {
    let Some(type_name) = type_name else {
        return match text_of(value)? {
            Some(text) => Ok(Value::Text(text)),
            None => Ok(Value::Json(value.get())),
        };
    };
    check(&type_name)?;
    if !values::is_text(&type_name) {
        let json = Cow::Borrowed(value.get().as_bytes());
        return Ok(Value::Bytes(type_name, json));
    }
    let text = match text_of(value)? {
        Some(text) => text,
        None if value.get().starts_with(['{', '[', 'n']) => {
            return Err(format!(
                "`value` of type {type_name} is text, a number or a boolean"
            ));
        }
        None => Cow::Borrowed(value.get()),
    };
    let encoded = values::parse(&type_name, &Bytes::copy_from_slice(text.as_bytes()))?;
    Ok(Value::Encoded(encoded))
}

/// Bytes of a type.
fn of_base64<'a>(type_name: Option<Cow<'a, str>>, text: &str) -> Result<Value<'a>, String> {
    let type_name = type_name.ok_or("bytes in `base64` need a `type`")?;
    check(&type_name)?;
    let bytes = STANDARD
        .decode(text)
        .map_err(|fault| format!("`base64` cannot be decoded: {fault}"))?;
    values::check(&type_name, &Bytes::copy_from_slice(&bytes))?;
    Ok(Value::Bytes(type_name, bytes.into()))
}

/// The text of a JSON string.
fn text_of(value: &RawValue) -> Result<Option<Cow<'_, str>>, String> {
    let json = value.get();
    let inner = json
        .strip_prefix('"')
        .and_then(|json| json.strip_suffix('"'));
    match inner {
        None => Ok(None),
        Some(plain) if !plain.contains('\\') => Ok(Some(plain.into())),
        Some(_) => serde_json::from_str(json)
            .map(|text: String| Some(text.into()))
            .map_err(fault),
    }
}

fn check(type_name: &str) -> Result<(), String> {
    match type_name.rsplit_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => Ok(()),
        _ => Err(format!(
            "`type` is `{}`; a type is named <namespace>/<name>",
            shown(type_name)
        )),
    }
}

/// The fault of a line; it is line 1 of its text.
#[expect(
    clippy::needless_pass_by_value,
    reason = "map_err passes errors by value"
)]
fn fault(fault: serde_json::Error) -> String {
    format!(
        "it is not a record: {}",
        crate::json_words::explained(&fault)
    )
}

fn shown(text: &str) -> String {
    crate::printable::first_line(text, 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdk::{Message, MessageBuilder, TypedBytes};

    const JSON: TypeName = TypeName::new("statefun/json");

    fn message(line: &str) -> Message {
        let record = ParsedLine::read(line.as_bytes()).unwrap();
        let mut encoded = Vec::new();
        record.encode(&JSON, &mut encoded);
        let (namespace, name, id) = address(&record.target).unwrap();
        let to = crate::sdk::Address::new(TypeName::from_parts(namespace, name).unwrap(), id);
        Message::new(to, TypedBytes::parse(encoded.into()).unwrap())
    }

    fn to(id: &str) -> MessageBuilder {
        MessageBuilder::to(crate::sdk::Address::new(TypeName::new("a/b"), id))
    }

    #[test]
    fn values_are_text_json_numbers_or_bytes() {
        for (line, expected) in [
            (
                r#"{"target":"a/b/c","value":"h\u00e9 \"x\""}"#,
                to("c").value("hé \"x\""),
            ),
            (r#"{"target":"a/b/c","value":""}"#, to("c").value("")),
            (
                r#" {"value" : {"x": [1]} , "target":"a/b/c/d"} "#,
                to("c/d").raw("statefun/json", br#"{"x": [1]}"#),
            ),
            (
                r#"{"target":"a/b/","value":null}"#,
                to("").raw("statefun/json", b"null"),
            ),
            (
                r#"{"target":"a/b/c","type":"x/y","value":{"x":1}}"#,
                to("c").raw("x/y", br#"{"x":1}"#),
            ),
            (
                r#"{"target":"a/b/c","type":"x/y","base64":"AP8="}"#,
                to("c").raw("x/y", [0, 255]),
            ),
            (
                r#"{"target":"a/b/c","type":"io.statefun.types/int","value":41}"#,
                to("c").value(41),
            ),
            (
                r#"{"target":"a/b/c","type":"io.statefun.types/int","value":"41"}"#,
                to("c").value(41),
            ),
            (
                r#"{"target":"a/b/c","type":"io.statefun.types/bool","value":true}"#,
                to("c").value(true),
            ),
            (
                r#"{"target":"a/b/c","type":"io.statefun.types/string","value":"x"}"#,
                to("c").value("x"),
            ),
        ] {
            assert_eq!(message(line), expected, "{line}");
        }
    }

    #[test]
    fn a_line_that_is_not_a_record_is_reported_with_what_is_wrong() {
        for (line, expected) in [
            (
                &b"{"[..],
                "it is not a record: it ends before the JSON is complete (at byte 1)",
            ),
            (
                b"{\"target\":\"a/b/c\",\"valu\":1}",
                "field `valu` is unknown; known: one of `target`, `type`, `value`, `base64`",
            ),
            (b"{\"value\":1}", "field `target` is missing"),
            (b"{\"target\":\"a/b/c\"}", "it has no `value`"),
            (
                b"{\"target\":\"a/b/c\",\"value\":1,\"value\":2}",
                "field `value` occurs twice",
            ),
            (
                b"{\"target\":\"a/b\",\"value\":1}",
                "`target` is `a/b`; a target is <namespace>/<type>/<id>",
            ),
            (b"{\"target\":\"/b/c\",\"value\":1}", "`target` is `/b/c`"),
            (
                b"{\"target\":\"a/b/c\",\"type\":\"x\",\"value\":1}",
                "`type` is `x`; a type is named <namespace>/<name>",
            ),
            (
                b"{\"target\":\"a/b/c\",\"type\":\"io.statefun.types/int\",\"value\":1.5}",
                "`1.5` is not a value of io.statefun.types/int",
            ),
            (
                b"{\"target\":\"a/b/c\",\"type\":\"io.statefun.types/int\",\"value\":[]}",
                "is text, a number or a boolean",
            ),
            (
                b"{\"target\":\"a/b/c\",\"type\":\"x/y\",\"base64\":\"?\"}",
                "`base64` cannot be decoded",
            ),
            (
                b"{\"target\":\"a/b/c\",\"base64\":\"AA==\"}",
                "bytes in `base64` need a `type`",
            ),
            (
                b"{\"target\":\"a/b/c\",\"type\":\"io.statefun.types/int\",\"base64\":\"AA==\"}",
                "the bytes are not a value of io.statefun.types/int",
            ),
            (
                b"{\"target\":\"a/b/c\",\"value\":\"\xff\"}",
                "it is not UTF-8: the fault is at byte 28 of the line",
            ),
            (
                b"{\"target\":\"a/b/c\",\"value\":\"\0\"}",
                "it has zero bytes",
            ),
            (
                b"{\"target\":\"a/b/c\",\"value\":1} x",
                "something follows after the end of the JSON (at byte 30)",
            ),
        ] {
            let told = ParsedLine::read(line).unwrap_err();
            assert!(told.contains(expected), "{told}");
        }
    }
}
