//! Templates: texts with placeholders, filled in for each record.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::Value;

use super::path::{FieldPath, InvalidPath};
use super::record::Record;

/// Text in which `{name}` stands for a value of the record or, if it has no such value, for a field of its JSON payload.
/// Braces cannot be escaped, and filled-in text is not searched again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Field(Field),
}

#[derive(Debug, Clone, PartialEq)]
struct Field {
    name: String,
    path: FieldPath,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidTemplate {
    #[error("`{{` without `}}`")]
    Unclosed,
    #[error(transparent)]
    Name(#[from] InvalidPath),
}

/// A placeholder could not be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfilled {
    #[error("the record has no `{0}`")]
    Missing(String),
    #[error("`{0}` is a list or a mapping, not one value")]
    NotOneValue(String),
    #[error("the record has no value `{name}`, and {why}")]
    NotJson { name: String, why: String },
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, tail)) = rest.split_once('{') {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let (name, tail) = tail.split_once('}').ok_or(InvalidTemplate::Unclosed)?;
            parts.push(Part::Field(Field::parse(name)?));
            rest = tail;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// A key: a template, or the name of a single field if there is no placeholder.
    pub(crate) fn parse_key(text: &str) -> Result<Self, InvalidTemplate> {
        if text.contains('{') {
            return Self::parse(text);
        }
        Ok(Self(vec![Part::Field(Field::parse(text)?)]))
    }

    /// The text, if there are no placeholders.
    pub(crate) fn as_constant(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text for `record`.
    pub(crate) fn fill(&self, record: &mut Record) -> Result<String, Unfilled> {
        self.fill_with(record, |value, text| text.push_str(value))
    }

    /// The text for `record`, with filled-in values percent-encoded, so that they cannot change the structure of a URL.
    pub(crate) fn fill_url(&self, record: &mut Record) -> Result<String, Unfilled> {
        self.fill_with(record, push_encoded)
    }

    /// The text with a digit for every placeholder, which a URL may have in its host, its port or its path.
    pub(crate) fn sample(&self) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Field(_) => "1".to_owned(),
        };
        self.0.iter().map(part).collect()
    }

    fn fill_with(
        &self,
        record: &mut Record,
        push: fn(&str, &mut String),
    ) -> Result<String, Unfilled> {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Field(field) => push(&field.of(record)?, &mut filled),
            }
        }
        Ok(filled)
    }
}

impl Field {
    fn parse(name: &str) -> Result<Self, InvalidPath> {
        Ok(Self {
            name: name.to_owned(),
            path: name.parse()?,
        })
    }

    fn of<'a>(&self, record: &'a mut Record) -> Result<Cow<'a, str>, Unfilled> {
        if let Some(value) = record.value(&self.name) {
            return Ok(Cow::Owned(value.to_owned()));
        }
        let missing = || Unfilled::Missing(self.name.clone());
        let document = record.document().map_err(|err| Unfilled::NotJson {
            name: self.name.clone(),
            why: err.to_string(),
        })?;
        match self.path.get(document).ok_or_else(missing)? {
            Value::Null => Err(missing()),
            Value::String(text) => Ok(Cow::Borrowed(text)),
            scalar @ (Value::Number(_) | Value::Bool(_)) => Ok(Cow::Owned(scalar.to_string())),
            Value::Array(_) | Value::Object(_) => Err(Unfilled::NotOneValue(self.name.clone())),
        }
    }
}

fn push_encoded(value: &str, into: &mut String) {
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                into.push(char::from(byte));
            }
            _ => write!(into, "%{byte:02X}").unwrap_or_default(), // writing to a String cannot fail
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record() -> Record {
        Record::json(json!({"device": {"name": "a/b"}, "n": 5, "list": [1], "none": null}))
            .with_value("devicename", "D1")
    }

    #[test]
    fn values_come_first_then_fields_of_the_payload() {
        let fill = |text| Template::parse(text).unwrap().fill(&mut record());
        assert_eq!(fill("x/{DeviceName}/{n}").unwrap(), "x/D1/5");
        assert_eq!(fill("{device.name}").unwrap(), "a/b");
        assert_eq!(fill("plain").unwrap(), "plain");
        for missing in ["{nope}", "{none}"] {
            assert!(
                matches!(fill(missing), Err(Unfilled::Missing(_))),
                "{missing}"
            );
        }
        assert!(matches!(fill("{list}"), Err(Unfilled::NotOneValue(_))));
    }

    #[test]
    fn what_is_filled_into_a_url_stays_in_its_place() {
        let template = Template::parse("http://h/{device.name}?x=1").unwrap();
        assert_eq!(
            template.fill_url(&mut record()).unwrap(),
            "http://h/a%2Fb?x=1"
        );
    }

    #[test]
    fn a_key_without_braces_names_a_field() {
        let key = Template::parse_key("device.name").unwrap();
        assert_eq!(key.fill(&mut record()).unwrap(), "a/b");
        let key = Template::parse_key("{device.name}-{n}").unwrap();
        assert_eq!(key.fill(&mut record()).unwrap(), "a/b-5");
    }

    #[test]
    fn unclosed_and_empty_placeholders_are_refused() {
        assert_eq!(Template::parse("a{b"), Err(InvalidTemplate::Unclosed));
        assert!(Template::parse("a{}").is_err());
        assert_eq!(Template::parse("abc").unwrap().as_constant(), Some("abc"));
        assert_eq!(Template::parse("a{b}").unwrap().as_constant(), None);
    }
}
