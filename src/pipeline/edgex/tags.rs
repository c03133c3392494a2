//! `AddTags`, and the lists `key:value,key:value` of tags.

use serde_json::{Map, Value};

use super::super::extras::Form;
use super::super::record::Record;
use super::super::stage::{Answer, Stage, refuse};
use super::super::stages::{Builtin, StageKind};
use super::input;
use super::parameters::{self, Parameters};

const NAME: &str = "AddTags";

/// The tags in a list `key:value,key:value`; values have no colons.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let entry = |entry: &str| {
        let parts: Vec<&str> = entry.split(':').map(str::trim).collect();
        match parts.as_slice() {
            [key, value] if !key.is_empty() && !value.is_empty() => {
                Ok(((*key).to_owned(), (*value).to_owned()))
            }
            _ => Err(format!("`{entry}` is not a tag of the form `key:value`")),
        }
    };
    parameters::list(text).map(entry).collect()
}

#[derive(Debug)]
struct AddTags(Vec<(String, String)>);

pub(super) fn read(parameters: Parameters<'_>) -> Option<StageKind> {
    let tags = parameters
        .required("Tags")
        .and_then(|text| parameters.check("Tags", parse(&text)));
    parameters.finish(tags.map(|tags| StageKind::pure(AddTags(tags))))
}

impl Builtin for AddTags {}

impl Stage for AddTags {
    fn apply(&self, record: &mut Record) -> Answer {
        if let Err(text) = input::event(NAME, "No Data Received", record) {
            return refuse(text);
        }
        if self.0.is_empty() {
            return Answer::Continue;
        }
        let Ok(mut event) = record.take_document() else {
            return refuse("the payload is not JSON"); // read above
        };
        if let Some(event) = event.as_object_mut() {
            let tags = event.entry("tags").or_insert(Value::Null);
            if !tags.is_object() {
                *tags = Value::Object(Map::new());
            }
            if let Some(tags) = tags.as_object_mut() {
                for (key, value) in &self.0 {
                    tags.insert(key.clone(), value.as_str().into());
                }
            }
        }
        record.set_object(Form::Event, event);
        Answer::Continue
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::event::tests::event;
    use super::super::tests::{applied, faults};
    use super::*;

    fn tagged(list: &str, tags: &Value) -> Value {
        let mut given = event();
        given["tags"] = tags.clone();
        let mut record = Record::new("");
        record.set_object(Form::Event, given);
        let answer = applied(&json!({"AddTags": {"Tags": list}}), &mut record);
        assert_eq!(answer, Answer::Continue);
        assert_eq!(record.form(), Form::Event);
        record.document().unwrap()["tags"].clone()
    }

    #[test]
    fn pl_14_tags_are_added_and_overwritten() {
        let list = "GatewayId:HoustonStore000123,Latitude:29.630771";
        let two = json!({"GatewayId": "HoustonStore000123", "Latitude": "29.630771"});
        assert_eq!(tagged(list, &Value::Null), two);
        let four = tagged(list, &json!({"Tag1": 1, "Tag2": 2, "Latitude": "0"}));
        assert_eq!(four.as_object().unwrap().len(), 4);
        assert_eq!(four["Latitude"], "29.630771");
        assert_eq!(tagged("", &json!({"Tag1": 1})), json!({"Tag1": 1}));
        let mut text = Record::new("text");
        let answer = applied(&json!({"AddTags": {"Tags": list}}), &mut text);
        let Answer::Fail(failure) = answer else {
            panic!("a text is not an event");
        };
        assert_eq!(failure.message, "AddTags: type received is not an Event");
    }

    #[test]
    fn pl_18_malformed_tags_are_faults() {
        for list in ["GatewayId H1", "GatewayId:", ":29.6", ":,:,:", "a:b:c"] {
            let faults = faults(&json!({"AddTags": {"Tags": list}}));
            assert_eq!(faults.len(), 1, "{list}: {faults:?}");
            assert!(
                faults[0].contains("is not a tag of the form `key:value`"),
                "{faults:?}"
            );
        }
        assert_eq!(faults(&json!({"AddTags": {}})).len(), 1);
    }
}
