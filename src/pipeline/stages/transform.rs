//! `transform: {field: <JsonLogic>, …}`: makes a new document, each field computed from the old one.

use serde_json::{Map, Value};

use super::super::path::FieldPath;
use super::super::record::Record;
use super::super::rule::Rule;
use super::super::size::Budget;
use super::super::stage::{Answer, Stage, refuse, refuse_rule};
use super::{Builtin, StageKind};
use crate::document::{At, Complaint};

#[derive(Debug)]
struct Transform(Vec<(FieldPath, Rule)>);

pub(super) fn read(at: At<'_>) -> Option<StageKind> {
    let map = at.entries("a mapping of fields and the rules that compute them")?;
    if map.is_empty() {
        return at.fault("names no field");
    }
    let mut fields: Vec<Option<(FieldPath, Rule)>> = Vec::new();
    for (name, place) in map {
        let rule = Rule::read(&place);
        let path = match name.parse::<FieldPath>() {
            Ok(path) => Some(path),
            Err(err) => place.fault(err),
        };
        let overlaps = |path: &FieldPath| {
            fields
                .iter()
                .flatten()
                .any(|(other, _)| other.overlaps(path))
        };
        if path.as_ref().is_some_and(overlaps) {
            place.fault::<()>("lies within another field of this document");
        }
        fields.push(path.zip(rule));
    }
    let fields: Option<Vec<_>> = fields.into_iter().collect();
    let fields = fields?;
    if fields.iter().all(|(_, rule)| rule.is_constant()) {
        at.warn(Complaint::with_remedy(
            "replaces every record by the same document, since no field is computed from the record",
            "to add fields, use `set`; to compute one, name a field of the record: `celsius: {\"var\": \"temp\"}`",
        ));
    }
    Some(StageKind::pure(Transform(fields)))
}

impl Builtin for Transform {}

impl Stage for Transform {
    fn apply(&self, record: &mut Record) -> Answer {
        let made = match record.document() {
            Ok(document) => self.make(document),
            Err(err) => return refuse(err),
        };
        match made {
            Ok(made) => {
                record.set_document(made);
                Answer::Continue
            }
            Err(failed) => *failed,
        }
    }
}

impl Transform {
    fn make(&self, document: &Value) -> Result<Value, Box<Answer>> {
        let (mut made, budget) = (Value::Object(Map::new()), Budget::default());
        for (path, rule) in &self.0 {
            let value = rule.apply_within(&budget, document).map_err(refuse_rule)?;
            path.set(&mut made, value).map_err(refuse)?;
        }
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{apply, faults};
    use super::*;

    #[test]
    fn the_new_document_holds_what_the_rules_give() {
        let transform = json!({"transform": {
            "device": {"var": "deviceName"},
            "celsius": {"/": [{"-": [{"var": "fahrenheit"}, 32]}, 1.8]},
            "place.site": "north",
            "missing": {"var": "nope"},
        }});
        let mut record = Record::new(r#"{"deviceName":"d1","fahrenheit":212,"noise":[1,2]}"#);
        assert_eq!(apply(&transform, &mut record), Answer::Continue);
        assert_eq!(
            *record.document().unwrap(),
            json!({"device": "d1", "celsius": 100, "place": {"site": "north"}, "missing": null})
        );
    }

    #[test]
    fn what_cannot_be_computed_fails_and_leaves_the_record() {
        let transform = json!({"transform": {"a": {"*": [{"var": "name"}, 2]}}});
        let mut record = Record::new(r#"{"name":"x"}"#);
        assert!(matches!(apply(&transform, &mut record), Answer::Fail(_)));
        assert_eq!(record.payload(), r#"{"name":"x"}"#);
    }

    #[test]
    fn faults_name_field_and_rule() {
        let faults = faults(&json!({"transform": {"a": {"nope": 1}, "b": {"+": [{"huh": 1}]}}}));
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[1].starts_with("stages[0].transform.b.+[0]: unknown operator"));
    }
}
