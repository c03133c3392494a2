//! The parameters of an EdgeX function: a map of texts whose names have no case.

use std::cell::{Cell, RefCell};
use std::fmt;

pub(super) use super::super::config::boolean;
use crate::document::{At, Complaint, Finding, Value, nearest};

/// The parameters of one function, and which of them have been read.
pub(super) struct Parameters<'a> {
    at: At<'a>,
    entries: Vec<(&'a str, At<'a>)>,
    asked: RefCell<Vec<&'static str>>,
    has_faults: Cell<bool>,
}

impl<'a> Parameters<'a> {
    /// The parameters at `at`; nothing there means none.
    pub(super) fn read(at: At<'a>) -> Option<Self> {
        let is_empty = matches!(at.node.value, Value::Null);
        let entries = match is_empty {
            true => Vec::new(),
            false => at.entries("a mapping of parameters and their texts")?,
        };
        Some(Self {
            at,
            entries,
            asked: RefCell::default(),
            has_faults: Cell::new(false),
        })
    }

    fn place(&self, name: &'static str) -> Option<&At<'a>> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&name) {
            asked.push(name);
        }
        let found = self.entries.iter();
        let mut found = found.filter(|(written, _)| written.eq_ignore_ascii_case(name));
        let (_, place) = found.next()?;
        if let Some((again, twice)) = found.next() {
            self.has_faults.set(true);
            twice.fault::<()>(format_args!(
                "`{again}` is given twice: names are compared without regard to case"
            ));
        }
        Some(place)
    }

    /// The place of a parameter that is there.
    pub(super) fn given(&self, name: &'static str) -> Option<&At<'a>> {
        self.place(name)
    }

    /// Whether the parameter is there, even if it is empty.
    pub(super) fn has(&self, name: &'static str) -> bool {
        self.place(name).is_some()
    }

    /// The text of a parameter; `None` if it is absent or faulty. A key without a value is an empty text.
    pub(super) fn text(&self, name: &'static str) -> Option<String> {
        let place = self.place(name)?;
        if matches!(place.node.value, Value::Null) {
            return Some(String::new());
        }
        self.noted(place.text())
    }

    /// The text of a parameter that must be there; it may be empty.
    pub(super) fn required(&self, name: &'static str) -> Option<String> {
        if !self.has(name) {
            self.fault(name, "is required and missing");
            return None;
        }
        self.text(name)
    }

    /// The text of a parameter that must be there and must not be blank.
    pub(super) fn filled(&self, name: &'static str) -> Option<String> {
        let text = self.required(name)?;
        match text.trim() {
            "" => {
                self.fault(name, "must not be empty");
                None
            }
            text => Some(text.to_owned()),
        }
    }

    /// A parameter that is parsed with `parse`; its error is the fault.
    pub(super) fn parsed<T, E: fmt::Display>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(name)?;
        self.check(name, parse(&text))
    }

    /// A parameter that is read with `read`, which reports faults; `None` if it is absent or faulty.
    pub(super) fn read_with<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&At<'a>) -> Option<T>,
    ) -> Option<T> {
        let place = self.place(name)?;
        self.noted(read(place))
    }

    /// The value, or a fault of the parameter `name`.
    pub(super) fn check<T, E: fmt::Display>(
        &self,
        name: &'static str,
        checked: Result<T, E>,
    ) -> Option<T> {
        checked.map_err(|err| self.fault(name, err)).ok()
    }

    /// A boolean, false if it is absent.
    pub(super) fn boolean(&self, name: &'static str) -> bool {
        self.parsed(name, boolean).unwrap_or_default()
    }

    /// A boolean that EdgeX reads as false if it is empty, too.
    pub(super) fn boolean_or_empty(&self, name: &'static str) -> bool {
        let read = |text: &str| match text {
            "" => Ok(false),
            text => boolean(text),
        };
        self.parsed(name, read).unwrap_or_default()
    }

    /// Reports a fault of the parameter `name`.
    pub(super) fn fault(&self, name: &'static str, text: impl fmt::Display) {
        self.has_faults.set(true);
        match self
            .entries
            .iter()
            .find(|(written, _)| written.eq_ignore_ascii_case(name))
        {
            Some((_, place)) => drop(place.fault::<()>(text)),
            None => self.at.fault_at(name, text),
        }
    }

    /// Reports a fault of the function itself.
    pub(super) fn refuse<T>(&self, text: impl fmt::Display) -> Option<T> {
        self.at.fault(text)
    }

    /// The place of the parameter `name`, or of the function if it is not there, for a later finding.
    pub(super) fn place_of(&self, name: &'static str) -> Finding {
        let at = self.place(name).unwrap_or(&self.at);
        Finding::new(at.node.location.clone(), at.path(), "")
    }

    /// Reports a warning about the function.
    pub(super) fn warn(&self, complaint: impl Into<Complaint>) {
        self.at.warn(complaint);
    }

    /// Reports a warning about the parameter `name`.
    pub(super) fn warn_at(&self, name: &'static str, complaint: impl Into<Complaint>) {
        let place = self
            .entries
            .iter()
            .find(|(written, _)| written.eq_ignore_ascii_case(name));
        place.map_or(&self.at, |(_, place)| place).warn(complaint);
    }

    fn noted<T>(&self, read: Option<T>) -> Option<T> {
        if read.is_none() {
            self.has_faults.set(true);
        }
        read
    }

    /// What the function is made from, unless a parameter has a fault. Parameters that were not read give a warning.
    pub(super) fn finish<T>(self, made: Option<T>) -> Option<T> {
        let asked = self.asked.borrow();
        for (written, place) in &self.entries {
            if asked.iter().any(|name| name.eq_ignore_ascii_case(written)) {
                continue;
            }
            let remedy = nearest(written, asked.iter().copied()).map_or_else(
                || match asked.as_slice() {
                    [] => "the function has no parameters".to_owned(),
                    known => format!("known parameters: {}", known.join(", ")),
                },
                |known| format!("did you mean `{known}`?"),
            );
            let text = format!("parameter `{written}` is unknown and ignored");
            place.warn(Complaint::with_remedy(text, remedy));
        }
        made.filter(|_| !self.has_faults.get())
    }
}

/// The items of a comma list, trimmed; empty ones are dropped.
pub(super) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}
