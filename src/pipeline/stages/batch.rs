//! `batch: {count, time, key?, format?}`: combines many records into one, by count, by time, or whichever comes first.

use std::num::NonZeroU32;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::value::RawValue;

use super::super::extras::Form;
use super::super::record::{Record, content_type};
use super::super::template::{InvalidTemplate, Template};
use super::StageKind;
use crate::delivery::engine::Failure;
use crate::document::At;

/// A batch is sent at this many items, whatever its settings.
pub(crate) const MAX_ITEMS: u32 = 10_000;

/// Collects records and sends them as one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Batch {
    /// Send the batch with this many items; at most 10,000, which is also the default limit.
    pub count: Option<NonZeroU32>,
    /// Send the batch this long after its first item.
    pub time: Option<Duration>,
    /// A field, or a text with `{field}` placeholders: records with different keys are collected separately. `None`: one batch per stage.
    pub key: Option<String>,
    /// How the items are combined.
    pub format: BatchFormat,
}

/// How the items of a batch are combined into its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum BatchFormat {
    /// A JSON list. An item that is not JSON becomes a string: its text, or base64 of its bytes. The default.
    #[default]
    JsonArray,
    /// One line of compact JSON per item.
    Ndjson,
    /// One after the other, with nothing between them.
    Concat,
    /// A JSON list of each item's bytes as base64.
    Base64Array,
    /// A JSON list of EdgeX events. A record that is none cannot be part of the batch.
    Events,
}

/// [`Batch`] after its check.
#[derive(Debug)]
pub(crate) struct Batching {
    pub(crate) count: u32,
    pub(crate) time: Option<Duration>,
    pub(crate) key: Option<Template>,
    pub(crate) format: BatchFormat,
}

/// The type and encoding of a sent batch.
#[derive(Debug)]
pub(crate) struct Release {
    pub(crate) payload: Bytes,
    /// `None`: that of its items.
    pub(crate) content_type: Option<&'static str>,
}

impl Batch {
    /// Sends the batch with `count` items.
    pub const fn by_count(count: NonZeroU32) -> Self {
        Self {
            count: Some(count),
            time: None,
            key: None,
            format: BatchFormat::JsonArray,
        }
    }

    /// Sends the batch `time` after its first item.
    pub const fn by_time(time: Duration) -> Self {
        Self {
            count: None,
            time: Some(time),
            key: None,
            format: BatchFormat::JsonArray,
        }
    }

    /// Checks the settings; `fault` gets the field and the fault.
    pub(crate) fn check(self, fault: impl Fn(&str, &dyn std::fmt::Display)) -> Option<StageKind> {
        let mut whole = true;
        let mut refuse = |field: &str, text: &dyn std::fmt::Display| {
            fault(field, text);
            whole = false;
        };
        if self.count.is_none() && self.time.is_none() {
            refuse("", &"needs `count`, `time` or both");
        }
        if self.count.is_some_and(|count| count.get() > MAX_ITEMS) {
            refuse("count", &format_args!("must be at most {MAX_ITEMS}"));
        }
        if self.time == Some(Duration::ZERO) {
            refuse("time", &"must not be zero");
        }
        let key = self.key.as_deref().map(Template::parse_key).transpose();
        let key = key.unwrap_or_else(|err: InvalidTemplate| {
            refuse("key", &err);
            None
        });
        whole.then(|| {
            StageKind::Batch(std::sync::Arc::new(Batching {
                count: self.count.map_or(MAX_ITEMS, NonZeroU32::get),
                time: self.time,
                key,
                format: self.format,
            }))
        })
    }
}

pub(super) fn read(node: At<'_>) -> Option<StageKind> {
    let place = node.clone();
    let fields = node.fields()?;
    let mut batch = Batch::default();
    let whole = [
        fields.set("count", &mut batch.count, |node| {
            let count = NonZeroU32::try_from(node.count()?).ok();
            Some(Some(count.unwrap_or(NonZeroU32::MAX))) // refused below
        }),
        fields.set("time", &mut batch.time, |node| node.span().map(Some)),
        fields.set("key", &mut batch.key, |node| node.text().map(Some)),
        fields.set("format", &mut batch.format, |node| {
            node.parsed(|text| match text {
                "json-array" => Ok(BatchFormat::JsonArray),
                "ndjson" => Ok(BatchFormat::Ndjson),
                "concat" => Ok(BatchFormat::Concat),
                "base64-array" => Ok(BatchFormat::Base64Array),
                "events" => Ok(BatchFormat::Events),
                other => Err(format!(
                    "`{other}` is not a format; known: json-array, ndjson, concat, base64-array, events"
                )),
            })
        }),
    ];
    fields.finish();
    if whole.contains(&false) {
        return None;
    }
    batch.check(|field, text| place.fault_at(field, text))
}

impl Batching {
    /// Combines the payloads of `items`, in order.
    pub(crate) fn release(&self, items: &[Bytes]) -> Release {
        let length: usize = items.iter().map(|item| item.len() + 1).sum();
        let mut payload = Vec::with_capacity(length + 2);
        let content_type = match self.format {
            BatchFormat::JsonArray | BatchFormat::Events => {
                push_list(&mut payload, items, push_json);
                Some(content_type::JSON)
            }
            BatchFormat::Base64Array => {
                push_list(&mut payload, items, push_base64);
                Some(content_type::JSON)
            }
            BatchFormat::Ndjson => {
                for item in items {
                    push_line(&mut payload, item);
                    payload.push(b'\n');
                }
                Some("application/x-ndjson")
            }
            BatchFormat::Concat => {
                items
                    .iter()
                    .for_each(|item| payload.extend_from_slice(item));
                None
            }
        };
        Release {
            payload: payload.into(),
            content_type,
        }
    }

