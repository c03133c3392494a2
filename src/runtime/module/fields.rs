//! Reads a mapping field by field: what is missing, malformed or unknown is reported, and reading goes on.

use std::time::Duration;

use crate::sdk::TypeName;

use super::coerce;
use super::duration;
use super::finding::{Complaint, Finding, Findings, Place};
use super::nearest::nearest;
use super::yaml::{Key, Node, Value, join};

/// The mapping at `path`, and which of its keys have been asked for.
pub(super) struct Fields<'a> {
    findings: &'a Findings,
    place: Place,
    path: String,
    entries: &'a [(Key, Node)],
    asked: Vec<&'static str>,
    /// What StateFun says about the whole document; stands before each fault.
    prefix: &'static str,
}

impl<'a> Fields<'a> {
    /// The fields of `node`, or a fault when it is no mapping.
    pub(super) fn of(node: &'a Node, path: &str, findings: &'a Findings) -> Option<Self> {
        let entries: &[(Key, Node)] = match &node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            _ => {
                let complaint = format!("expected a mapping, found {}", node.kind());
                findings.fault(Finding::new(node.place.clone(), path, complaint));
                return None;
            }
        };
        Some(Self {
            findings,
            place: node.place.clone(),
            path: path.to_owned(),
            entries,
            asked: Vec::new(),
            prefix: "",
        })
    }

    /// The same, with the text StateFun puts before what is wrong with a field.
    pub(super) const fn parsing(mut self, prefix: &'static str) -> Self {
        self.prefix = prefix;
        self
    }

    pub(super) const fn findings(&self) -> &'a Findings {
        self.findings
    }

    /// Where the mapping begins.
    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    /// The path of `key`.
    pub(super) fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// A finding about `key`, at its value if it is there.
    pub(super) fn finding(&self, key: &str, complaint: impl Into<Complaint>) -> Finding {
        let place = self.peek(key).map_or(&self.place, |node| &node.place);
        Finding::new(place.clone(), self.path_of(key), complaint)
    }

    /// A finding about the whole mapping.
    pub(super) fn at(&self) -> Finding {
        Finding::new(self.place.clone(), self.path.as_str(), "")
    }

    /// Reports a fault of `key`.
    pub(super) fn fault(&self, key: &str, complaint: impl Into<Complaint>) {
        let finding = self.finding(key, complaint);
        self.findings.fault(self.with_prefix(finding));
    }

    /// Warns of something about `key`.
    pub(super) fn warn(&self, key: &str, complaint: impl Into<Complaint>) {
        self.findings.warning(self.finding(key, complaint));
    }

    /// Reports a fault of `node`, which stands at `path` below this mapping.
    pub(super) fn fault_at(&self, node: &Node, path: &str, complaint: Complaint) {
        let finding = Finding::new(node.place.clone(), path, complaint);
        self.findings.fault(self.with_prefix(finding));
    }

    /// Warns of something about `node`, which stands at `path` below this mapping.
    pub(super) fn warn_at(&self, node: &Node, path: &str, complaint: Complaint) {
        let finding = Finding::new(node.place.clone(), path, complaint);
        self.findings.warning(finding);
    }

    /// Whether there is such a key, even if it has no value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.peek(key).is_some()
    }

    fn with_prefix(&self, finding: Finding) -> Finding {
        Finding {
            message: format!("{}{}", self.prefix, finding.message),
            ..finding
        }
    }

    fn peek(&self, key: &str) -> Option<&'a Node> {
        let (_, node) = self.entries.iter().find(|(k, _)| k.name == key)?;
        Some(node)
    }

    /// The value of `key`; a key without a value counts as absent.
    pub(super) fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        self.asked.push(key);
        self.peek(key)
            .filter(|node| !matches!(node.value, Value::Null))
    }

    /// The value of `key` as it stands in the file, even if it is nothing.
    pub(super) fn given(&mut self, key: &'static str) -> Option<&'a Node> {
        self.asked.push(key);
        self.peek(key)
    }

    /// The value of `key` of one of StateFun's own kinds, where a key without a value is not the same as no key. Faulty is `None`.
    pub(super) fn value<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Node) -> Result<T, Complaint>,
    ) -> Option<T> {
        let node = self.given(key)?;
        read(node)
            .map_err(|complaint| self.fault(key, complaint))
            .ok()
    }

    /// The same; it is a fault when there is no such key.
    pub(super) fn needed<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Node) -> Result<T, Complaint>,
    ) -> Option<T> {
        if self.peek(key).is_none() {
            self.missing(key);
        }
        self.value(key, read)
    }

    /// Reports that `key` is not there.
    pub(super) fn missing(&mut self, key: &'static str) {
        self.asked.push(key);
        self.fault(key, format!("missing key /{key}"));
    }

    /// The text of whatever stands at `key`, which must be there. StateFun reads nothing as the text `null`, a list and a mapping as an empty one.
    pub(super) fn text_of_any(&mut self, key: &'static str) -> Option<String> {
        let text = self.needed(key, |node| Ok(coerce::as_text(node)))?;
        if let Some(node) = self.peek(key)
            && matches!(node.value, Value::Null | Value::List(_) | Value::Map(_))
        {
            let text = format!(
                "expected text, found {}: StateFun reads it as `{text}`",
                node.kind()
            );
            self.warn(key, text);
        }
        Some(text)
    }

    /// The type name at `key`, in StateFun's grammar.
    pub(super) fn name(&mut self, key: &'static str) -> Option<TypeName> {
        let (name, remark) = self.needed(key, |node| match &node.value {
            Value::Null => Err(format!("missing key /{key}: it has no value").into()),
            _ => coerce::type_name(node),
        })?;
        if let Some(remark) = remark {
            self.warn(key, remark);
        }
        Some(name)
    }

    /// The mapping at `key` of one of StateFun's own kinds; anything else is a fault.
    pub(super) fn mapping(&mut self, key: &'static str) -> Option<Self> {
        self.value(key, |node| coerce::mapping(node).map(|_| ()))?;
        self.child(key)
    }

    /// The items of the list at `key`, each with its path.
    pub(super) fn items(&mut self, key: &'static str) -> Option<Vec<(String, &'a Node)>> {
        let node = self.given(key)?;
        let Value::List(items) = &node.value else {
            self.fault(key, format!("expected a list, found {}", node.kind()));
            return None;
        };
        let path = |n| format!("{}[{n}]", self.path_of(key));
        Some(
            items
                .iter()
                .enumerate()
                .map(|(n, item)| (path(n), item))
                .collect(),
        )
    }

    /// The fields of `item`, which stands at `path` below this mapping.
    pub(super) fn below(&self, item: &'a Node, path: &str) -> Option<Self> {
        if let Err(complaint) = coerce::mapping(item) {
            self.fault_at(item, path, complaint);
            return None;
        }
        let fields = Fields::of(item, path, self.findings)?;
        Some(fields.parsing(self.prefix))
    }

    /// The value of `key`, read by `read`; absent or faulty is `None`.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Node) -> Result<T, Complaint>,
    ) -> Option<T> {
        let node = self.node(key)?;
        read(node)
            .map_err(|complaint| self.fault(key, complaint))
            .ok()
    }

    /// The value of `key`, read by `read`; it is a fault when it is absent.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Node) -> Result<T, Complaint>,
    ) -> Option<T> {
        if self.node(key).is_none() {
            self.missing(key);
            return None;
        }
        self.optional(key, read)
    }

    /// The mapping below `key`.
    pub(super) fn child(&mut self, key: &'static str) -> Option<Self> {
        let node = self.node(key)?;
        let fields = Fields::of(node, &self.path_of(key), self.findings)?;
        Some(fields.parsing(self.prefix))
    }

    /// Reads each item of the list below `key`; a fault is reported with the item's number.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&Node) -> Result<T, Complaint>,
    ) -> Vec<T> {
        let Some(node) = self.node(key) else {
            return Vec::new();
        };
        let Value::List(items) = &node.value else {
            self.fault(key, format!("expected a list, found {}", node.kind()));
            return Vec::new();
        };
        let mut values = Vec::with_capacity(items.len());
        for (n, item) in items.iter().enumerate() {
            match read(item) {
                Ok(value) => values.push(value),
                Err(complaint) => self.findings.fault(Finding::new(
                    item.place.clone(),
                    format!("{}[{n}]", self.path_of(key)),
                    complaint,
                )),
            }
        }
        values
    }

    /// Warns of every key that nobody asked for.
    pub(super) fn finish(mut self) {
        self.asked.dedup();
        for (key, _) in self.entries {
            if self.asked.contains(&key.name.as_str()) {
                continue;
            }
            let remedy = nearest(&key.name, self.asked.iter().copied()).map_or_else(
                || format!("known keys: {}", self.asked.join(", ")),
                |known| format!("did you mean `{known}`?"),
            );
            self.findings.warning(Finding::new(
                key.place.clone(),
                join(&self.path, &key.name),
                Complaint::with_remedy(
                    format!("key `{}` is unknown and ignored", key.name),
                    remedy,
                ),
            ));
        }
    }
}

