//! A record as a line of text, for people and for tools that read JSON lines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::protocol::reqreply::TypedValue;
use crate::runtime::{EgressRecord, SinkBatch, values};
use crate::sdk::TypeName;

/// The records of a batch, each as a line `{"egress", "id", "type", "value"}` with its line feed.
pub(super) fn lines(batch: &SinkBatch) -> String {
    let mut text = String::new();
    for record in batch.records() {
        text.push_str(&line(batch.egress(), record));
        text.push('\n');
    }
    text
}

/// Built-in types as text, JSON as it is, all else as base64.
fn line(egress: &TypeName, record: &EgressRecord) -> String {
    let typed = TypedValue {
        typename: record.value_type_name.clone(),
        has_value: true,
        value: record.value.clone(),
    };
    let (_, text, bytes) = values::show(typed);
    let mut line = serde_json::json!({ "egress": egress.as_str(), "id": record.id, "type": record.value_type_name });
    let value = match text {
        Some(text) => ("value", text.into()),
        None => match serde_json::from_slice::<serde_json::Value>(&bytes) {
            Ok(json) => ("value", json),
            Err(_) => ("base64", STANDARD.encode(&bytes).into()),
        },
    };
    if let Some(object) = line.as_object_mut() {
        object.insert(value.0.to_owned(), value.1);
    }
    line.to_string()
}
