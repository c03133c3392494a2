//! `JSONLogic`: lets the data through when a rule is true.

use serde_json::Value as Json;

use super::super::rule::Rule;
use super::super::stages::{StageKind, filter};
use super::parameters::Parameters;
use crate::document::{At, Location, Node, Value};
use crate::json_words;

pub(super) fn read(parameters: Parameters<'_>) -> Option<StageKind> {
    let rule = parameters.filled("Rule").and_then(|text| {
        let rule: Result<Json, _> = serde_json::from_str(&text);
        let rule = rule.map_err(|err| json_words::what_of("the rule", &err));
        parameters.check("Rule", rule)
    });
    let rule = rule.and_then(|rule| {
        let place = parameters.given("Rule")?;
        let node = located(Node::from_json(&rule), &place.node.location);
        let at = At::new(&node, place.path(), place.findings());
        Rule::read_condition(&at)
    });
    parameters.finish(rule.map(filter::by_rule))
}

/// The tree with the location of the text that contains it.
fn located(node: Node, location: &Location) -> Node {
    let value = match node.value {
        Value::List(items) => {
            let items = items.into_iter().map(|item| located(item, location));
            Value::List(items.collect())
        }
        Value::Map(entries) => {
            let entries = entries
                .into_iter()
                .map(|(key, value)| (key, located(value, location)));
            Value::Map(entries.collect())
        }
        simple => simple,
    };
    Node {
        location: location.clone(),
        value,
        ..node
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::extras::Form;
    use super::super::super::record::Record;
    use super::super::super::stage::Answer;
    use super::super::event::tests::event;
    use super::super::tests::{applied, faults};

    #[test]
    fn data_passes_unchanged_when_the_rule_is_true_and_stops_when_it_is_not() {
        let stage = json!({"JSONLogic": {"Rule": r#"{"==": [{"var": "deviceName"}, "D"]}"#}});
        let mut record = Record::new("");
        record.set_object(Form::Event, event());
        assert_eq!(applied(&stage, &mut record), Answer::Continue);
        assert_eq!(record.form(), Form::Event);
        let mut other = Record::new(r#"{"deviceName": "E"}"#);
        assert_eq!(applied(&stage, &mut other), Answer::Stop);
        let mut text = Record::new("text");
        assert!(matches!(applied(&stage, &mut text), Answer::Fail(_)));
    }

    #[test]
    fn a_rule_that_is_not_json_or_has_an_unknown_operator_is_a_fault() {
        for (rule, fault) in [
            (
                "{",
                "stages[0].JSONLogic.Rule: the rule ends before the JSON is complete",
            ),
            (
                r#"{"nope": 1}"#,
                "stages[0].JSONLogic.Rule: unknown operator `nope`",
            ),
            ("", "stages[0].JSONLogic.Rule: must not be empty"),
        ] {
            let faults = faults(&json!({"JSONLogic": {"Rule": rule}}));
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].starts_with(fault), "{faults:?}");
        }
    }
}