    /// Why `record` cannot be part of a batch: compressed bytes cannot be part of a document, and only gzip data can
    /// be concatenated.
    pub(crate) fn takes(&self, record: &Record) -> Result<(), Box<Failure>> {
        if self.format == BatchFormat::Events && record.form() != Form::Event {
            let text = "type received is not an Event: the batch takes events only";
            return Err(Box::new(Failure::permanent("stage_error", text)));
        }
        let encoding = record.content_encoding();
        let why = match (self.format, encoding) {
            (_, "") | (BatchFormat::Concat, "gzip") => return Ok(()),
            (BatchFormat::Concat, _) => {
                "cannot be concatenated; put the stage that compresses after `batch`, or use gzip"
            }
            _ => "cannot be part of a document; put the stage that compresses after `batch`",
        };
        let text = format!("records compressed with {encoding} {why}");
        Err(Box::new(Failure::permanent("stage_error", text)))
    }

    /// The key under which `record` is collected.
    pub(crate) fn key(
        &self,
        record: &mut Record,
    ) -> Result<String, super::super::template::Unfilled> {
        match &self.key {
            Some(key) => key.fill(record),
            None => Ok("all".to_owned()),
        }
    }
}

fn push_list(into: &mut Vec<u8>, items: &[Bytes], push: fn(&mut Vec<u8>, &[u8])) {
    into.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            into.push(b',');
        }
        push(into, item);
    }
    into.push(b']');
}

fn push_base64(into: &mut Vec<u8>, item: &[u8]) {
    into.push(b'"');
    into.extend_from_slice(STANDARD.encode(item).as_bytes());
    into.push(b'"');
}

/// The item as it is if it is JSON, otherwise as a JSON string.
fn push_json(into: &mut Vec<u8>, item: &[u8]) {
    if serde_json::from_slice::<&RawValue>(item).is_ok() {
        into.extend_from_slice(item.trim_ascii());
        return;
    }
    let string = match std::str::from_utf8(item) {
        Ok(text) => serde_json::to_vec(text),
        Err(_) => serde_json::to_vec(&STANDARD.encode(item)),
    };
    into.extend_from_slice(&string.unwrap_or_default()); // writing a string to memory cannot fail
}

/// Like [`push_json`], but without the line breaks that JSON may have between its parts.
fn push_line(into: &mut Vec<u8>, item: &[u8]) {
    let start = into.len();
    push_json(into, item);
    let has_breaks = into
        .iter()
        .skip(start)
        .any(|byte| matches!(byte, b'\n' | b'\r'));
    if has_breaks && let Ok(document) = serde_json::from_slice::<serde_json::Value>(item) {
        into.truncate(start);
        into.extend_from_slice(document.to_string().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::faults;
    use super::*;

    fn released(format: BatchFormat, items: &[&'static [u8]]) -> String {
        let batch = Batch {
            format,
            ..Batch::by_time(Duration::from_secs(1))
        };
        let Some(StageKind::Batch(batching)) = batch.check(|_, _| ()) else {
            panic!("good settings");
        };
        let items: Vec<Bytes> = items.iter().map(|item| Bytes::from_static(item)).collect();
        String::from_utf8(batching.release(&items).payload.to_vec()).unwrap()
    }

    #[test]
    fn items_stand_in_the_payload_in_their_order() {
        let items: [&[u8]; 4] = [b"{\"a\":\n 1}", b"text", b"\xff", b"2 "];
        assert_eq!(
            released(BatchFormat::JsonArray, &items),
            "[{\"a\":\n 1},\"text\",\"/w==\",2]"
        );
        assert_eq!(
            released(BatchFormat::Ndjson, &items),
            "{\"a\":1}\n\"text\"\n\"/w==\"\n2\n"
        );
    }

    #[test]
    fn items_of_any_bytes_stand_in_a_list_as_base64() {
        assert_eq!(
            released(BatchFormat::Base64Array, &[b"\xff\x00", b"a"]),
            r#"["/wA=","YQ=="]"#
        );
    }

    #[test]
    fn pl_13_concatenated_items_have_nothing_between_them() {
        let items: [&[u8]; 3] = [b"String one ", b"String two ", b"String three"];
        assert_eq!(
            released(BatchFormat::Concat, &items),
            "String one String two String three"
        );
    }

    #[test]
    fn pl_18_a_batch_without_or_with_bad_thresholds_is_a_fault() {
        for (batch, path) in [
            (json!({"key": "a"}), "stages[0].batch: needs `count`"),
            (
                json!({"count": 0}),
                "stages[0].batch.count: must be at least 1",
            ),
            (
                json!({"count": 10_001}),
                "stages[0].batch.count: must be at most 10000",
            ),
            (
                json!({"time": "junk"}),
                "stages[0].batch.time: invalid duration `junk`",
            ),
            (
                json!({"time": "0s"}),
                "stages[0].batch.time: must not be zero",
            ),
            (json!({"count": 1, "key": "{a"}), "stages[0].batch.key: "),
            (
                json!({"count": 1, "format": "csv"}),
                "stages[0].batch.format: `csv`",
            ),
        ] {
            let faults = faults(&json!({"batch": batch}));
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].starts_with(path), "{faults:?}");
        }
    }
}
