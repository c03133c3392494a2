//! `edgex-target: {type: event | metric | raw}`: reads the payload as what the functions behind it get.

use serde_json::{Number, Value};

use super::super::extras::Form;
use super::super::record::{NotJson, Record, content_type};
use super::super::stage::{Answer, Stage};
use super::super::stages::{Builtin, StageKind};
use super::{cbor, event};
use crate::delivery::engine::Failure;
use crate::document::At;

/// What the functions of a pipeline get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pipeline) enum Target {
    /// A checked event.
    Event,
    /// A checked metric.
    Metric,
    /// The bytes.
    Raw,
}

impl Target {
    /// The target type with this name, in any case; blank means event.
    pub(in crate::pipeline) fn named(name: &str) -> Result<Self, String> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "event" => Ok(Self::Event),
            "metric" => Ok(Self::Metric),
            "raw" => Ok(Self::Raw),
            _ => Err(format!(
                "`{name}` is not a supported target type; known: event, metric, raw"
            )),
        }
    }
}

pub(in crate::pipeline) fn read(at: At<'_>) -> Option<StageKind> {
    let fields = at.fields()?;
    let target = fields
        .required("type")
        .and_then(|at| at.parsed(Target::named));
    fields.finish();
    Some(StageKind::pure(Decode {
        target: target?,
        pipeline: None,
    }))
}

/// The stage that decodes.
#[derive(Debug)]
pub(in crate::pipeline) struct Decode {
    pub(in crate::pipeline) target: Target,
    /// The id of the pipeline, for the value `pipelineid`.
    pub(in crate::pipeline) pipeline: Option<String>,
}

impl Builtin for Decode {}

impl Stage for Decode {
    fn apply(&self, record: &mut Record) -> Answer {
        let (form, document) = match self.target {
            Target::Raw => {
                record.extras_mut().input_type = record.content_type().to_owned();
                self.set_pipeline(record);
                return Answer::Continue;
            }
            Target::Event => (Form::Event, document(record).and_then(event_of)),
            Target::Metric => (
                Form::Metric,
                document(record).and_then(|document| metric_of(document, is_cbor(record))),
            ),
        };
        let document = match document {
            Ok(document) => document,
            Err(text) => return Answer::Fail(Failure::permanent("decode", text)),
        };
        let input_type = record.content_type().to_owned();
        if form == Form::Event {
            for (value, key) in [
                ("profilename", "profileName"),
                ("devicename", "deviceName"),
                ("sourcename", "sourceName"),
            ] {
                record.set_value(value, event::text(&document, key));
            }
        }
        record.set_object(form, document);
        record.extras_mut().input_type = input_type;
        self.set_pipeline(record);
        Answer::Continue
    }
}

impl Decode {
    fn set_pipeline(&self, record: &mut Record) {
        if let Some(pipeline) = &self.pipeline {
            record.set_value("pipelineid", pipeline.as_str());
        }
    }
}

/// The payload as a document: CBOR or JSON by its content type, and by its first byte if the type does not say.
fn document(record: &Record) -> Result<Value, String> {
    let payload = record.payload();
    if is_cbor(record) {
        return cbor::document(&payload).map_err(|err| format!("the payload is not CBOR: {err}"));
    }
    serde_json::from_slice(&payload).map_err(|err| NotJson::new(err, &payload).to_string())
}

fn is_cbor(record: &Record) -> bool {
    let essence = record.content_type().split(';').next().unwrap_or_default();
    match essence.trim().to_ascii_lowercase().as_str() {
        "application/cbor" => true,
        "" | content_type::BYTES => {
            let payload = record.payload();
            let first = payload.trim_ascii_start().first();
            // A CBOR mapping begins with a byte from 0xa0 on.
            first.is_some_and(|first| *first >= 0xa0)
        }
        _ => false,
    }
}

/// The event in a document: a request to add one, or an event itself.
fn event_of(document: Value) -> Result<Value, String> {
    let is_request = document.get("event").is_some();
    let checked = match is_request {
        true => event::of_request(document),
        false => event::check(document),
    };
    checked.map_err(|err| format!("the payload is not an event: {err}"))
}

