//! `convert: {to: json | text | base64}`: converts the payload.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::super::record::{Record, content_type};
use super::super::stage::{Answer, Stage, refuse};
use super::{Builtin, StageKind};
use crate::document::At;

/// The form of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Convert {
    /// Compact JSON. Fails if the payload is not JSON.
    Json,
    /// Text: a JSON string without its quotes and escapes, everything else unchanged. Fails if the payload is not UTF-8.
    Text,
    /// The bytes as base64, with padding.
    Base64,
}

pub(super) fn read(node: At<'_>) -> Option<StageKind> {
    let fields = node.fields()?;
    let to = fields.required("to").and_then(|node| {
        node.parsed(|text| match text {
            "json" => Ok(Convert::Json),
            "text" => Ok(Convert::Text),
            "base64" => Ok(Convert::Base64),
            other => Err(format!(
                "`{other}` is not a form; known: json, text, base64"
            )),
        })
    });
    fields.finish();
    Some(StageKind::pure(to?))
}

impl Builtin for Convert {}

impl Stage for Convert {
    fn apply(&self, record: &mut Record) -> Answer {
        match self {
            Self::Json => match record.take_document() {
                Ok(document) => record.set_document(document),
                Err(err) => return refuse(err),
            },
            Self::Text => {
                let payload = match record.document() {
                    Ok(Value::String(text)) => text.clone().into(),
                    _ => record.payload(),
                };
                if std::str::from_utf8(&payload).is_err() {
                    return refuse("the payload is not UTF-8 text");
                }
                record.set_payload(payload, content_type::TEXT);
            }
            Self::Base64 => {
                let text = STANDARD.encode(record.payload());
                record.set_payload(text, content_type::TEXT);
            }
        }
        Answer::Continue
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{apply, faults};
    use super::*;

    fn converted(to: &str, payload: &'static [u8]) -> Option<(String, String)> {
        let mut record = Record::new(payload);
        let answer = apply(&json!({"convert": {"to": to}}), &mut record);
        let text = String::from_utf8_lossy(&record.payload()).into_owned();
        (answer == Answer::Continue).then(|| (text, record.content_type().to_owned()))
    }

    #[test]
    fn payloads_take_the_form_asked_for() {
        let json = |text: &str| Some((text.to_owned(), "application/json".to_owned()));
        let text = |text: &str| Some((text.to_owned(), "text/plain; charset=utf-8".to_owned()));
        assert_eq!(
            converted("json", b"{ \"a\" : [1, 2] }"),
            json(r#"{"a":[1,2]}"#)
        );
        assert_eq!(converted("json", b"plain"), None);
        assert_eq!(converted("text", br#""a\nb""#), text("a\nb"));
        assert_eq!(converted("text", b"[1]"), text("[1]"));
        assert_eq!(converted("text", b"\xff"), None);
        assert_eq!(converted("base64", b"\xff\x00"), text("/wA="));
    }

    #[test]
    fn an_unknown_form_is_a_fault() {
        let faults = faults(&json!({"convert": {"to": "yaml"}}));
        assert_eq!(
            faults,
            ["stages[0].convert.to: `yaml` is not a form; known: json, text, base64"]
        );
    }
}
