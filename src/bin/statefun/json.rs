//! Reads the API's JSON. Absent fields are allowed everywhere: other versions have other fields.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

/// An object whose values keep their text: data of users can be what no `Value` can hold, such as a number with 30 digits.
pub(crate) type Fields = BTreeMap<String, Box<RawValue>>;

/// An object without those of its values that belong to users.
pub(crate) fn without(object: &Fields, names: &[&str]) -> serde_json::Result<Value> {
    let others = object
        .iter()
        .filter(|(name, _)| !names.contains(&name.as_str()));
    let read = others.map(|(name, text)| Ok((name.clone(), serde_json::from_str(text.get())?)));
    read.collect::<serde_json::Result<_>>().map(Value::Object)
}

/// The object as text on one line: in JSON a line break is always between two values.
pub(crate) fn on_one_line(object: &Fields) -> serde_json::Result<String> {
    Ok(serde_json::to_string(object)?.replace(['\n', '\r'], ""))
}

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
