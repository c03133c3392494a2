//! Reads a mapping key by key: missing, malformed and unknown keys are reported, and reading continues.

use std::cell::RefCell;

use super::at::At;
use super::finding::{Complaint, Finding};
use super::nearest::nearest;
use super::node::{Key, Node, Value, join};
use super::scalar::expected;

/// A mapping, and which of its keys have been read.
pub(crate) struct Fields<'a> {
    at: At<'a>,
    entries: &'a [(Key, Node)],
    asked: RefCell<Vec<&'static str>>,
    /// Keys that belong elsewhere, and where.
    elsewhere: &'static [(&'static str, &'static str)],
    /// StateFun's text about the whole document, which precedes that about a field.
    prefix: &'static str,
    /// Unknown keys are ignored with a warning, as StateFun and EdgeX ignore them.
    ignores_unknown: bool,
    /// The first letter of a key may be in upper case, as in EdgeX.
    takes_either_case: bool,
}

impl<'a> Fields<'a> {
    /// The fields at `at`, or a fault if it is not a mapping. No value counts as an empty mapping.
    pub(crate) fn of(at: At<'a>) -> Option<Self> {
        let entries: &[(Key, Node)] = match &at.node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            _ => return at.complain(expected("a mapping", at.node)),
        };
        Some(Self {
            at,
            entries,
            asked: RefCell::default(),
            elsewhere: &[],
            prefix: "",
            ignores_unknown: false,
            takes_either_case: false,
        })
    }

    /// Also accepts keys as EdgeX writes them: `MaxAge` is `maxAge`.
    pub(crate) const fn in_either_case(mut self) -> Self {
        self.takes_either_case = true;
        self
    }

    /// Unknown keys are ignored, with a warning.
    #[cfg(feature = "edgex")]
    pub(crate) const fn ignoring_unknown(mut self) -> Self {
        self.ignores_unknown = true;
        self
    }

    /// Whether `written` is a spelling of `key`.
    fn is_called(&self, written: &str, key: &str) -> bool {
        if !self.takes_either_case {
            return written == key;
        }
        let first = |text: &str| text.chars().next().map(|c| c.to_ascii_lowercase());
        let rest = |text: &str| text.chars().skip(1).collect::<String>();
        first(written) == first(key) && rest(written) == rest(key)
    }

    /// The key as it is written; `key` itself if it is missing.
    fn written<'k>(&'k self, key: &'k str) -> &'k str {
        let mut entries = self.entries.iter();
        let found = entries.find(|(k, _)| self.is_called(&k.name, key));
        found.map_or(key, |(k, _)| k.name.as_str())
    }

    /// Sets the keys that belong elsewhere, and where, for the message about them.
    pub(crate) const fn elsewhere(mut self, keys: &'static [(&'static str, &'static str)]) -> Self {
        self.elsewhere = keys;
        self
    }

    fn node_of(&self, key: &str) -> &'a Node {
        self.peek(key).unwrap_or(self.at.node)
    }

    /// The path of `key`.
    pub(crate) fn path_of(&self, key: &str) -> String {
        join(self.at.path(), self.written(key))
    }

    /// A finding about `key`, at its value if it is there; the empty key is the whole mapping.
    pub(crate) fn finding(&self, key: &str, complaint: impl Into<Complaint>) -> Finding {
        let path = match key {
            "" => self.at.path().to_owned(),
            key => self.path_of(key),
        };
        Finding::new(self.node_of(key).location.clone(), path, complaint)
    }

    /// Reports a fault of `key`.
    pub(crate) fn fault(&self, key: &str, complaint: impl Into<Complaint>) {
        let finding = self.finding(key, complaint);
        self.at.findings().fault(self.with_prefix(finding));
    }

    /// Reports a fault of `node`, at `path` below this mapping.
    pub(crate) fn fault_below(&self, node: &Node, path: &str, complaint: Complaint) {
        let finding = Finding::new(node.location.clone(), path, complaint);
        self.at.findings().fault(self.with_prefix(finding));
    }

    fn with_prefix(&self, finding: Finding) -> Finding {
        if self.prefix.is_empty() {
            return finding;
        }
        let text = finding.upstream.as_deref().unwrap_or(&finding.message);
        Finding {
            upstream: Some(format!("{}{text}", self.prefix)),
            ..finding
        }
    }

    /// Whether there is such a key, even if it has no value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.peek(key).is_some()
    }

    fn peek(&self, key: &str) -> Option<&'a Node> {
        let mut entries = self.entries.iter();
        let (_, node) = entries.find(|(k, _)| self.is_called(&k.name, key))?;
        Some(node)
    }

    /// The value of `key` as it is in the document, even if it is null.
    pub(crate) fn given(&self, key: &'static str) -> Option<&'a Node> {
        self.asked.borrow_mut().push(key);
        self.peek(key)
    }

    /// The value of `key`, with its location.
    pub(crate) fn get(&self, key: &'static str) -> Option<At<'a>> {
        let node = self.given(key)?;
        Some(self.at.child(self.written(key), node))
    }

    /// The value of `key`, with its location; a missing key is a fault.
    pub(crate) fn required(&self, key: &'static str) -> Option<At<'a>> {
        let found = self.get(key);
        if found.is_none() {
            self.fault(key, "is required and missing");
        }
        found
    }

    /// Sets `target` to the entry `key` as read by `read`, if there is one. False if it cannot be read.
    pub(crate) fn set<T>(
        &self,
        key: &'static str,
        target: &mut T,
        read: impl FnOnce(&At<'a>) -> Option<T>,
    ) -> bool {
        let Some(at) = self.get(key) else {
            return true;
        };
        let value = read(&at);
        let whole = value.is_some();
        if let Some(value) = value {
            *target = value;
        }
        whole
    }

    /// The value of `key`, read by `read`; absent or faulty is `None`.
    pub(crate) fn optional<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Node) -> Result<T, Complaint>,
    ) -> Option<T> {
        self.get(key)?.read(read)
    }

    /// The same, but a missing key is a fault.
    pub(crate) fn must<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Node) -> Result<T, Complaint>,
    ) -> Option<T> {
        self.required(key)?.read(read)
    }

    /// Reports every key that was not read.
    pub(crate) fn finish(self) {
        let mut asked = self.asked.take();
        asked.dedup();
        let is_asked = |name: &str| asked.iter().any(|key| self.is_called(name, key));
        let again = self.entries.iter().filter(|(key, _)| {
            let is_first = self.written(&key.name) == key.name;
            !is_first && is_asked(&key.name)
        });
        for (key, _) in again {
            let text = format!(
                "`{}` is given twice, as `{0}` and as `{}`",
                key.name,
                self.written(&key.name)
            );
            let path = join(self.at.path(), &key.name);
            let finding = Finding::new(key.location.clone(), path, text);
            self.at.findings().fault(finding);
        }
        let unknown = self.entries.iter().filter(|(key, _)| !is_asked(&key.name));
        for (key, _) in unknown {
            let path = self.path_of(&key.name);
            let finding = |complaint| Finding::new(key.location.clone(), path, complaint);
            let remedy = self.remedy_of(&key.name, &asked);
            let name = &key.name;
            if self.ignores_unknown {
                let text = format!("key `{name}` is unknown and ignored");
                let finding = finding(Complaint::with_remedy(text, remedy));
                self.at.findings().warning(finding);
            } else {
                let text = format!("key `{name}` is unknown");
                let finding = finding(Complaint::with_remedy(text, remedy));
                self.at.findings().fault(finding);
            }
        }
    }

    fn remedy_of(&self, key: &str, asked: &[&str]) -> String {
        let elsewhere = self.elsewhere.iter().map(|(known, _)| *known);
        if let Some(meant) = nearest(key, elsewhere)
            && let Some((known, section)) = self.elsewhere.iter().find(|(known, _)| *known == meant)
        {
            return format!("`{known}` belongs {section}");
        }
        nearest(key, asked.iter().copied()).map_or_else(
            || match asked {
                [] => "no keys are known here".to_owned(),
                _ => format!("known keys: {}", asked.join(", ")),
            },
            |known| format!("did you mean `{known}`?"),
        )
    }
}