/// Text; numbers and booleans are taken as they are written in JSON.
pub(super) fn text(node: &Node) -> Result<String, Complaint> {
    match &node.value {
        Value::Text(text) => Ok(text.clone()),
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(_) => Err(Complaint::with_remedy(
            "expected text, found a number with a fraction",
            "put it in quotes",
        )),
        _ => Err(expected("text", node)),
    }
}

/// Text that is not empty.
pub(super) fn filled_text(node: &Node) -> Result<String, Complaint> {
    match text(node)? {
        empty if empty.trim().is_empty() => Err("must not be empty".into()),
        text => Ok(text),
    }
}

/// `true` or `false`.
pub(super) fn boolean(node: &Node) -> Result<bool, Complaint> {
    match &node.value {
        Value::Bool(value) => Ok(*value),
        Value::Text(text) if text == "true" => Ok(true),
        Value::Text(text) if text == "false" => Ok(false),
        _ => Err(expected("true or false", node)),
    }
}

/// A whole number; text that is one counts.
pub(super) fn integer(node: &Node) -> Result<i64, Complaint> {
    let number = match &node.value {
        Value::Number(number) => number.as_i64(),
        Value::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| expected("a whole number", node))
}

/// A whole number of at least 1.
pub(super) fn count(node: &Node) -> Result<usize, Complaint> {
    match usize::try_from(integer(node)?) {
        Ok(0) | Err(_) => Err("must be at least 1".into()),
        Ok(count) => Ok(count),
    }
}

