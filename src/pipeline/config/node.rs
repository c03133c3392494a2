//! Reads a document of unknown shape: each value knows its path, each mismatch becomes a fault and reading goes on.

use std::cell::RefCell;
use std::num::NonZeroU64;
use std::time::Duration;

use serde_json::{Map, Value};

use super::fault::Faults;
use crate::duration;

/// A value and the path at which it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node<'a> {
    pub(crate) value: &'a Value,
    pub(crate) path: String,
    pub(crate) faults: &'a Faults,
}

impl<'a> Node<'a> {
    pub(crate) fn root(value: &'a Value, faults: &'a Faults) -> Self {
        Self {
            value,
            path: String::new(),
            faults,
        }
    }

    /// Reports a fault at this place.
    pub(crate) fn fault<T>(&self, message: impl std::fmt::Display) -> Option<T> {
        self.faults.add(&self.path, message);
        None
    }

    /// Reports a fault at a field of what is here; the empty name is this place itself.
    pub(crate) fn fault_at(&self, field: &str, message: impl std::fmt::Display) {
        let path = match field {
            "" => self.path.clone(),
            field => join(&self.path, field),
        };
        self.faults.add(path, message);
    }

    fn expected<T>(&self, what: &str) -> Option<T> {
        self.fault(format_args!("expected {what}, got {}", kind(self.value)))
    }

    pub(crate) fn fields(self) -> Option<Fields<'a>> {
        let map = match self.value {
            Value::Object(map) => Some(map),
            Value::Null => None, // `gzip:` without anything is what `gzip: {}` is
            _ => return self.expected("a mapping"),
        };
        Some(Fields {
            map,
            path: self.path,
            faults: self.faults,
            known: RefCell::default(),
        })
    }

    pub(crate) fn items(self) -> Option<Vec<Self>> {
        let Value::Array(items) = self.value else {
            return self.expected("a list");
        };
        let node = |(at, value)| Self {
            value,
            path: format!("{}[{at}]", self.path),
            faults: self.faults,
        };
        Some(items.iter().enumerate().map(node).collect())
    }

    pub(crate) fn child(&self, name: &str, value: &'a Value) -> Self {
        Self {
            value,
            path: join(&self.path, name),
            faults: self.faults,
        }
    }

    /// Text; a bare number or truth value counts as the text it was written as.
    pub(crate) fn text(&self) -> Option<String> {
        match self.value {
            Value::String(text) => Some(text.clone()),
            Value::Number(_) | Value::Bool(_) => Some(self.value.to_string()),
            _ => self.expected("text"),
        }
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.value {
            Value::Bool(yes) => Some(*yes),
            Value::String(text) if text == "true" => Some(true),
            Value::String(text) if text == "false" => Some(false),
            _ => self.expected("true or false"),
        }
    }

    pub(crate) fn whole(&self) -> Option<u64> {
        let number = match self.value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        number.or_else(|| self.expected("a whole number, not negative"))
    }

    pub(crate) fn count(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.whole()?).or_else(|| self.fault("must be at least 1"))
    }

    pub(crate) fn number(&self) -> Option<f64> {
        let number = match self.value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok().filter(|number: &f64| number.is_finite()),
            _ => None,
        };
        number.or_else(|| self.expected("a number"))
    }

    /// A span of time that is not zero.
    pub(crate) fn span(&self) -> Option<Duration> {
        let span = match self.value {
            Value::String(text) => duration::parse(text).ok(),
            _ => None,
        };
        match span {
            Some(Duration::ZERO) => self.fault("must not be zero"),
            Some(span) => Some(span),
            None => self.fault(format_args!(
                "expected a duration such as `500ms`, `30s` or `2h45m`, got {}",
                self.value
            )),
        }
    }

    /// The value `parse` makes of the text here; its error is the fault.
    pub(crate) fn parsed<T, E: std::fmt::Display>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        parse(&self.text()?).map_or_else(|err| self.fault(err), Some)
    }
}

/// The entries of a mapping; what was not asked for when reading ends is unknown, and a fault.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    map: Option<&'a Map<String, Value>>,
    path: String,
    faults: &'a Faults,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Fields<'a> {
    pub(crate) fn get(&self, name: &'static str) -> Option<Node<'a>> {
        self.known.borrow_mut().push(name);
        let value = self.map?.get(name)?;
        Some(Node {
            value,
            path: join(&self.path, name),
            faults: self.faults,
        })
    }

    pub(crate) fn required(&self, name: &'static str) -> Option<Node<'a>> {
        self.get(name).or_else(|| {
            let path = join(&self.path, name);
            self.faults.add(path, "is required and missing");
            None
        })
    }

    /// Sets `place` to what `read` makes of the entry `name`, if there is one. False when it makes nothing of it.
    pub(crate) fn set<T>(
        &self,
        name: &'static str,
        place: &mut T,
        read: impl FnOnce(&Node<'a>) -> Option<T>,
    ) -> bool {
        let Some(node) = self.get(name) else {
            return true;
        };
        let value = read(&node);
        let whole = value.is_some();
        if let Some(value) = value {
            *place = value;
        }
        whole
    }

    /// Whether there is such an entry.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.map.is_some_and(|map| map.contains_key(name))
    }

    /// Reports every entry nobody asked for.
    pub(crate) fn finish(self) {
        let known = self.known.into_inner();
        for name in self
            .map
            .into_iter()
            .flat_map(Map::keys)
            .filter(|name| !known.contains(&name.as_str()))
        {
            let known = known.join(", ");
            self.faults.add(
                join(&self.path, name),
                format_args!("unknown key; known here: {known}"),
            );
        }
    }
}

pub(crate) fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}