/// Further methods for module files.
#[cfg(feature = "runtime")]
impl<'a> Fields<'a> {
    /// The fields of one of StateFun's own kinds: `prefix` is the text with which StateFun's messages about fields begin; unknown keys are
    /// ignored, with a warning.
    pub(crate) const fn of_statefun(mut self, prefix: &'static str) -> Self {
        self.prefix = prefix;
        self.ignores_unknown = true;
        self
    }

    pub(crate) const fn findings(&self) -> &'a super::Findings {
        self.at.findings()
    }

    /// The location of the mapping.
    pub(crate) const fn location(&self) -> &super::Location {
        &self.at.node.location
    }

    /// A finding about the whole mapping.
    pub(crate) fn at(&self) -> Finding {
        self.finding("", "")
    }

    /// Reports a warning about `key`.
    pub(crate) fn warn(&self, key: &str, complaint: impl Into<Complaint>) {
        self.findings().warning(self.finding(key, complaint));
    }

    /// Reports a warning about `node`, at `path` below this mapping.
    pub(crate) fn warn_below(&self, node: &Node, path: &str, complaint: Complaint) {
        let finding = Finding::new(node.location.clone(), path, complaint);
        self.findings().warning(finding);
    }

    /// The value of `key`; a key without a value counts as absent.
    pub(crate) fn node(&self, key: &'static str) -> Option<&'a Node> {
        self.given(key)
            .filter(|node| !matches!(node.value, Value::Null))
    }

    /// The value of `key`, read by `read`; absent or faulty is `None`.
    pub(crate) fn value<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Node) -> Result<T, Complaint>,
    ) -> Option<T> {
        let node = self.given(key)?;
        read(node)
            .map_err(|complaint| self.fault(key, complaint))
            .ok()
    }

    /// The same, but a missing key is a fault.
    pub(crate) fn needed<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Node) -> Result<T, Complaint>,
    ) -> Option<T> {
        if self.peek(key).is_none() {
            self.missing(key);
        }
        self.value(key, read)
    }

    /// Reports that `key` is missing, with StateFun's text.
    pub(crate) fn missing(&self, key: &'static str) {
        self.asked.borrow_mut().push(key);
        self.fault(key, format!("missing key /{key}"));
    }

    /// The items of the list at `key`, each with its path.
    pub(crate) fn items(&self, key: &'static str) -> Option<Vec<(String, &'a Node)>> {
        let node = self.given(key)?;
        let Value::List(items) = &node.value else {
            self.fault(key, expected("a list", node));
            return None;
        };
        let path = |n| format!("{}[{n}]", self.path_of(key));
        let item = |(n, item)| (path(n), item);
        Some(items.iter().enumerate().map(item).collect())
    }

    /// The fields of `node`, at `path` in this mapping, with the same prefix and the same treatment of unknown keys.
    pub(crate) fn below(&self, node: &'a Node, path: &str) -> Option<Self> {
        let below = Self::of(At::new(node, path, self.findings()))?;
        Some(Self {
            prefix: self.prefix,
            ignores_unknown: self.ignores_unknown,
            ..below
        })
    }

    /// The mapping below `key`.
    pub(crate) fn child(&self, key: &'static str) -> Option<Self> {
        self.below(self.node(key)?, &self.path_of(key))
    }

    /// Reads each item of the list below `key`; a fault is reported with the item's number.
    pub(crate) fn list<T>(
        &self,
        key: &'static str,
        read: impl Fn(&Node) -> Result<T, Complaint>,
    ) -> Vec<T> {
        let items = self.get(key).and_then(At::items).unwrap_or_default();
        items.iter().filter_map(|item| item.read(&read)).collect()
    }
}
