//! What is wrong with a module, and where.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

/// Where something stands in a module file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file, as it was named when it was read.
    pub file: Arc<str>,
    /// Counted from 1; 0 when the whole file is meant.
    pub line: u32,
    /// In characters, counted from 1; 0 when the whole file is meant.
    pub column: u32,
}

impl Place {
    /// The whole of `file`.
    pub fn file(file: &str) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}:{}", self.file, self.column),
        }
    }
}

/// One remark about a module: a fault, a warning, or what another runtime would not take.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// Where it is.
    pub place: Place,
    /// The field within its document, such as `spec.transport.timeouts.call`; empty when the document is meant.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it, where there is one obvious thing.
    pub remedy: Option<String>,
    /// StateFun finds it only at the first message of the function: a warning when the module is run, an error for
    /// `statefun check`.
    pub is_lazy_fault: bool,
}

impl Finding {
    /// The remark `message` about `path` at `place`.
    pub fn new(place: Place, path: impl Into<String>, complaint: impl Into<Complaint>) -> Self {
        let Complaint { message, remedy } = complaint.into();
        Self {
            place,
            path: path.into(),
            message,
            remedy,
            is_lazy_fault: false,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.path.is_empty() {
            write!(f, "`{}`: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.remedy {
            Some(remedy) => write!(f, " ({remedy})"),
            None => Ok(()),
        }
    }
}

/// What is wrong and what to do about it, before it is known where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Complaint {
    /// A complaint with its remedy.
    pub fn with_remedy(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            remedy: Some(remedy.into()),
        }
    }
}

impl<T: Into<String>> From<T> for Complaint {
    fn from(message: T) -> Self {
        Self {
            message: message.into(),
            remedy: None,
        }
    }
}

/// Collects what is found while a module is read, so that everything is told at once.
#[derive(Debug, Default)]
pub(super) struct Findings {
    faults: RefCell<Vec<Finding>>,
    warnings: RefCell<Vec<Finding>>,
    not_for_flink: RefCell<Vec<Finding>>,
}

impl Findings {
    pub(super) fn fault(&self, finding: Finding) {
        self.faults.borrow_mut().push(finding);
    }

    pub(super) fn warning(&self, finding: Finding) {
        self.warnings.borrow_mut().push(finding);
    }

    /// A warning now, the same failure at first use.
    pub(super) fn lazy_fault(&self, finding: Finding) {
        self.warning(Finding {
            is_lazy_fault: true,
            ..finding
        });
    }

    pub(super) fn not_for_flink(&self, finding: Finding) {
        self.not_for_flink.borrow_mut().push(finding);
    }

    pub(super) fn has_faults(&self) -> bool {
        !self.faults.borrow().is_empty()
    }

    /// Faults, warnings and what would not run on Flink, each in the order of the files.
    pub(super) fn into_parts(self) -> (Vec<Finding>, Vec<Finding>, Vec<Finding>) {
        let sorted = |found: RefCell<Vec<Finding>>| {
            let mut found = found.into_inner();
            found.sort_by(|a, b| a.place.cmp(&b.place));
            found
        };
        (
            sorted(self.faults),
            sorted(self.warnings),
            sorted(self.not_for_flink),
        )
    }
}
