//! The tree: values with their locations.

use serde_json::Number;

use super::finding::Location;

/// A value and its location.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) location: Location,
    pub(crate) value: Value,
    /// Written without quotes, so that its text decides its type.
    pub(crate) is_plain: bool,
    /// The text of a number, a boolean or a null in the file, empty for no value; `None` for all other values, and outside of files.
    pub(crate) written: Option<Box<str>>,
    /// Comes from an alias (`*name`) or a merge key (`<<`), which StateFun does not resolve.
    pub(crate) is_alias: bool,
}

/// The value of a node.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// The key of an entry and its location.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) location: Location,
    pub(crate) name: String,
}

impl Node {
    /// A node that is not in a file, with the location of the one it was made from.
    pub(crate) const fn made(location: Location, value: Value) -> Self {
        Self {
            location,
            value,
            is_plain: false,
            written: None,
            is_alias: false,
        }
    }

    /// The tree of a JSON document that is not in a file.
    pub(crate) fn from_json(json: &serde_json::Value) -> Self {
        let value = match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(*value),
            serde_json::Value::Number(value) => Value::Number(value.clone()),
            serde_json::Value::String(value) => Value::Text(value.clone()),
            serde_json::Value::Array(items) => {
                Value::List(items.iter().map(Self::from_json).collect())
            }
            serde_json::Value::Object(entries) => {
                let entry = |(name, value): (&String, &serde_json::Value)| {
                    let key = Key {
                        location: Location::nowhere(),
                        name: name.clone(),
                    };
                    (key, Self::from_json(value))
                };
                Value::Map(entries.iter().map(entry).collect())
            }
        };
        Self::made(Location::nowhere(), value)
    }

    /// The kind of the value, for messages.
    pub(crate) const fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(true) => "true",
            Value::Bool(false) => "false",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The value of `key` in a mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Value::Map(entries) = &self.value else {
            return None;
        };
        entries.iter().find(|(k, _)| k.name == key).map(|(_, v)| v)
    }

    /// The value of `key` in a mapping.
    #[cfg(feature = "runtime")]
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        let Value::Map(entries) = &mut self.value else {
            return None;
        };
        let mut entries = entries.iter_mut();
        entries.find(|(k, _)| k.name == key).map(|(_, v)| v)
    }

    /// Removes the value of `key` from a mapping.
    #[cfg(feature = "runtime")]
    pub(crate) fn take(&mut self, key: &str) -> Option<Self> {
        let Value::Map(entries) = &mut self.value else {
            return None;
        };
        let at = entries.iter().position(|(k, _)| k.name == key)?;
        Some(entries.remove(at).1)
    }

    /// The keys of a mapping; none for anything else.
    #[cfg(feature = "runtime")]
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        let entries: &[(Key, Self)] = match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        };
        entries.iter().map(|(key, _)| key)
    }

    /// The value as JSON, without locations.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(value) => value.clone().into(),
            Value::Text(value) => value.as_str().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|(key, value)| (key.name.clone(), value.to_json()))
                .collect(),
        }
    }
}

/// The path of `key` below `path`.
pub(crate) fn join(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_becomes_a_tree_and_is_the_same_again() {
        let json = serde_json::json!({"a": [1, 1.5, "x", null, true], "b": {"c": {}}});
        assert_eq!(Node::from_json(&json).to_json(), json);
    }
}
