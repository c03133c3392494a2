//! Texts, numbers and durations in our own settings. StateFun's own kinds have other rules (`module::coerce`).

use std::num::NonZeroU64;
use std::time::Duration;

use super::finding::Complaint;
use super::node::{Node, Value};
use crate::time::span as spans;

/// Text; an unquoted number or boolean counts as its text.
pub(crate) fn text(node: &Node) -> Result<String, Complaint> {
    match (&node.value, &node.written) {
        (Value::Text(text), _) => Ok(text.clone()),
        (Value::Number(_) | Value::Bool(_), Some(written)) => Ok(written.to_string()),
        (Value::Number(number), None) => Ok(number.to_string()),
        (Value::Bool(value), None) => Ok(value.to_string()),
        _ => Err(expected("text", node)),
    }
}

/// `true` or `false`.
pub(crate) fn boolean(node: &Node) -> Result<bool, Complaint> {
    match &node.value {
        Value::Bool(value) => Ok(*value),
        Value::Text(text) if text == "true" => Ok(true),
        Value::Text(text) if text == "false" => Ok(false),
        _ => Err(expected("true or false", node)),
    }
}

/// A whole number that is not negative, or text that is one.
pub(crate) fn whole(node: &Node) -> Result<u64, Complaint> {
    let number = match &node.value {
        Value::Number(number) => number.as_u64(),
        Value::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| match &node.value {
        Value::Number(number) => {
            let written = node.written.as_deref();
            let written = written.map_or_else(|| number.to_string(), str::to_owned);
            format!("expected a non-negative whole number, found {written}").into()
        }
        _ => expected("a non-negative whole number", node),
    })
}

/// A whole number of at least 1.
pub(crate) fn count(node: &Node) -> Result<NonZeroU64, Complaint> {
    NonZeroU64::new(whole(node)?).ok_or_else(|| "must be at least 1".into())
}

/// A whole number of at least 1 that `T` can hold.
pub(crate) fn count_of<T: TryFrom<NonZeroU64>>(node: &Node) -> Result<T, Complaint> {
    let count = count(node)?;
    T::try_from(count).map_err(|_| format!("{count} is too large").into())
}

/// Any number.
pub(crate) fn number(node: &Node) -> Result<f64, Complaint> {
    let number = match &node.value {
        Value::Number(number) => number.as_f64(),
        Value::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    number
        .filter(|number| number.is_finite())
        .ok_or_else(|| expected("a number", node))
}

/// A duration that is not zero.
pub(crate) fn span(node: &Node) -> Result<Duration, Complaint> {
    let (Value::Text(_) | Value::Number(_)) = &node.value else {
        let complaint = expected("a duration", node);
        return Err(Complaint {
            remedy: Some("write it as `500ms`, `30s`, `1h30m` or `3d`".to_owned()),
            ..complaint
        });
    };
    match spans::parse(&text(node)?) {
        Ok(Duration::ZERO) => Err("must not be zero".into()),
        Ok(span) => Ok(span),
        Err(invalid) => Err(invalid.to_string().into()),
    }
}

/// Text that is not empty.
#[cfg(feature = "runtime")]
pub(crate) fn filled_text(node: &Node) -> Result<String, Complaint> {
    match text(node)? {
        empty if empty.trim().is_empty() => Err("must not be empty".into()),
        text => Ok(text),
    }
}

/// A TCP port; 0 lets the system choose one.
#[cfg(feature = "runtime")]
pub(crate) fn port(node: &Node) -> Result<u16, Complaint> {
    let number = whole(node).ok().and_then(|port| u16::try_from(port).ok());
    number.ok_or_else(|| "a port is a number from 0 to 65535".into())
}

pub(crate) fn expected(what: &str, node: &Node) -> Complaint {
    format!("expected {what}, found {}", node.kind()).into()
}
