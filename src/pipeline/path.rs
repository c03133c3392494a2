//! Paths of fields in a JSON document: names and list positions joined by dots, `tags.site` or `readings.0.value`.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

/// A path to a field of a JSON document. A segment of digits is a position if it is applied to a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FieldPath(Vec<String>);

/// The path has an empty segment, or there is none at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a field path: expected names joined by dots, such as `tags.site`")]
pub(crate) struct InvalidPath(String);

/// A field cannot be set below something that is neither a mapping nor a list with that position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field `{0}` cannot be set: its parent is not a mapping")]
pub(crate) struct Unsettable(FieldPath);

impl FromStr for FieldPath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        let segments: Vec<String> = text.split('.').map(str::to_owned).collect();
        if segments.iter().any(String::is_empty) {
            return Err(InvalidPath(text.to_owned()));
        }
        Ok(Self(segments))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl FieldPath {
    /// The name of the field, if it is one of the document itself.
    pub(crate) fn name(&self) -> Option<&str> {
        match &self.0[..] {
            [name] => Some(name),
            _ => None,
        }
    }

    pub(crate) fn get<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        self.0
            .iter()
            .try_fold(document, |value, segment| step(value, segment))
    }

    /// Sets the field to `value`; missing mappings on the path are created.
    pub(crate) fn set(&self, document: &mut Value, value: Value) -> Result<(), Unsettable> {
        let mut place = document;
        for segment in &self.0 {
            if place.is_null() {
                *place = Value::Object(Map::new());
            }
            place = match place {
                Value::Object(map) => map.entry(segment.as_str()).or_insert(Value::Null),
                Value::Array(items) => at_mut(items, segment).ok_or_else(|| self.unsettable())?,
                _ => return Err(self.unsettable()),
            };
        }
        *place = value;
        Ok(())
    }

    /// Whether [`FieldPath::set`] would succeed.
    pub(crate) fn can_set(&self, document: &Value) -> Result<(), Unsettable> {
        let mut place = document;
        for segment in &self.0 {
            place = match place {
                Value::Null => return Ok(()),
                Value::Object(map) => match map.get(segment) {
                    Some(value) => value,
                    None => return Ok(()),
                },
                Value::Array(_) => step(place, segment).ok_or_else(|| self.unsettable())?,
                _ => return Err(self.unsettable()),
            };
        }
        Ok(())
    }

    /// Whether one path is within the other, or both are equal.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(one, two)| one == two)
    }

    /// Removes the field, if it is there.
    pub(crate) fn remove(&self, document: &mut Value) {
        let Some((last, above)) = self.0.split_last() else {
            return;
        };
        let mut place = document;
        for segment in above {
            let next = match place {
                Value::Object(map) => map.get_mut(segment),
                Value::Array(items) => at_mut(items, segment),
                _ => None,
            };
            let Some(next) = next else { return };
            place = next;
        }
        match place {
            Value::Object(map) => drop(map.remove(last)),
            Value::Array(items) => {
                if let Some(at) = position(last).filter(|at| *at < items.len()) {
                    items.remove(at);
                }
            }
            _ => {}
        }
    }

    fn unsettable(&self) -> Unsettable {
        Unsettable(self.clone())
    }
}

fn step<'a>(value: &'a Value, segment: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map.get(segment),
        Value::Array(items) => items.get(position(segment)?),
        _ => None,
    }
}

fn at_mut<'a>(items: &'a mut [Value], segment: &str) -> Option<&'a mut Value> {
    items.get_mut(position(segment)?)
}

fn position(segment: &str) -> Option<usize> {
    segment.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn path(text: &str) -> FieldPath {
        text.parse().unwrap()
    }

    #[test]
    fn fields_are_found_in_mappings_and_lists() {
        let document = json!({"readings": [{"value": 1}, {"value": 2}], "7": true});
        assert_eq!(path("readings.1.value").get(&document), Some(&json!(2)));
        assert_eq!(path("7").get(&document), Some(&json!(true)));
        assert_eq!(path("readings.2").get(&document), None);
        assert_eq!(path("readings.value").get(&document), None);
    }

    #[test]
    fn setting_makes_the_mappings_on_the_way() {
        let mut document = json!({"a": null, "l": [0, 1]});
        path("a.b.c").set(&mut document, json!(1)).unwrap();
        path("l.1").set(&mut document, json!("x")).unwrap();
        assert_eq!(document, json!({"a": {"b": {"c": 1}}, "l": [0, "x"]}));
        for bad in ["l.5", "l.0.x"] {
            assert!(path(bad).can_set(&document).is_err(), "{bad}");
            assert!(path(bad).set(&mut document, json!(0)).is_err(), "{bad}");
        }
    }

    #[test]
    fn removing_what_is_not_there_is_harmless() {
        let mut document = json!({"a": {"b": 1, "c": 2}, "l": [0, 1]});
        for gone in ["a.b", "l.0", "nope.b", "a.c.d", "l.9"] {
            path(gone).remove(&mut document);
        }
        assert_eq!(document, json!({"a": {"c": 2}, "l": [1]}));
    }

    #[test]
    fn an_empty_segment_is_refused() {
        for bad in ["", ".", "a.", "a..b"] {
            assert!(bad.parse::<FieldPath>().is_err(), "{bad}");
        }
    }
}
