//! A damaged stored row, as shown in lists.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::runtime::core::keys::STATE;
use crate::runtime::core::{AddressKey, Failure};
use crate::storage::StorageError;

/// The damage and the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damaged {
    address: Option<String>,
    /// The name of the value.
    name: Option<String>,
    text: String,
}

impl Damaged {
    /// The damaged row, if `error` is about a single row.
    ///
    /// # Errors
    /// The error itself, if it is about more than one row.
    pub(super) fn of(error: StorageError) -> Result<Self, StorageError> {
        let StorageError::DamagedRow { table, key, .. } = &error else {
            return Err(error);
        };
        let split = AddressKey::split(key);
        let name = split.as_ref().filter(|_| *table == STATE);
        Ok(Self {
            name: name.map(|(_, name)| String::from_utf8_lossy(name).into_owned()),
            address: split.map(|(address, _)| address.to_address().to_string()),
            text: Failure::from(error).to_string(),
        })
    }

    /// `{address?, name?, damaged}`.
    pub(super) fn to_json(&self) -> Value {
        let mut fields = Map::new();
        for (field, text) in [("address", &self.address), ("name", &self.name)] {
            fields.extend(text.iter().map(|text| (field.to_owned(), json!(text))));
        }
        fields.insert("damaged".to_owned(), json!(self.text));
        Value::Object(fields)
    }
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An item of a list, or its damage.
pub(super) fn shown<T>(item: &Result<T, Damaged>, show: impl Fn(&T) -> Value) -> Value {
    item.as_ref().map_or_else(Damaged::to_json, show)
}
