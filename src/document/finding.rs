//! Findings: what is wrong with a document, and where.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

/// Where something is in a module file: file, line and column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The name of the file, as given.
    pub file: Arc<str>,
    /// Counted from 1; 0 when the whole file is meant.
    pub line: u32,
    /// In characters, counted from 1; 0 when the whole file is meant.
    pub column: u32,
}

impl Location {
    /// The location of a document that is in no file.
    pub(crate) fn nowhere() -> Self {
        Self::file("")
    }

    /// The whole of `file`.
    pub fn file(file: &str) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}:{}", self.file, self.column),
        }
    }
}

/// One finding about a document: a fault, a warning, or something that another runtime would not accept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// Its location.
    pub location: Location,
    /// The field within its document, such as `spec.transport.timeouts.call`; empty for the whole document.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it, if there is one obvious remedy.
    pub remedy: Option<String>,
    /// StateFun's own text for the same finding, if it has one.
    pub upstream: Option<String>,
    /// StateFun finds it only at the first message of the function. It is a warning when the module is run, and an error for
    /// `statefun check`.
    pub is_lazy_fault: bool,
}

impl Finding {
    /// The finding `complaint` about `path` at `location`.
    pub fn new(
        location: Location,
        path: impl Into<String>,
        complaint: impl Into<Complaint>,
    ) -> Self {
        let Complaint {
            message,
            remedy,
            upstream,
        } = complaint.into();
        Self {
            location,
            path: path.into(),
            message,
            remedy,
            upstream,
            is_lazy_fault: false,
        }
    }

    /// The finding with StateFun's own text and class names, if it has one.
    #[must_use]
    pub fn as_upstream(self) -> Self {
        Self {
            message: self.upstream.clone().unwrap_or(self.message),
            ..self
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_in_file = !self.location.file.is_empty();
        if is_in_file {
            write!(f, "{}: ", self.location)?;
        }
        match self.path.as_str() {
            "" => {}
            path if is_in_file => write!(f, "`{path}`: ")?,
            path => write!(f, "{path}: ")?,
        }
        f.write_str(&self.message)?;
        match &self.remedy {
            Some(remedy) => write!(f, " ({remedy})"),
            None => Ok(()),
        }
    }
}

/// What is wrong and what to do about it, without a location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: Option<String>,
    /// StateFun's own text for the same finding, if it has one.
    pub upstream: Option<String>,
}

impl Complaint {
    /// A complaint with its remedy.
    pub fn with_remedy(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            remedy: Some(remedy.into()),
            upstream: None,
        }
    }

    /// Adds StateFun's own text.
    #[must_use]
    pub fn upstream(self, text: impl Into<String>) -> Self {
        Self {
            upstream: Some(text.into()),
            ..self
        }
    }
}

impl<T: Into<String>> From<T> for Complaint {
    fn from(message: T) -> Self {
        Self {
            message: message.into(),
            remedy: None,
            upstream: None,
        }
    }
}

/// Collects findings while documents are read, so that all are reported at once.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    faults: RefCell<Vec<Finding>>,
    warnings: RefCell<Vec<Finding>>,
    not_for_flink: RefCell<Vec<Finding>>,
}

impl Findings {
    pub(crate) fn fault(&self, finding: Finding) {
        self.faults.borrow_mut().push(finding);
    }

    pub(crate) fn warning(&self, finding: Finding) {
        self.warnings.borrow_mut().push(finding);
    }

    /// Adds a warning, which is also the failure at first use.
    #[cfg(feature = "runtime")]
    pub(crate) fn lazy_fault(&self, finding: Finding) {
        self.warning(Finding {
            is_lazy_fault: true,
            ..finding
        });
    }

    #[cfg(feature = "runtime")]
    pub(crate) fn not_for_flink(&self, finding: Finding) {
        self.not_for_flink.borrow_mut().push(finding);
    }

    /// Adds a fault without a file.
    pub(crate) fn add(&self, path: impl Into<String>, message: impl fmt::Display) {
        self.fault(Finding::new(Location::nowhere(), path, message.to_string()));
    }

    /// `value`, or all faults.
    pub(crate) fn into_result<T>(self, value: Option<T>) -> Result<T, Vec<Finding>> {
        match (value, self.faults.into_inner()) {
            (Some(value), faults) if faults.is_empty() => Ok(value),
            (_, faults) => Err(faults),
        }
    }

    #[cfg(feature = "runtime")]
    pub(crate) fn has_faults(&self) -> bool {
        !self.faults.borrow().is_empty()
    }

    /// Faults, warnings and what would not run on Flink, each in file order.
    #[cfg(any(feature = "runtime", all(test, feature = "edgex")))]
    pub(crate) fn into_parts(self) -> (Vec<Finding>, Vec<Finding>, Vec<Finding>) {
        let sorted = |found: RefCell<Vec<Finding>>| {
            let mut found = found.into_inner();
            found.sort_by(|a, b| a.location.cmp(&b.location));
            found
        };
        (
            sorted(self.faults),
            sorted(self.warnings),
            sorted(self.not_for_flink),
        )
    }
}
