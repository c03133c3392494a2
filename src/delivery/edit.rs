//! Edits: a delivery that was given up or cancelled gets other content, and is sent again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::dead_letter::Payload;
use crate::sdk::{Type, types};

/// The type of an edit, sent to the address of a delivery that was given up or cancelled. The answer, a [`REPLY`](super::REPLY), goes to the caller, if there
/// is one.
pub const EDIT: Type<Edit> = types::json("statefun.deliveries/edit");

/// Other content for a delivery, which is then requeued. What is not given stays as it is.
///
/// ```
/// use stateful_functions::delivery::Edit;
///
/// let edit: Edit = serde_json::from_str(r#"{"actor": "alice", "reason": "a typo", "payload": {"text": "{}"}}"#)?;
/// assert_eq!(edit, { let mut edit = Edit::new("alice", "a typo"); edit.payload = Some(serde_json::from_str(r#"{"text": "{}"}"#)?); edit });
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Edit {
    /// The name of the operator or API caller; not blank.
    pub actor: String,
    /// Their reason; not blank.
    pub reason: String,
    /// The new bytes, not compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
    /// The type of the bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Values to set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
}

impl Edit {
    /// An edit that changes nothing.
    pub fn new(actor: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            actor: actor.into(),
            reason: reason.into(),
            payload: None,
            content_type: None,
            values: BTreeMap::new(),
        }
    }
}
