//! Keys without a value, which EdgeX reads like absent ones, or as an empty text.

use crate::document::{At, Value};

/// Whether the key has no value.
pub(super) fn is_unset(at: &At<'_>) -> bool {
    matches!(at.node.value, Value::Null)
}

/// A text; a key without a value is an empty one.
pub(super) fn text(at: &At<'_>) -> Option<String> {
    if is_unset(at) {
        return Some(String::new());
    }
    at.text()
}
