//! Entries of streams: read into messages, written from records. An entry is a list of fields and values.

use std::fmt;

use bytes::Bytes;

use super::resp::Value;

/// The id of an entry: milliseconds and a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct EntryId {
    millis: u64,
    number: u64,
}

impl EntryId {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (millis, number) = text.split_once('-')?;
        Some(Self {
            millis: millis.parse().ok()?,
            number: number.parse().ok()?,
        })
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

/// An entry of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: EntryId,
    /// Fields and values, in turn; `None` if the entry was deleted after it was handed out.
    fields: Option<Vec<(Bytes, Bytes)>>,
}

impl Entry {
    /// The entries of one stream in a reply; `None` if they are something else.
    pub(super) fn read_all(entries: &Value) -> Option<Vec<Self>> {
        entries.list()?.iter().map(Self::read).collect()
    }

    fn read(entry: &Value) -> Option<Self> {
        let [id, fields] = entry.list()? else {
            return None;
        };
        let id = EntryId::parse(id.text()?)?;
        if fields.is_nil() {
            return Some(Self { id, fields: None });
        }
        let pairs = fields.list()?.chunks_exact(2);
        let pair = |pair: &[Value]| match pair {
            [name, value] => Some((name.bytes()?.clone(), value.bytes()?.clone())),
            _ => None,
        };
        let fields = pairs.map(pair).collect::<Option<Vec<_>>>()?;
        Some(Self {
            id,
            fields: Some(fields),
        })
    }

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

    fn text(text: &'static str) -> Value {
        Value::Text(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn ids_are_ordered_as_numbers() {
        let id = |text| EntryId::parse(text).unwrap();
        assert!(id("9-0") < id("10-0") && id("10-9") < id("10-10"));
        assert_eq!(id("1716-2").to_string(), "1716-2");
        assert_eq!(EntryId::parse("1716"), None);
    }

    #[test]
    fn an_entry_has_fields_and_a_deleted_one_has_none() {
        let entry = |fields| Value::List(vec![Value::List(vec![text("1-0"), fields])]);
        let fields = Value::List(vec![text("key"), text("a"), text("value"), text("x")]);
        let entries = Entry::read_all(&entry(fields)).unwrap();
        assert_eq!(entries[0].field("value").unwrap(), "x");
        assert_eq!(entries[0].field("nope"), None);
        assert_eq!(entries[0].shown(), b"key: a\nvalue: x\n");
        assert!(Entry::read_all(&entry(Value::Nil)).unwrap()[0].is_deleted());
        assert!(Entry::read_all(&text("x")).is_none());
    }
}
