//! Converts values to the type of a field as StateFun's JSON reader does: `"12"` is a number, 7 is a text, fractions are cut off.

use std::time::Duration;

use crate::document::{Complaint, Fields, Node, Value, scalar};
use crate::sdk::TypeName;
use crate::time::flink;

/// The text of a scalar. A key without a value is the text `null`; a list or a mapping is the empty text.
pub(super) fn as_text(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::List(_) | Value::Map(_) => String::new(),
    }
}

/// Text; numbers and booleans count as they are written.
pub(super) fn text(node: &Node) -> Result<String, Complaint> {
    match &node.value {
        Value::Null | Value::List(_) | Value::Map(_) => Err(expected("text", node)),
        _ => Ok(as_text(node)),
    }
}

/// Text, without any conversion.
pub(super) fn only_text(node: &Node) -> Result<String, Complaint> {
    match &node.value {
        Value::Text(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Err(Complaint::with_remedy(
            format!("expected text, found {}", node.kind()),
            "put it in quotes",
        )),
        _ => Err(expected("text", node)),
    }
}

/// A 32-bit integer. Fractions are cut off, and text that is a number counts. `None` stands for no value, which is zero or the default,
/// depending on the field.
pub(super) fn int(node: &Node) -> Result<Option<i32>, Complaint> {
    let number = match &node.value {
        Value::Null => return Ok(None),
        Value::Text(text) if matches!(text.as_str(), "" | "null") => return Ok(None),
        Value::Text(text) => text.trim().parse::<i64>().ok(),
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(whole)),
        _ => None,
    };
    let number = number.ok_or_else(|| expected("a whole number", node))?;
    match i32::try_from(number) {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(Complaint::from(format!(
            "Numeric value ({}) out of range of int ({} - {})",
            as_text(node),
            i32::MIN,
            i32::MAX
        ))),
    }
}

/// A 64-bit integer; anything else is zero.
pub(super) fn long(node: &Node) -> i64 {
    match &node.value {
        Value::Number(number) => number
            .as_i64()
            .or_else(|| number.as_f64().map(whole))
            .unwrap_or_default(),
        Value::Text(text) => {
            let text = text.trim();
            let number = text.parse().ok();
            number
                .or_else(|| text.parse().ok().map(whole))
                .unwrap_or_default()
        }
        Value::Bool(value) => i64::from(*value),
        _ => 0,
    }
}

/// The number without its fraction, limited to the range.
#[expect(
    clippy::cast_possible_truncation,
    reason = "cutting off is what is wanted, and a float saturates"
)]
const fn whole(number: f64) -> i64 {
    number as i64
}

/// A duration; a number without a unit is milliseconds.
pub(super) fn duration(node: &Node) -> Result<Duration, Complaint> {
    match &node.value {
        Value::Text(_) | Value::Number(_) => duration_of(&as_text(node)),
        _ => Err(Complaint::with_remedy(
            format!("text does not start with a number: it is {}", node.kind()),
            "write it as `30s` or `2 min`",
        )),
    }
}

/// A mapping.
pub(super) fn mapping(node: &Node) -> Result<&Node, Complaint> {
    match &node.value {
        Value::Map(_) => Ok(node),
        _ => Err(expected("a mapping", node)),
    }
}

/// A type name in StateFun's grammar, which accepts trailing slashes and an empty namespace, and the warning about those.
pub(super) fn type_name(node: &Node) -> Result<(TypeName, Option<String>), Complaint> {
    match &node.value {
        Value::List(_) | Value::Map(_) => Err(invalid_type_name(node.kind())),
        _ => type_name_of(&as_text(node)),
    }
}

/// The same for a text.
pub(super) fn type_name_of(text: &str) -> Result<(TypeName, Option<String>), Complaint> {
    let trimmed = text.trim_end_matches('/');
    let (namespace, name) = match trimmed.split_once('/') {
        Some((namespace, name)) if !name.contains('/') => (namespace, name),
        _ => return Err(invalid_type_name(text)),
    };
    let remark = if trimmed.len() < text.len() {
        Some(format!("the slash at the end of `{text}` is ignored"))
    } else if namespace.is_empty() {
        Some(format!("the namespace of `{text}` is empty"))
    } else {
        None
    };
    Ok((TypeName::from_wire(namespace, name), remark))
}

/// A duration in Flink's grammar.
pub(super) fn duration_of(text: &str) -> Result<Duration, Complaint> {
    flink::parse(text).map_err(|wrong| Complaint {
        remedy: wrong.remedy.map(str::to_owned),
        ..Complaint::from(wrong.message)
    })
}

