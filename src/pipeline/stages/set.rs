//! `set: {field: value}`: sets fields of a JSON document. Paths have dots: `tags.site`.

use serde_json::{Map, Value};

use super::super::path::FieldPath;
use super::super::record::Record;
use super::super::stage::{Answer, Stage, refuse};
use super::{Builtin, StageKind};
use crate::document::At;

#[derive(Debug)]
struct Set {
    fields: Vec<(FieldPath, Value)>,
    /// The fields as JSON, `"a":1,"b":2`, if all of them are fields of the document itself.
    text: Option<String>,
}

impl Set {
    fn new(fields: Vec<(FieldPath, Value)>) -> Self {
        let member = |(path, value): &(FieldPath, Value)| {
            let name = Value::from(path.name()?);
            Some(format!("{name}:{value}"))
        };
        let members: Option<Vec<String>> = fields.iter().map(member).collect();
        let text = members.map(|members| members.join(","));
        Self { fields, text }
    }

    /// The fields as JSON, if the document is an object that has none of them.
    fn added_to(&self, document: &Value) -> Option<&str> {
        let (text, map) = (self.text.as_deref()?, document.as_object()?);
        let is_there =
            |(path, _): &(FieldPath, Value)| path.name().is_some_and(|name| map.contains_key(name));
        (!self.fields.iter().any(is_there)).then_some(text)
    }
}

pub(super) fn read(node: At<'_>) -> Option<StageKind> {
    let map = node.entries("a mapping of fields and their values")?;
    if map.is_empty() {
        return node.fault("names no field to set");
    }
    let mut fields: Vec<(FieldPath, Value)> = Vec::new();
    let mut whole = true;
    for (name, place) in map {
        match name.parse::<FieldPath>() {
            Err(err) => {
                place.fault::<()>(err);
                whole = false;
            }
            Ok(path) if fields.iter().any(|(other, _)| other.overlaps(&path)) => {
                place.fault::<()>("lies within another field that is set here");
                whole = false;
            }
            Ok(path) => match place.json() {
                Some(value) => fields.push((path, value)),
                None => whole = false,
            },
        }
    }
    whole.then(|| StageKind::pure(Set::new(fields)))
}

impl Builtin for Set {}

impl Stage for Set {
    fn apply(&self, record: &mut Record) -> Answer {
        let document = match record.document() {
            Ok(document) => document,
            Err(err) => return refuse(err),
        };
        let mut fields = self.fields.iter();
        if let Err(err) = fields.try_for_each(|(path, _)| path.can_set(document)) {
            return refuse(err);
        }
        let added = self.added_to(document);
        let Ok(mut document) = record.take_document() else {
            return Answer::Continue; // read above
        };
        let is_empty = document.as_object().is_some_and(Map::is_empty);
        for (path, value) in &self.fields {
            path.set(&mut document, value.clone()).unwrap_or_default(); // checked above
        }
        match added {
            Some(members) => record.append_members(members, is_empty, document),
            None => record.set_document(document),
        }
        Answer::Continue
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{apply, faults};
    use super::*;

    #[test]
    fn fields_are_added_and_overwritten() {
        let set = json!({"set": {"site": "north", "tags.line": 4, "old": null}});
        let mut record = Record::new(r#"{"old":1,"keep":true}"#);
        assert_eq!(apply(&set, &mut record), Answer::Continue);
        assert_eq!(
            *record.document().unwrap(),
            json!({"old": null, "keep": true, "site": "north", "tags": {"line": 4}})
        );
        assert_eq!(record.content_type(), "application/json");
    }

    /// Printing a document of 500 bytes cost more than reading it.
    #[test]
    fn new_fields_are_appended_and_the_rest_stays_as_it_came() {
        let set = json!({"set": {"site": "north", "line \"4\"": [1]}});
        for (before, after) in [
            (
                r#" { "b": 1.10, "a": 9007199254740993 } "#,
                r#" { "b": 1.10, "a": 9007199254740993 ,"line \"4\"":[1],"site":"north"}"#,
            ),
            ("{ }\n", r#"{ "line \"4\"":[1],"site":"north"}"#),
        ] {
            let mut record = Record::new(before);
            assert_eq!(apply(&set, &mut record), Answer::Continue);
            assert_eq!(record.payload(), after);
            let read: Value = serde_json::from_str(after).unwrap();
            assert_eq!(*record.document().unwrap(), read);
        }
        let mut record = Record::new(r#"{ "site": null, "b": 1.10 }"#);
        assert_eq!(apply(&set, &mut record), Answer::Continue);
        let written = r#"{"b":1.1,"line \"4\"":[1],"site":"north"}"#;
        assert_eq!(
            record.payload(),
            written,
            "a field that is there is overwritten"
        );
    }

    #[test]
    fn a_document_without_room_for_the_field_is_refused_and_unchanged() {
        let set = json!({"set": {"a": 1, "b.c": 2}});
        let mut record = Record::new(r#"{"b":"text"}"#);
        assert!(matches!(apply(&set, &mut record), Answer::Fail(_)));
        assert_eq!(record.payload(), r#"{"b":"text"}"#);
    }

    #[test]
    fn overlapping_and_malformed_fields_are_faults() {
        let faults = faults(&json!({"set": {"a": 1, "a.b": 2, "x..y": 3}}));
        assert_eq!(faults.len(), 2, "{faults:?}");
    }
}
