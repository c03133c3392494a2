//! JsonLogic: rules as JSON, parsed once and then asked about many documents.
//!
//! `parse` turns a document into an expression and reports all that is wrong with it; `eval` computes it; `operator` says what
//! each operator does with values. Left out: `log`, `method`, and equality of lists and mappings by identity (here by content).

mod eval;
mod operator;
mod parse;

use serde_json::Value;

use operator::Operator;

use super::config::Node;

/// A parsed JsonLogic rule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule(Expr);

#[derive(Debug, Clone, PartialEq)]
enum Expr {
    Literal(Value),
    List(Vec<Expr>),
    Call(Operator, Vec<Expr>),
}

/// A rule could not be computed for a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RuleError {
    #[error("`{operator}` needs numbers, got {got}")]
    NotANumber { operator: &'static str, got: String },
    #[error("`{0}` gives no finite number")]
    NotFinite(&'static str),
}

impl Rule {
    /// The rule that stands at `node`; `None` when it has faults, which are reported.
    pub(crate) fn read(node: &Node<'_>) -> Option<Self> {
        parse::expression(node, 0).map(Self)
    }

    /// What the rule gives for `document`.
    pub(crate) fn apply(&self, document: &Value) -> Result<Value, RuleError> {
        eval::eval(&self.0, document).map(std::borrow::Cow::into_owned)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::config::Faults;
    use super::*;

    fn read(rule: &Value) -> Result<Rule, Vec<String>> {
        let faults = Faults::default();
        let parsed = Rule::read(&Node::root(rule, &faults));
        let texts = |faults: Vec<super::super::config::Fault>| {
            faults.iter().map(ToString::to_string).collect()
        };
        faults.into_result(parsed).map_err(texts)
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
    fn what_is_no_number_cannot_be_computed_with() {
        let rule = read(&json!({"*": [{"var": "name"}, 2]})).unwrap();
        let err = rule.apply(&json!({"name": "Ann"})).unwrap_err();
        assert_eq!(err.to_string(), "`*` needs numbers, got \"Ann\"");
        let rule = read(&json!({"/": [1, {"var": "n"}]})).unwrap();
        assert!(rule.apply(&json!({"n": 0})).is_err());
    }
}
