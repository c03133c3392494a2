//! Entries of streams. An entry is a list of fields and values.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use redis::{FromRedisValue, ParsingError, Value, from_redis_value};

/// The id of an entry: milliseconds and a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct EntryId {
    millis: u64,
    number: u64,
}

/// Text that is not the id of an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the id of an entry")]
pub(super) struct NotAnId(String);

impl EntryId {
    /// The smallest id after this one.
    pub(super) const fn next(self) -> Self {
        match self.number.checked_add(1) {
            Some(number) => Self { number, ..self },
            None => Self {
                millis: self.millis.saturating_add(1),
                number: 0,
            },
        }
    }
}

impl FromStr for EntryId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let parts = text.split_once('-').and_then(|(millis, number)| {
            Some(Self {
                millis: millis.parse().ok()?,
                number: number.parse().ok()?,
            })
        });
        parts.ok_or_else(|| NotAnId(text.to_owned()))
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

impl FromRedisValue for EntryId {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let text: String = from_redis_value(value)?;
        text.parse()
            .map_err(|not: NotAnId| ParsingError::from(not.to_string()))
    }
}

/// An entry of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: EntryId,
    /// Fields and values, in turn; `None` if the entry was deleted after it was handed out.
    fields: Option<Vec<(Bytes, Bytes)>>,
}

impl FromRedisValue for Entry {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let (id, fields) = from_redis_value(value)?;
        Ok(Self { id, fields })
    }
}

impl Entry {
    /// Whether it was deleted, or trimmed away, after it was handed out.
    pub(super) const fn is_deleted(&self) -> bool {
        self.fields.is_none()
    }

    /// The value of a field.
    pub(super) fn field(&self, name: &str) -> Option<&Bytes> {
        let fields = self.fields.as_ref()?;
        let found = fields.iter().find(|(field, _)| field == name.as_bytes());
        found.map(|(_, value)| value)
    }

    /// All fields and values, for operators.
    pub(super) fn shown(&self) -> Vec<u8> {
        let mut shown = Vec::new();
        for (name, value) in self.fields.iter().flatten() {
            shown.extend_from_slice(name);
            shown.extend_from_slice(b": ");
            shown.extend_from_slice(value);
            shown.push(b'\n');
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn ids_are_ordered_as_numbers() {
        let id = |text: &str| text.parse::<EntryId>().unwrap();
        assert!(id("9-0") < id("10-0") && id("10-9") < id("10-10"));
        assert_eq!(id("1716-2").to_string(), "1716-2");
        assert_eq!(id("1716-2").next(), id("1716-3"));
        assert!("1716".parse::<EntryId>().is_err());
    }

    #[test]
    fn an_entry_has_fields_and_a_deleted_one_has_none() {
        let entries = |fields| {
            let entry = Value::Array(vec![text("1-0"), fields]);
            from_redis_value::<Vec<Entry>>(Value::Array(vec![entry])).unwrap()
        };
        let fields = ["key", "a", "value", "x", "key", "b"];
        let entry = &entries(Value::Array(fields.map(text).to_vec()))[0];
        assert_eq!(entry.field("value").unwrap(), "x");
        assert_eq!(entry.field("nope"), None);
        assert_eq!(entry.shown(), b"key: a\nvalue: x\nkey: b\n");
        assert!(entries(Value::Nil)[0].is_deleted());
        assert!(from_redis_value::<Vec<Entry>>(text("x")).is_err());
    }
}
