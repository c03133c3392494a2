//! Reads the API's JSON. Absent fields are allowed everywhere: other versions have other fields.

use std::borrow::Cow;

use serde_json::Value;

/// The field `name` as it is shown; `-` when it is absent.
pub(crate) fn field<'a>(item: &'a Value, name: &str) -> Cow<'a, str> {
    match item.get(name) {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(text)) => text.into(),
        Some(other) => other.to_string().into(),
    }
}

/// The text at `pointer`, such as `/error/message`.
pub(crate) fn text_at<'a>(item: &'a Value, pointer: &str) -> Option<&'a str> {
    item.pointer(pointer)?.as_str()
}

/// The list at `pointer`; empty when it is absent.
pub(crate) fn list_at<'a>(item: &'a Value, pointer: &str) -> &'a [Value] {
    item.pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}
