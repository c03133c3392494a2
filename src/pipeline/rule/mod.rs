//! JsonLogic: rules as JSON, parsed once and evaluated for many documents.
//!
//! `parse` turns a document into an expression and reports all its faults; `eval` computes it; `operator` defines what
//! each operator does with values. Not supported: `method`, and equality of lists and mappings by identity (here by content).

mod eval;
mod known;
mod operator;
mod parse;

use serde_json::{Value, json};

use operator::Operator;

use super::size::{Budget, TooLarge};
use crate::document::{At, Complaint, Value as Given};

/// A parsed JsonLogic rule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule {
    expr: Expr,
    is_constant: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Expr {
    Literal(Value),
    List(Vec<Expr>),
    Call(Operator, Vec<Expr>),
}

/// A rule could not be computed for a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RuleError {
    #[error("`{operator}` needs {what}, got {got}")]
    Wants {
        operator: &'static str,
        what: &'static str,
        got: String,
    },
    #[error("the result of `{0}` is not a finite number")]
    NotFinite(&'static str),
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

impl RuleError {
    fn wants(operator: Operator, what: &'static str, got: &Value) -> Self {
        Self::Wants {
            operator: operator.name(),
            what,
            got: got.to_string().chars().take(60).collect(),
        }
    }
}

impl Rule {
    /// The rule at `at`; `None` if it has faults, which are reported.
    pub(crate) fn read(at: &At<'_>) -> Option<Self> {
        let (expr, known) = parse::expression(at, 0)?;
        Some(Self {
            expr,
            is_constant: known.is_constant,
        })
    }

    /// The rule at `at`, used as a condition: a rule that can never be true is a fault.
    pub(crate) fn read_condition(at: &At<'_>) -> Option<Self> {
        const LIKE: &str = "such as `{\">\": [{\"var\": \"temp\"}, 30]}`";
        match &at.node.value {
            Given::Null => {
                let remedy = format!("write a rule of JsonLogic, {LIKE}");
                return at.complain(Complaint::with_remedy("a rule is required", remedy));
            }
            Given::Text(text) => {
                let complaint = match known::pasted(text) {
                    Some(rule) => Complaint::with_remedy(
                        "the rule is text with JSON in it, which is never true",
                        format!("write it without the quotes around it: `{rule}`"),
                    ),
                    None => Complaint::with_remedy(
                        "the rule is text, which is never true",
                        format!("write a rule of JsonLogic, {LIKE}"),
                    ),
                };
                return at.complain(complaint);
            }
            _ => {}
        }
        let (expr, known) = parse::expression(at, 0)?;
        let written = at.node.to_json();
        if matches!(expr, Expr::Literal(Value::Bool(false))) && written.is_boolean() {
            at.warn("the rule is false: it stops every record");
        } else if !known.can_be_true() {
            return at.complain(never_true(known, &written));
        }
        Some(Self {
            expr,
            is_constant: known.is_constant,
        })
    }

    /// Whether the result is the same for every document.
    pub(crate) const fn is_constant(&self) -> bool {
        self.is_constant
    }

    /// Evaluates the rule for `document`.
    pub(crate) fn apply(&self, document: &Value) -> Result<Value, RuleError> {
        self.apply_within(&Budget::default(), document)
    }

    /// Evaluates one of several rules whose results are kept together.
    pub(crate) fn apply_within(
        &self,
        budget: &Budget,
        document: &Value,
    ) -> Result<Value, RuleError> {
        eval::owned(&self.expr, document, budget)
    }
}

/// The fault of a rule that can never be true.
fn never_true(known: known::Known, written: &Value) -> Complaint {
    if known.only_stops() {
        return Complaint::with_remedy(
            "the rule is never true: it stops every record",
            "compare a field of the record, which `{\"var\": \"name\"}` gives",
        );
    }
    let text = format!("the rule gives {}, never true", known.told());
    let is_missing = |name: &String| name.starts_with("missing");
    let remedy = match written {
        Value::Object(map) if map.keys().any(is_missing) => format!(
            "to let records with all of these fields through, write `{}`",
            json!({"!": written})
        ),
        Value::Array(rules) => format!(
            "to let records through for which all of these are true, write `{}`",
            json!({"and": rules})
        ),
        _ => "compare it with something, such as `{\"==\": [{\"var\": \"name\"}, …]}`".to_owned(),
    };
    Complaint::with_remedy(text, remedy)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::document::{Finding, Findings, Node};

    fn read(rule: &Value) -> Result<Rule, Vec<String>> {
        read_as(Rule::read, rule)
    }

    fn read_as(read: fn(&At<'_>) -> Option<Rule>, rule: &Value) -> Result<Rule, Vec<String>> {
        let (tree, findings) = (Node::from_json(rule), Findings::default());
        let parsed = read(&At::new(&tree, "", &findings));
        let texts = |faults: Vec<Finding>| faults.iter().map(ToString::to_string).collect();
        findings.into_result(parsed).map_err(texts)
    }

    fn apply(rule: Value, document: &Value) -> Value {
        read(&rule).unwrap().apply(document).unwrap()
    }

    #[test]
    fn rules_compute_what_jsonlogic_says() {
        let order = json!({"total": 12, "customer": {"name": "Ann", "tags": ["new", "vip"]}, "lines": [
            {"sku": "a", "qty": 1}, {"sku": "b", "qty": 3}], "zero": 0, "none": null, "text": "7"});
        for (rule, result) in [
            (json!({"var": "customer.name"}), json!("Ann")),
            (json!({"var": ["nope", 5]}), json!(5)),
            (json!({"var": "customer.tags.1"}), json!("vip")),
            (json!({"==": [{"var": "text"}, 7]}), json!(true)),
            (json!({"===": [{"var": "text"}, 7]}), json!(false)),
            (json!({"!=": [null, 0]}), json!(true)),
            (json!({"==": [true, 1]}), json!(true)),
            (json!({"!==": [1, 1.0]}), json!(false)),
            (json!({"!": [{"var": "zero"}]}), json!(true)),
            (json!({"!": {"var": "zero"}}), json!(true)),
            (json!({"!!": [[]]}), json!(false)),
            (json!({"!!": ["0"]}), json!(true)),
            (
                json!({"and": [{">": [{"var": "total"}, 10]}, {"in": ["vip", {"var": "customer.tags"}]}]}),
                json!(true),
            ),
            (
                json!({"or": [{"var": "zero"}, {"var": "text"}]}),
                json!("7"),
            ),
            (json!({"<": [1, {"var": "total"}, 12]}), json!(false)),
            (json!({"<=": [1, {"var": "total"}, 12]}), json!(true)),
            (json!({"<": ["abc", "abd"]}), json!(true)),
            (json!({">": ["x", 1]}), json!(false)),
            (
                json!({"if": [{"var": "none"}, 1, {"var": "total"}, 2, 3]}),
                json!(2),
            ),
            (json!({"?:": [false, 1, 3]}), json!(3)),
            (json!({"+": [1, "2", 3]}), json!(6)),
            (json!({"+": "3.5"}), json!(3.5)),
            (json!({"-": [{"var": "total"}, 2]}), json!(10)),
            (json!({"-": 2}), json!(-2)),
            (json!({"*": [2, 2.5]}), json!(5)),
            (json!({"/": [1, 4]}), json!(0.25)),
            (json!({"%": [{"var": "total"}, 5]}), json!(2)),
            (json!({"max": [1, 3, 2]}), json!(3)),
            (json!({"min": [4, 3, 3.5]}), json!(3)),
            (json!({"cat": ["a", 1, true, null]}), json!("a1true")),
            (json!({"substr": ["jsonlogic", 4]}), json!("logic")),
            (json!({"substr": ["jsonlogic", -5, 2]}), json!("lo")),
            (json!({"substr": ["jsonlogic", 1, -5]}), json!("son")),
            (json!({"in": ["Spring", "Springfield"]}), json!(true)),
            (json!({"merge": [[1, 2], 3]}), json!([1, 2, 3])),
            (
                json!({"map": [{"var": "lines"}, {"var": "qty"}]}),
                json!([1, 3]),
            ),
            (
                json!({"filter": [{"var": "lines"}, {">": [{"var": "qty"}, 1]}]}),
                json!([{"sku": "b", "qty": 3}]),
            ),
            (
                json!({"reduce": [{"var": "lines"}, {"+": [{"var": "accumulator"}, {"var": "current.qty"}]}, 0]}),
                json!(4),
            ),
            (
                json!({"all": [{"var": "lines"}, {"var": "sku"}]}),
                json!(true),
            ),
            (json!({"all": [[], true]}), json!(false)),
            (
                json!({"some": [{"var": "lines"}, {"==": [{"var": "sku"}, "b"]}]}),
                json!(true),
            ),
            (
                json!({"none": [{"var": "lines"}, {"==": [{"var": "sku"}, "z"]}]}),
                json!(true),
            ),
            (
                json!({"missing": ["total", "nope", "none"]}),
                json!(["nope", "none"]),
            ),
            (json!({"missing_some": [1, ["total", "nope"]]}), json!([])),
            (
                json!({"missing_some": [2, ["total", "nope"]]}),
                json!(["nope"]),
            ),
            (json!([1, {"var": "total"}]), json!([1, 12])),
            (json!({"var": ""}), order.clone()),
        ] {
            assert_eq!(apply(rule.clone(), &order), result, "{rule}");
        }
    }

    /// What a rule gives for data: a result, `fails` or `refused`.
    fn outcome(rule: &Value, data: &Value) -> String {
        match read(rule) {
            Err(_) => "refused".to_owned(),
            Ok(rule) => rule
                .apply(data)
                .map_or_else(|_| "fails".to_owned(), |result| result.to_string()),
        }
    }

    #[test]
    fn every_operator_gives_what_the_table_of_cases_says() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/data/rules/jsonlogic.txt"
        );
        let text = std::fs::read_to_string(file).unwrap();
        let is_case = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
        let mut seen = std::collections::BTreeSet::new();
        let mut wrong = Vec::new();
        for line in text.lines().filter(is_case) {
            let parts: Vec<&str> = line.split(" | ").collect();
            let [rule, data, expected] = parts.as_slice() else {
                panic!("{line}");
            };
            let rule: Value = serde_json::from_str(rule).expect(line);
            let data: Value = serde_json::from_str(data).expect(line);
            let expected = match *expected {
                word @ ("fails" | "refused") => word.to_owned(),
                json => serde_json::from_str::<Value>(json).expect(line).to_string(),
            };
            if let Some(operator) = rule.as_object().and_then(|map| map.keys().next()) {
                seen.insert(operator.clone());
            }
            let outcome = outcome(&rule, &data);
            if outcome != expected {
                wrong.push(format!("{line}: {outcome}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        for operator in Operator::ALL {
            assert!(
                seen.contains(operator.name()),
                "no case for {}",
                operator.name()
            );
        }
    }

    #[test]
    fn positions_and_plain_values_are_documents_too() {
        assert_eq!(apply(json!({"var": 1}), &json!(["a", "b"])), json!("b"));
        assert_eq!(
            apply(json!({"<": [{"var": ""}, 3]}), &json!(2)),
            json!(true)
        );
    }

    #[test]
    fn every_fault_of_a_rule_is_named_with_its_place() {
        let faults =
            read(&json!({"and": [{"foo": 1}, {"==": [1]}, {"var": "a", "b": 2}]})).unwrap_err();
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(
            faults[0].starts_with("and[0]: unknown operator `foo`"),
            "{faults:?}"
        );
        assert!(faults[1].starts_with("and[1].==: takes 2"), "{faults:?}");
        assert!(faults[2].starts_with("and[2]: "), "{faults:?}");
    }

    #[test]
    fn a_rule_nested_without_end_is_refused() {
        let deep = (0..100).fold(json!(1), |inner, _| json!({"!": [inner]}));
        assert!(read(&deep).unwrap_err()[0].contains("nested"));
    }

    #[test]
    fn arithmetic_on_anything_but_numbers_fails() {
        for (rule, fault) in [
            (
                json!({"*": [{"var": "name"}, 2]}),
                "`*` needs numbers, got \"Ann\"",
            ),
            (
                json!({"+": [{"var": "nope"}, 2]}),
                "`+` needs numbers, got null",
            ),
            (
                json!({"-": [{"var": "nope"}, 2]}),
                "`-` needs numbers, got null",
            ),
            (
                json!({"max": [{"var": "yes"}, 2]}),
                "`max` needs numbers, got true",
            ),
            (
                json!({"*": [{"var": "empty"}, 2]}),
                "`*` needs numbers, got \"\"",
            ),
            (
                json!({"substr": ["abc", {"var": "name"}]}),
                "`substr` needs numbers, got \"Ann\"",
            ),
            (
                json!({"missing_some": [{"var": "name"}, ["a"]]}),
                "`missing_some` needs numbers, got \"Ann\"",
            ),
            (
                json!({"none": [{"var": "name"}, true]}),
                "`none` needs a list, got \"Ann\"",
            ),
            (
                json!({"var": [{"var": "yes"}]}),
                "`var` needs names or positions of fields, got true",
            ),
            (
                json!({"/": [1, {"var": "zero"}]}),
                "the result of `/` is not a finite number",
            ),
        ] {
            let document = json!({"name": "Ann", "yes": true, "empty": "", "zero": 0});
            let err = read(&rule).unwrap().apply(&document).unwrap_err();
            assert_eq!(err.to_string(), fault, "{rule}");
        }
    }

    #[test]
    fn what_can_never_be_computed_is_a_fault_of_the_rule() {
        for (rule, fault) in [
            (
                json!({"/": [1, 0]}),
                "/: can never be computed: the result of `/` is not a finite number",
            ),
            (
                json!({"+": ["abc", {"var": "x"}]}),
                "+: needs numbers, and one of its arguments gives text",
            ),
            (
                json!({"*": [{"missing": ["a"]}, 2]}),
                "*: needs numbers, and one of its arguments gives a list",
            ),
            (
                json!({"var": [true]}),
                "var: needs the name or the position of a field, and gets true",
            ),
        ] {
            let faults = read(&rule).unwrap_err();
            assert!(faults[0].starts_with(fault), "{rule}: {faults:?}");
        }
    }

    #[test]
    fn a_condition_that_cannot_be_true_is_a_fault_with_the_nearest_right_form() {
        let var = || json!({"var": "a"});
        for (rule, fault) in [
            (json!(5), "the rule gives a number, never true"),
            (json!("hot"), "the rule is text, which is never true"),
            (json!(null), "a rule is required"),
            (
                json!([true]),
                "the rule gives a list, never true (to let records through for which all of these are true, write `{\"and\":[true]}`)",
            ),
            (json!({}), "the rule gives a mapping"),
            (json!({"cat": ["a", var()]}), "the rule gives text"),
            (
                json!({"missing": ["a"]}),
                "the rule gives a list, never true (to let records with all of these fields through, write `{\"!\":{\"missing\":[\"a\"]}}`)",
            ),
            (json!({"+": [1, var()]}), "the rule gives a number"),
            (
                json!({"==": [1, 2]}),
                "the rule is never true: it stops every record",
            ),
            (
                json!({"and": [{"==": [var(), 1]}, {"+": [var()]}]}),
                "the rule gives false or a number, never true",
            ),
            (json!({"if": [var(), "yes", "no"]}), "the rule gives text"),
            (
                json!({"<": [{"missing": ["a"]}, 1]}),
                "the rule is never true",
            ),
            (
                json!("{\"<\": [{\"var\": \"temp\"}, 110]}"),
                "the rule is text with JSON in it, which is never true (write it without the quotes around it: `{\"<\":[{\"var\":\"temp\"},110]}`)",
            ),
        ] {
            match read_as(Rule::read_condition, &rule) {
                Err(faults) => assert!(faults[0].starts_with(fault), "{rule}: {faults:?}"),
                Ok(_) => panic!("{rule} is taken"),
            }
        }
        for rule in [
            json!(true),
            json!(false),
            var(),
            json!({"or": [{"==": [var(), 1]}, {"var": "b"}]}),
            json!({"if": [var(), true, "no"]}),
            json!({"!!": [var()]}),
        ] {
            assert!(read_as(Rule::read_condition, &rule).is_ok(), "{rule}");
        }
    }

    #[test]
    fn a_rule_that_makes_too_much_fails_before_it_takes_the_memory() {
        let document = json!({"list": vec![0; 30], "numbers": vec![0; 10]});
        let twice = || json!([{"var": "accumulator"}, {"var": "accumulator"}]);
        let grow = |list: Value, body: Value| json!({"reduce": [list, body, "x"]});
        let list = || json!({"var": "list"});
        for rule in [
            grow(list(), json!({"cat": twice()})),
            grow(list(), json!({"merge": twice()})),
            grow(list(), twice()),
            json!({"map": [{"var": "numbers"}, grow(json!(vec![0; 24]), json!({"cat": twice()}))]}),
        ] {
            let err = read(&rule).unwrap().apply(&document).unwrap_err();
            assert_eq!(err, RuleError::TooLarge(TooLarge), "{rule}");
        }
    }

    #[test]
    fn values_that_a_rule_no_longer_needs_do_not_count() {
        // Each step makes the whole list anew: 200 MB in all, and 100 KB at a time.
        let rule = json!({"reduce": [
            {"var": "list"},
            {"merge": [{"var": "accumulator"}, {"var": "current"}]},
            []
        ]});
        let document = json!({"list": vec!["x".repeat(100); 2000]});
        assert_eq!(apply(rule, &document), document["list"]);
        let rule = json!({"all": [
            {"var": "list"},
            {"==": [{"cat": [{"var": ""}, "!"]}, {"cat": [{"var": ""}, "!"]}]}
        ]});
        let document = json!({"list": vec!["x".repeat(1 << 20); 70]});
        assert_eq!(apply(rule, &document), json!(true));
    }
}