/// StateFun's text for a malformed type name.
pub(super) fn invalid_type_name(text: &str) -> Complaint {
    let text: String = text.chars().take(200).collect();
    format!("Invalid type name string: {text}. Must be of format <namespace>/<name>.").into()
}

/// `<namespace>/<name>` as in our own kinds.
pub(super) fn own_name(node: &Node) -> Result<TypeName, Complaint> {
    let text = scalar::text(node)?;
    text.parse().map_err(|_| invalid_type_name(&text))
}

/// The text at `key`, which must be there. StateFun reads no value as the text `null`, and a list or mapping as empty text.
pub(super) fn text_of_any(fields: &Fields<'_>, key: &'static str) -> Option<String> {
    let text = fields.needed(key, |node| Ok(as_text(node)))?;
    if let Some(node) = fields.given(key)
        && matches!(node.value, Value::Null | Value::List(_) | Value::Map(_))
    {
        let text = format!(
            "expected text, found {}: StateFun reads it as `{text}`",
            node.kind()
        );
        fields.warn(key, text);
    }
    Some(text)
}

/// The type name at `key`, in StateFun's grammar.
pub(super) fn name(fields: &Fields<'_>, key: &'static str) -> Option<TypeName> {
    let (name, remark) = fields.needed(key, |node| match &node.value {
        Value::Null => Err(format!("missing key /{key}: it has no value").into()),
        _ => type_name(node),
    })?;
    if let Some(remark) = remark {
        fields.warn(key, remark);
    }
    Some(name)
}

/// The mapping at `key`; anything else, including no value, is a fault.
pub(super) fn mapping_at<'a>(fields: &Fields<'a>, key: &'static str) -> Option<Fields<'a>> {
    fields.value(key, |node| mapping(node).map(|_| ()))?;
    fields.child(key)
}

/// The fields of `item`, at `path` below `fields`.
pub(super) fn below<'a>(fields: &Fields<'a>, item: &'a Node, path: &str) -> Option<Fields<'a>> {
    if let Err(complaint) = mapping(item) {
        fields.fault_below(item, path, complaint);
        return None;
    }
    fields.below(item, path)
}

fn expected(what: &str, node: &Node) -> Complaint {
    scalar::expected(what, node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Location;
    use serde_json::Number;

    fn node(value: Value) -> Node {
        Node::made(Location::file("m.yaml"), value)
    }

    fn string(text: &str) -> Node {
        node(Value::Text(text.to_owned()))
    }

    fn float(number: f64) -> Node {
        node(Value::Number(Number::from_f64(number).unwrap()))
    }

    #[test]
    fn whole_numbers_are_coerced_as_statefun_does() {
        for (given, expected) in [
            (string("12"), Some(12)),
            (string(" 12 "), Some(12)),
            (string("+5"), Some(5)),
            (string("010"), Some(10)),
            (string(""), None),
            (string("null"), None),
            (node(Value::Null), None),
            (float(1.9), Some(1)),
            (float(-1.5), Some(-1)),
        ] {
            assert_eq!(int(&given), Ok(expected), "{given:?}");
        }
        for refused in [
            string("many"),
            string("1.5"),
            string("   "),
            string("0x10"),
            float(1e99),
            node(Value::Number(3_000_000_000_u64.into())),
            node(Value::Bool(true)),
            node(Value::List(vec![])),
        ] {
            assert!(int(&refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn numbers_without_a_check_become_zero() {
        for (given, expected) in [
            (string("five"), 0),
            (string("15min"), 0),
            (string("15"), 15),
            (string("1.9"), 1),
            (float(5.9), 5),
            (node(Value::Bool(true)), 1),
            (node(Value::Null), 0),
        ] {
            assert_eq!(long(&given), expected, "{given:?}");
        }
    }

    #[test]
    fn type_names_follow_statefuns_grammar() {
        for (text, namespace, name, has_remark) in [
            ("a/b", "a", "b", false),
            ("a/b//", "a", "b", true),
            ("/b", "", "b", true),
            (" a / b ", " a ", " b ", false),
        ] {
            let (read, remark) = type_name_of(text).unwrap();
            let found = (read.namespace(), read.name(), remark.is_some());
            assert_eq!(found, (namespace, name, has_remark), "{text}");
        }
        for text in ["", "/", "a", "a/", "a/b/c", "a//b", "//b"] {
            let text_of = |complaint: Complaint| complaint.message;
            assert_eq!(
                type_name_of(text).map_err(text_of),
                Err(format!(
                    "Invalid type name string: {text}. Must be of format <namespace>/<name>."
                ))
            );
        }
    }
}