/// A TCP port; 0 lets the system choose one.
pub(super) fn port(node: &Node) -> Result<u16, Complaint> {
    u16::try_from(integer(node)?).map_err(|_| "a port is a number from 0 to 65535".into())
}

/// A duration in Flink's notation; a bare number is milliseconds.
pub(super) fn duration(node: &Node) -> Result<Duration, Complaint> {
    match &node.value {
        Value::Text(_) | Value::Number(_) => duration::parse(&text(node)?),
        _ => Err(expected("a duration such as `30s`", node)),
    }
}

/// A duration above zero.
pub(super) fn span(node: &Node) -> Result<Duration, Complaint> {
    match duration(node)? {
        Duration::ZERO => Err("must be longer than zero".into()),
        span => Ok(span),
    }
}

/// `<namespace>/<name>`.
pub(super) fn type_name(node: &Node) -> Result<TypeName, Complaint> {
    let text = text(node)?;
    text.parse().map_err(|_| invalid_type_name(&text))
}

/// StateFun's text for a malformed type name.
pub(super) fn invalid_type_name(text: &str) -> Complaint {
    let text: String = text.chars().take(200).collect();
    format!("Invalid type name string: {text}. Must be of format <namespace>/<name>.").into()
}

fn expected(what: &str, node: &Node) -> Complaint {
    format!("expected {what}, found {}", node.kind()).into()
}
