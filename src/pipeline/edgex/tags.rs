//! `AddTags`, and the lists `key:value,key:value` of tags.

use serde_json::{Map, Value};

use super::super::extras::Form;
use super::super::record::Record;
use super::super::stage::{Answer, Stage, refuse};
use super::super::stages::{Builtin, StageKind};
use super::input;
use super::parameters::{self, Parameters};

const NAME: &str = "AddTags";

/// The tags in a list `key:value,key:value`, each key once, with its last value. Values have no colons; more colons than the one between count for nothing, as
/// in EdgeX.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let entry = |entry: &str| {
        let parts = entry.split(':').map(str::trim);
        let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
        match parts.as_slice() {
            [key, value] => Ok(((*key).to_owned(), (*value).to_owned())),
            _ => Err(format!("`{entry}` is not a tag of the form `key:value`")),
        }
    };
    let mut tags: Vec<(String, String)> = Vec::new();
    for (key, value) in parameters::list(text)
        .map(entry)
        .collect::<Result<Vec<_>, String>>()?
    {
        tags.retain(|(other, _)| *other != key);
        tags.push((key, value));
    }
    Ok(tags)
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
    fn a_tag_counts_once_with_its_last_value_and_further_colons_count_for_nothing() {
        let tags = parse(" a: 1 ,b:2:,a::3").unwrap();
        let of = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(tags, [of("b", "2"), of("a", "3")]);
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