/// The metric in a document. Numbers of JSON are floats, as EdgeX reads them; those of CBOR keep their type.
fn metric_of(mut metric: Value, keeps_types: bool) -> Result<Value, String> {
    let wrong = |what: &str| Err(format!("the payload is not a metric: {what}"));
    if event::text(&metric, "apiVersion").is_empty() {
        return wrong("`apiVersion` is required: a text");
    }
    if event::text(&metric, "name").trim().is_empty() {
        return wrong("`name` is required: a text");
    }
    if metric.get("timestamp").and_then(Value::as_i64).is_none() {
        return wrong("`timestamp` is required: nanoseconds");
    }
    for (key, least) in [("fields", 1), ("tags", 0)] {
        let items = match metric.get_mut(key) {
            None | Some(Value::Null) => &mut Vec::new(),
            Some(Value::Array(items)) => items,
            Some(_) => return wrong(&format!("`{key}` is not a list")),
        };
        if items.len() < least {
            return wrong("`fields` must have at least one field");
        }
        for item in items {
            if event::text(item, "name").trim().is_empty() {
                return wrong(&format!("an entry of `{key}` has no name"));
            }
            match item.get_mut("value") {
                None | Some(Value::Null | Value::Array(_) | Value::Object(_)) => {
                    return wrong(&format!("an entry of `{key}` has no value"));
                }
                Some(Value::Number(number)) if !keeps_types => {
                    let float = number.as_f64().and_then(Number::from_f64);
                    *number = float.unwrap_or_else(|| number.clone());
                }
                Some(_) => {}
            }
        }
    }
    Ok(metric)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::event::tests::event;
    use super::*;

    fn decoded(target: Target, payload: &Value, content_type: &'static str) -> (Answer, Record) {
        let mut bytes = Vec::new();
        match content_type {
            "application/cbor" => ciborium::into_writer(payload, &mut bytes).unwrap(),
            _ => bytes = payload.to_string().into_bytes(),
        }
        let mut record = Record::new(bytes).with_content_type(content_type);
        let decode = Decode {
            target,
            pipeline: Some("p".to_owned()),
        };
        (decode.apply(&mut record), record)
    }

    #[test]
    fn pl_01_requests_and_events_in_json_and_cbor_are_events_with_their_values() {
        let request = json!({"apiVersion": "v3", "requestId": "", "event": event()});
        for payload in [request, event()] {
            for content_type in [
                "application/json",
                "application/cbor",
                "application/json; charset=utf-8",
            ] {
                let (answer, record) = decoded(Target::Event, &payload, content_type);
                assert_eq!(answer, Answer::Continue);
                assert_eq!(record.form(), Form::Event);
                assert_eq!(record.value("ProfileName"), Some("P"));
                assert_eq!(record.value("devicename"), Some("D"));
                assert_eq!(record.value("sourcename"), Some("S"));
                assert_eq!(record.value("pipelineid"), Some("p"));
                assert_eq!(record.input_content_type(), content_type);
                assert_eq!(record.content_type(), "application/json");
                let document: Value = serde_json::from_slice(&record.payload()).unwrap();
                assert_eq!(document, event());
            }
        }
    }

    #[test]
    fn pl_05_anything_but_an_event_fails_permanently_and_stays_as_it_was() {
        for payload in [json!({}), json!("text"), json!({"event": {}}), json!([1])] {
            let (answer, record) = decoded(Target::Event, &payload, "application/json");
            let Answer::Fail(failure) = answer else {
                panic!("{payload}");
            };
            assert_eq!(failure.code, "decode");
            assert_eq!(record.payload(), payload.to_string());
        }
    }

    #[test]
    fn numbers_of_a_metric_are_floats_in_json_and_keep_their_type_in_cbor() {
        let metric = json!({"apiVersion": "v3", "name": "m", "fields": [{"name": "f", "value": 12}], "timestamp": 5});
        let (_, mut json) = decoded(Target::Metric, &metric, "application/json");
        assert!(json.document().unwrap()["fields"][0]["value"].is_f64());
        let (_, mut cbor) = decoded(Target::Metric, &metric, "application/cbor");
        assert!(cbor.document().unwrap()["fields"][0]["value"].is_u64());
    }

    #[test]
    fn pl_18_target_types_have_no_case() {
        for (name, target) in [
            ("raW", Target::Raw),
            ("metric", Target::Metric),
            ("event", Target::Event),
            ("", Target::Event),
        ] {
            assert_eq!(Target::named(name), Ok(target));
        }
        assert!(Target::named("meric").is_err());
    }
}
