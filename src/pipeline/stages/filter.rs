//! `filter: {rule: <JsonLogic>}`: passes on the records for which the rule is true.

use serde_json::Value;

use super::super::record::Record;
use super::super::rule::Rule;
use super::super::stage::{Answer, Stage, refuse, refuse_rule};
use super::{Builtin, StageKind};
use crate::document::At;

#[derive(Debug)]
struct Filter(Rule);

pub(super) fn read(at: At<'_>) -> Option<StageKind> {
    let fields = at.fields()?;
    let rule = fields
        .required("rule")
        .and_then(|at| Rule::read_condition(&at));
    fields.finish();
    Some(StageKind::pure(Filter(rule?)))
}

/// The stage that passes on the records for which `rule` is true.
#[cfg(feature = "edgex")]
pub(in crate::pipeline) fn by_rule(rule: Rule) -> StageKind {
    StageKind::pure(Filter(rule))
}

impl Builtin for Filter {}

impl Stage for Filter {
    fn apply(&self, record: &mut Record) -> Answer {
        let document = match record.document() {
            Ok(document) => document,
            Err(err) => return refuse(err),
        };
        match self.0.apply(document) {
            Ok(Value::Bool(true)) => Answer::Continue,
            Ok(Value::Bool(false) | Value::Null) => Answer::Stop,
            Ok(_) => refuse("the result of the rule is neither true nor false"),
            Err(err) => refuse_rule(err),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{apply, faults};
    use super::*;

    #[test]
    fn records_go_on_when_the_rule_is_true() {
        let hot = json!({"filter": {"rule": {">": [{"var": "celsius"}, 30]}}});
        let mut record = Record::new(r#"{ "celsius": 31 }"#);
        assert_eq!(apply(&hot, &mut record), Answer::Continue);
        assert_eq!(record.payload(), r#"{ "celsius": 31 }"#, "not rewritten");
        assert_eq!(
            apply(&hot, &mut Record::new(r#"{"celsius":30}"#)),
            Answer::Stop
        );
        let null = json!({"filter": {"rule": {"var": "nope"}}});
        assert_eq!(apply(&null, &mut Record::new("{}")), Answer::Stop);
    }

    #[test]
    fn neither_true_nor_false_and_no_json_fail() {
        let rule = json!({"filter": {"rule": {"var": "n"}}});
        for payload in [r#"{"n":1}"#, "no json"] {
            let mut record = Record::new(payload);
            assert!(
                matches!(apply(&rule, &mut record), Answer::Fail(_)),
                "{payload}"
            );
            assert_eq!(record.payload(), payload);
        }
    }

    #[test]
    fn a_bad_rule_is_a_fault_with_its_place() {
        assert_eq!(
            faults(&json!({"filter": {}})),
            ["stages[0].filter.rule: is required and missing"]
        );
        let faults = faults(&json!({"filter": {"rule": {"nope": 1}, "x": 1}}));
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("stages[0].filter.rule: unknown operator `nope`"));
        assert!(faults[1].starts_with("stages[0].filter.x: key `x` is unknown"));
    }
}
