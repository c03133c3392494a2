//! The locations of fields in their document, for findings about their values that are made later, when a connector looks at them.

use std::collections::BTreeMap;
use std::fmt;

use crate::document::{Complaint, Fields, Finding, Location};

/// The places of some fields of a document, and of the document itself.
///
/// `Debug` shows nothing of it: documents that mean the same print the same.
#[derive(Clone, PartialEq, Eq)]
pub struct Places {
    document: (Location, String),
    fields: BTreeMap<String, (Location, String)>,
}

impl Places {
    /// Places in the document of `fields`.
    pub(super) fn of(fields: &Fields<'_>) -> Self {
        let Finding { location, path, .. } = fields.at();
        Self {
            document: (location, path),
            fields: BTreeMap::new(),
        }
    }

    /// Notes the place of `key`, if it is given.
    pub(super) fn note(&mut self, fields: &Fields<'_>, key: &str) {
        if fields.has(key) {
            let Finding { location, path, .. } = fields.finding(key, "");
            self.put(key, location, path);
        }
    }

    pub(super) fn put(&mut self, key: &str, location: Location, path: String) {
        self.fields.insert(key.to_owned(), (location, path));
    }

    /// The finding `complaint` about `key`, or about the document if `key` is not given.
    pub fn finding(&self, key: &str, complaint: impl Into<Complaint>) -> Finding {
        let (location, path) = self.fields.get(key).unwrap_or(&self.document).clone();
        Finding::new(location, path, complaint)
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Places")
    }
}

impl Default for Places {
    /// A document that is in no file.
    fn default() -> Self {
        Self {
            document: (Location::nowhere(), String::new()),
            fields: BTreeMap::new(),
        }
    }
}
