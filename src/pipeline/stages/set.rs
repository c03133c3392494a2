//! `set: {field: value}`: sets fields of a JSON document. Paths have dots: `tags.site`.

use serde_json::Value;

use super::super::path::FieldPath;
use super::super::record::Record;
use super::super::stage::{Answer, Stage, refuse};
use super::{Builtin, StageKind};
use crate::document::At;

#[derive(Debug)]
struct Set(Vec<(FieldPath, Value)>);

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
    whole.then(|| StageKind::pure(Set(fields)))
}

impl Builtin for Set {}

impl Stage for Set {
    fn apply(&self, record: &mut Record) -> Answer {
        let checked = match record.document() {
            Ok(document) => self
                .0
                .iter()
                .try_for_each(|(path, _)| path.can_set(document)),
            Err(err) => return refuse(err),
        };
        if let Err(err) = checked {
            return refuse(err);
        }
        let Ok(mut document) = record.take_document() else {
            return Answer::Continue; // read above
        };
        for (path, value) in &self.0 {
            path.set(&mut document, value.clone()).unwrap_or_default(); // checked above
        }
        record.set_document(document);
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
