//! What is wrong with a declared pipeline, and where. All faults are collected; none hides another.

use std::cell::RefCell;
use std::fmt;

/// One thing that is wrong with a declared pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// Where it stands below `spec`, such as `stages[2].http-export.url`; empty for the whole.
    pub path: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

/// Collects faults while a document is read.
#[derive(Debug, Default)]
pub(crate) struct Faults(RefCell<Vec<Fault>>);

impl Faults {
    pub(crate) fn add(&self, path: impl Into<String>, message: impl fmt::Display) {
        self.0.borrow_mut().push(Fault {
            path: path.into(),
            message: message.to_string(),
        });
    }

    pub(crate) fn into_result<T>(self, value: Option<T>) -> Result<T, Vec<Fault>> {
        match (value, self.0.into_inner()) {
            (Some(value), faults) if faults.is_empty() => Ok(value),
            (_, faults) => Err(faults),
        }
    }
}
