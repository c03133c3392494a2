//! `remove: [field, …]`: removes fields from a JSON document.

use super::super::path::FieldPath;
use super::super::record::Record;
use super::super::stage::{Answer, Stage, refuse};
use super::{Builtin, StageKind};
use crate::document::At;

#[derive(Debug)]
struct Remove(Vec<FieldPath>);

pub(super) fn read(node: At<'_>) -> Option<StageKind> {
    let items = node.items()?;
    let paths: Vec<_> = items
        .iter()
        .map(|item| item.parsed(str::parse::<FieldPath>))
        .collect();
    let paths: Option<Vec<_>> = paths.into_iter().collect();
    Some(StageKind::pure(Remove(paths?)))
}

impl Builtin for Remove {}

impl Stage for Remove {
    fn apply(&self, record: &mut Record) -> Answer {
        match record.take_document() {
            Ok(mut document) => {
                self.0.iter().for_each(|path| path.remove(&mut document));
                record.set_document(document);
                Answer::Continue
            }
            Err(err) => refuse(err),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{apply, faults};
    use super::*;

    #[test]
    fn named_fields_go_and_the_rest_stays() {
        let remove = json!({"remove": ["secret", "device.serial", "nope"]});
        let mut record = Record::new(r#"{"secret":1,"device":{"serial":2,"name":"d"}}"#);
        assert_eq!(apply(&remove, &mut record), Answer::Continue);
        assert_eq!(record.payload(), r#"{"device":{"name":"d"}}"#);
    }

    #[test]
    fn every_malformed_field_is_a_fault() {
        let faults = faults(&json!({"remove": ["a", "", [1]]}));
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("stages[0].remove[1]: "), "{faults:?}");
    }
}
