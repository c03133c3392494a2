//! A JSON object whose values keep their text. A `Value` has no place for a number with more digits than a double, for half a surrogate pair, or for a
//! list that is nested deeply; what a user has sent can be all of that, and is shown as it was sent.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

/// The fields of an object, each as JSON text.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct RawFields(BTreeMap<String, Box<RawValue>>);

const WRITABLE: &str = "keys are text, and nothing else can fail";

impl RawFields {
    /// The fields of something that is an object as JSON.
    pub(super) fn of(object: &impl Serialize) -> Self {
        let text = serde_json::to_string(object).expect(WRITABLE);
        Self(serde_json::from_str(&text).expect("an object was written"))
    }

    /// Adds a field, or replaces it.
    pub(super) fn set(&mut self, name: &str, value: &impl Serialize) {
        let value = to_raw_value(value).expect(WRITABLE);
        self.0.insert(name.to_owned(), value);
    }

    /// Adds the fields of another object, which replace those of the same name.
    pub(super) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }
}
