//! Settings for a client library: a list of mappings with one key each.

use std::collections::BTreeMap;
use std::fmt;

use crate::document::{Complaint, Fields, Finding, Node, Value, join};

use super::super::coerce;
use super::places::Places;

/// Settings of a client library by name. `Debug` shows only the names, because values may be secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties {
    values: BTreeMap<String, String>,
    places: Places,
}

impl Properties {
    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The finding `complaint` about the property `name`; about all of them, or the document, if it is not given.
    pub fn finding(&self, name: &str, complaint: impl Into<Complaint>) -> Finding {
        self.places.finding(name, complaint)
    }

    /// Those with these names and values.
    #[cfg(all(test, any(feature = "kafka", feature = "kinesis")))]
    pub(crate) fn of_tests(pairs: &[(&str, &str)]) -> Self {
        let pairs = pairs.iter();
        Self {
            values: pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            places: Places::default(),
        }
    }

    /// All names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

/// Reads the properties at `key`.
pub(super) fn read(fields: &Fields<'_>, key: &'static str) -> Properties {
    if fields.has(key) && fields.node(key).is_none() {
        fields.fault(key, "it has no value; leave it out, or give a list");
        return Properties::default();
    }
    let pairs = pairs(fields, key).unwrap_or_default();
    let mut properties = Properties {
        values: BTreeMap::new(),
        places: Places::of(fields),
    };
    for Pair { path, key, value } in pairs {
        let text = coerce::as_text(value);
        properties.values.insert(key.to_owned(), text);
        properties.places.put(key, value.location.clone(), path);
    }
    properties
}

/// One mapping of a list of mappings with one key each.
pub(super) struct Pair<'a> {
    /// The location of the mapping.
    pub(super) path: String,
    pub(super) key: &'a str,
    pub(super) value: &'a Node,
}

/// The first key and its value of each mapping at `key`. As in StateFun, a mapping instead of the list stands for its values, and a scalar
/// or no value for an empty list.
pub(super) fn pairs<'a>(fields: &Fields<'a>, key: &'static str) -> Option<Vec<Pair<'a>>> {
    let node = fields.given(key)?;
    let path = fields.path_of(key);
    let items = elements(node, &path);
    if !matches!(node.value, Value::List(_)) {
        fields.warn(key, no_list(node));
    }
    let mut found = Vec::with_capacity(items.len());
    for (path, item) in items {
        let entries: &[_] = match &item.value {
            Value::Map(entries) => entries,
            _ => &[],
        };
        let Some((first, value)) = entries.first() else {
            let complaint = Complaint::with_remedy(
                format!("expected a mapping with one key, found {}", item.kind()),
                "write a list: `- name: value`",
            );
            fields.fault_below(item, &path, complaint);
            continue;
        };
        if entries.len() > 1 {
            let text = format!(
                "only the first key of a mapping counts here: `{}`",
                first.name
            );
            let complaint = Complaint::with_remedy(text, "begin each with a dash of its own");
            fields.warn_below(item, &path, complaint);
        }
        found.push(Pair {
            path: join(&path, &first.name),
            key: &first.name,
            value,
        });
    }
    Some(found)
}

/// What StateFun iterates over if it expects a list: the items, the values of a mapping, or nothing of a scalar.
pub(super) fn elements<'a>(node: &'a Node, path: &str) -> Vec<(String, &'a Node)> {
    match &node.value {
        Value::List(items) => {
            let path = |n| format!("{path}[{n}]");
            items
                .iter()
                .enumerate()
                .map(|(n, item)| (path(n), item))
                .collect()
        }
        Value::Map(entries) => entries
            .iter()
            .map(|(key, value)| (join(path, &key.name), value))
            .collect(),
        _ => Vec::new(),
    }
}

/// The warning if StateFun iterates over something that is not a list.
pub(super) fn no_list(node: &Node) -> Complaint {
    let taken = match &node.value {
        Value::Map(_) => "StateFun takes its values alone",
        _ => "StateFun takes it for an empty list",
    };
    Complaint::with_remedy(
        format!("expected a list, found {}: {taken}", node.kind()),
        "write a list",
    )
}
