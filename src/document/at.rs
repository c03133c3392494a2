//! A location in a document while it is read: each mismatch becomes a finding there, and reading continues.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use super::fields::Fields;
use super::finding::{Complaint, Finding, Findings};
use super::node::{Node, Value, join};
use super::scalar;

/// A value with its path, and where to report its faults.
#[derive(Debug, Clone)]
pub(crate) struct At<'a> {
    pub(crate) node: &'a Node,
    path: String,
    findings: &'a Findings,
}

impl<'a> At<'a> {
    pub(crate) fn new(node: &'a Node, path: impl Into<String>, findings: &'a Findings) -> Self {
        Self {
            node,
            path: path.into(),
            findings,
        }
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) const fn findings(&self) -> &'a Findings {
        self.findings
    }

    fn finding(&self, complaint: impl Into<Complaint>) -> Finding {
        Finding::new(self.node.location.clone(), self.path.as_str(), complaint)
    }

    /// Reports a fault at this location.
    pub(crate) fn fault<T>(&self, message: impl fmt::Display) -> Option<T> {
        self.complain(message.to_string())
    }

    /// Reports a fault at this location, with the remedy.
    pub(crate) fn complain<T>(&self, complaint: impl Into<Complaint>) -> Option<T> {
        self.findings.fault(self.finding(complaint));
        None
    }

    /// Reports a warning at this location.
    pub(crate) fn warn(&self, complaint: impl Into<Complaint>) {
        self.findings.warning(self.finding(complaint));
    }

    /// Reports a fault at a field of this value, such as `headers.accept`; the empty name is the value itself.
    pub(crate) fn fault_at(&self, field: &str, message: impl fmt::Display) {
        let (path, mut node) = match field {
            "" => (self.path.clone(), self.node),
            field => (join(&self.path, field), self.node),
        };
        // The key may contain dots itself; a key that is not found is reported at its mapping.
        if let Some(found) = self.node.get(field) {
            node = found;
        } else if let Some((outer, inner)) = field.split_once('.') {
            let outer = node.get(outer);
            node = outer.map_or(node, |outer| outer.get(inner).unwrap_or(outer));
        }
        let finding = Finding::new(node.location.clone(), path, message.to_string());
        self.findings.fault(finding);
    }

    /// Reads the value with `read`; faults are reported.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Node) -> Result<T, Complaint>) -> Option<T> {
        read(self.node).map_or_else(|complaint| self.complain(complaint), Some)
    }

    /// Parses the text with `parse`; its error is the fault.
    pub(crate) fn parsed<T, E: fmt::Display>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        parse(&self.text()?).map_or_else(|err| self.fault(err), Some)
    }

    /// The fields of this mapping. `gzip:` without a value is the same as `gzip: {}`.
    pub(crate) fn fields(self) -> Option<Fields<'a>> {
        Fields::of(self)
    }

    pub(crate) fn items(self) -> Option<Vec<Self>> {
        let Value::List(items) = &self.node.value else {
            return self.complain(scalar::expected("a list", self.node));
        };
        let item = |(n, node)| Self::new(node, format!("{}[{n}]", self.path), self.findings);
        Some(items.iter().enumerate().map(item).collect())
    }

    /// The entries of this mapping, with any keys. `what` describes the expected value.
    pub(crate) fn entries(&self, what: &str) -> Option<Vec<(&'a str, Self)>> {
        let Value::Map(entries) = &self.node.value else {
            return self.complain(scalar::expected(what, self.node));
        };
        let entry =
            |(key, node): &'a (super::Key, Node)| (key.name.as_str(), self.child(&key.name, node));
        Some(entries.iter().map(entry).collect())
    }

    pub(crate) fn child(&self, name: &str, node: &'a Node) -> Self {
        Self::new(node, join(&self.path, name), self.findings)
    }

    pub(crate) fn text(&self) -> Option<String> {
        self.read(scalar::text)
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        self.read(scalar::boolean)
    }

    pub(crate) fn whole(&self) -> Option<u64> {
        self.read(scalar::whole)
    }

    pub(crate) fn count(&self) -> Option<NonZeroU64> {
        self.read(scalar::count)
    }

    pub(crate) fn number(&self) -> Option<f64> {
        self.read(scalar::number)
    }

    pub(crate) fn span(&self) -> Option<Duration> {
        self.read(scalar::span)
    }
}
