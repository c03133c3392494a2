//! `Transform` (an event to XML or JSON) and `ToLineProtocol` (a metric to the line protocol of InfluxDB).

use serde_json::Value;

use super::super::extras::Form;
use super::super::record::{Record, content_type};
use super::super::stage::{Answer, Stage, refuse};
use super::super::stages::{Builtin, StageKind};
use super::parameters::Parameters;
use super::{input, line, tags, xml};

#[derive(Debug, Clone, Copy)]
enum Transform {
    Xml,
    Json,
}

pub(super) fn read(parameters: Parameters<'_>) -> Option<StageKind> {
    let text = parameters.required("Type");
    let to = text.and_then(|text| {
        let to = match text.trim().to_ascii_lowercase().as_str() {
            "xml" => Ok(Transform::Xml),
            "json" => Ok(Transform::Json),
            _ => Err(format!("`{text}` is not a type; known: xml, json")),
        };
        parameters.check("Type", to)
    });
    parameters.finish(to.map(StageKind::pure))
}

pub(super) fn to_xml(parameters: Parameters<'_>) -> Option<StageKind> {
    parameters.finish(Some(StageKind::pure(Transform::Xml)))
}

pub(super) fn to_json(parameters: Parameters<'_>) -> Option<StageKind> {
    parameters.finish(Some(StageKind::pure(Transform::Json)))
}

impl Builtin for Transform {
    fn variant(&self) -> &'static str {
        match self {
            Self::Xml => "xml",
            Self::Json => "json",
        }
    }
}

impl Stage for Transform {
    fn apply(&self, record: &mut Record) -> Answer {
        let name = match self {
            Self::Xml => "TransformToXML",
            Self::Json => "TransformToJSON",
        };
        let texts = ["No Data Received", "unexpected type received"];
        let event = match input::object(name, Form::Event, texts, record) {
            Ok(event) => event,
            Err(text) => return refuse(text),
        };
        match self {
            Self::Xml => match xml::of_event(event) {
                Ok(text) => {
                    record.set_payload(text, "application/xml");
                    record.set_response_content_type("application/xml");
                }
                Err(err) => return refuse(format_args!("{name}: {err}")),
            },
            Self::Json => {
                let event = plain(event.clone());
                record.set_payload(event.to_string(), content_type::JSON);
                record.set_response_content_type(content_type::JSON);
            }
        }
        Answer::Continue
    }
}

/// The event as EdgeX writes it: no readings are null, and no tags are left away.
fn plain(mut event: Value) -> Value {
    if let Some(event) = event.as_object_mut() {
        event.entry("readings").or_insert(Value::Null);
        if tags_are_empty(event.get("tags")) {
            event.remove("tags");
        }
    }
    event
}

fn tags_are_empty(tags: Option<&Value>) -> bool {
    tags.and_then(Value::as_object)
        .is_none_or(|tags| tags.is_empty())
}

#[derive(Debug)]
struct ToLineProtocol(Vec<(String, String)>);

pub(super) fn to_line_protocol(parameters: Parameters<'_>) -> Option<StageKind> {
    let tags = parameters
        .required("Tags")
        .and_then(|text| parameters.check("Tags", tags::parse(&text)));
    parameters.finish(tags.map(|tags| StageKind::pure(ToLineProtocol(tags))))
}

impl Builtin for ToLineProtocol {}

impl Stage for ToLineProtocol {
    fn apply(&self, record: &mut Record) -> Answer {
        let texts = ["No Data Received", "type received is not an Metric"];
        let metric = match input::object("ToLineProtocol", Form::Metric, texts, record) {
            Ok(metric) => metric,
            Err(text) => return refuse(text),
        };
        match line::of_metric(metric, &self.0) {
            Ok(line) => {
                record.set_payload(line, "text/plain");
                record.set_response_content_type("text/plain");
                Answer::Continue
            }
            Err(err) => refuse(format_args!("ToLineProtocol: {err}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::event::tests::event;
    use super::super::tests::{applied, faults};
    use super::*;

    fn transformed(kind: &str) -> Record {
        let mut record = Record::new("");
        let mut given = event();
        given["tags"] = json!({});
        given["sourceName"] = json!("<S>");
        record.set_object(Form::Event, given);
        let stage = json!({"Transform": {"Type": kind}});
        assert_eq!(applied(&stage, &mut record), Answer::Continue);
        assert_eq!(record.form(), Form::Bytes);
        record
    }

    #[test]
    fn an_event_becomes_xml_or_json_with_the_type_of_its_response() {
        let mut json = transformed("JsOn");
        assert_eq!(json.response_content_type(), "application/json");
        let document = json.document().unwrap();
        assert_eq!(document["sourceName"], "<S>");
        assert_eq!(document.get("tags"), None);
        let xml = transformed("xMl");
        assert_eq!(xml.content_type(), "application/xml");
        assert_eq!(xml.response_content_type(), "application/xml");
        assert!(
            xml.payload()
                .starts_with(b"<Event><ApiVersion>v3</ApiVersion>")
        );
    }

    #[test]
    fn anything_but_an_event_is_refused() {
        for (payload, text) in [
            ("", "TransformToXML: No Data Received"),
            ("x", "TransformToXML: unexpected type received"),
        ] {
            let answer = applied(&json!({"TransformToXML": {}}), &mut Record::new(payload));
            let Answer::Fail(failure) = answer else {
                panic!("{payload}");
            };
            assert_eq!(failure.message, text);
        }
        let mut request = Record::new("");
        request.set_object(Form::AddEventRequest, json!({"event": event()}));
        assert!(matches!(
            applied(&json!({"Transform": {"Type": "xml"}}), &mut request),
            Answer::Fail(_)
        ));
    }

    #[test]
    fn pl_18_an_unknown_type_and_malformed_tags_are_faults() {
        assert_eq!(
            faults(&json!({"Transform": {"Type": "baDType"}})),
            ["stages[0].Transform.Type: `baDType` is not a type; known: xml, json"]
        );
        assert_eq!(faults(&json!({"ToLineProtocol": {}})).len(), 1);
        for list in ["tag1 = value1", ":value1"] {
            assert_eq!(faults(&json!({"ToLineProtocol": {"Tags": list}})).len(), 1);
        }
    }
}
