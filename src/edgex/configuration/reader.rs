//! Reads a section of the merged tree, in which every setting has a value.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::document::{At, Value, scalar};
use crate::pipeline::edgex_boolean;
use crate::time::span as spans;

/// A section and its place.
pub(super) struct Reader<'a> {
    at: At<'a>,
}

impl<'a> Reader<'a> {
    /// The section at `at`; a fault if it is not a mapping.
    pub(super) fn of(at: At<'a>) -> Option<Self> {
        match at.node.value {
            Value::Map(_) => Some(Self { at }),
            _ => at.complain(scalar::expected("a mapping of settings", at.node)),
        }
    }

    /// A section in this one.
    pub(super) fn section(&self, name: &str) -> Option<Self> {
        match self.place(name) {
            Some(at) => Self::of(at),
            None => self.at.fault(format_args!("`{name}` is missing")),
        }
    }

    /// The names of all settings.
    pub(super) fn keys(&self) -> Vec<String> {
        self.at.node.keys().map(|key| key.name.clone()).collect()
    }

    /// The place of a setting, if it is there.
    pub(super) fn place(&self, name: &str) -> Option<At<'a>> {
        let node = self.at.node.get(name)?;
        Some(self.at.child(name, node))
    }

    /// Reports a fault at a setting.
    pub(super) fn fault<T>(&self, name: &str, text: impl std::fmt::Display) -> Option<T> {
        self.at.fault_at(name, text);
        None
    }

    /// The text of a setting; one without a value is an empty text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.filled(name, String::new(), At::text)
    }

    /// True or false; not set is false.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.filled(name, false, |at| match at.node.value {
            Value::Bool(flag) => Some(flag),
            _ => at.parsed(edgex_boolean),
        })
    }

    /// A whole number; not set is 0.
    pub(super) fn whole(&self, name: &str) -> Option<u64> {
        self.filled(name, 0, At::whole)
    }

    /// A port; not set is 0.
    pub(super) fn port(&self, name: &str) -> Option<u16> {
        let port = self.whole(name)?;
        match u16::try_from(port) {
            Ok(port) => Some(port),
            Err(_) => self.fault(name, format_args!("{port} is not a port")),
        }
    }

    /// 0, 1 or 2.
    pub(super) fn qos(&self, name: &str) -> Option<u8> {
        match self.whole(name)? {
            0 => Some(0),
            1 => Some(1),
            2 => Some(2),
            other => self.fault(name, format_args!("{other} is not a QoS: 0, 1 or 2")),
        }
    }

    /// A time such as `5s`; not set, or `0s` as EdgeX writes it, is zero.
    pub(super) fn span(&self, name: &str) -> Option<Duration> {
        self.filled(name, Duration::ZERO, |at| match &at.node.value {
            Value::Text(text) if text.trim().is_empty() || is_zero(text) => Some(Duration::ZERO),
            _ => at.span(),
        })
    }

    /// Whole seconds, written as a number; a time such as `5s` is taken, too.
    pub(super) fn seconds(&self, name: &str) -> Option<Duration> {
        self.filled(name, Duration::ZERO, |at| match &at.node.value {
            Value::Number(_) => at.whole().map(Duration::from_secs),
            Value::Text(text) => match text.trim().parse() {
                Ok(seconds) => Some(Duration::from_secs(seconds)),
                Err(_) if is_zero(text) => Some(Duration::ZERO),
                Err(_) => at.span(),
            },
            _ => at.span(),
        })
    }

    /// The items of a comma list.
    pub(super) fn list(&self, name: &str) -> Option<Vec<String>> {
        let text = self.text(name)?;
        let items = text.split(',').map(str::trim);
        Some(
            items
                .filter(|item| !item.is_empty())
                .map(str::to_owned)
                .collect(),
        )
    }

    fn filled<T>(
        &self,
        name: &str,
        unset: T,
        read: impl FnOnce(&At<'a>) -> Option<T>,
    ) -> Option<T> {
        match self.place(name) {
            Some(at) if !matches!(at.node.value, Value::Null) => read(&at),
            _ => Some(unset),
        }
    }
}

/// A mapping of keys and texts.
pub(super) fn texts(at: &At<'_>) -> Option<BTreeMap<String, String>> {
    let mut texts = BTreeMap::new();
    for (key, at) in at.entries("a mapping of settings and their texts")? {
        let text = match at.node.value {
            Value::Null => String::new(),
            _ => at.text()?,
        };
        texts.insert(key.to_owned(), text);
    }
    Some(texts)
}

fn is_zero(text: &str) -> bool {
    spans::parse(text) == Ok(Duration::ZERO)
}
