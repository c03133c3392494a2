//! Kind: a check of form, not of meaning. A rule pasted as text, as EdgeX keeps it, a number, a rule that gives text or a list: `check` found
//! no fault, and every record became a dead letter; `rule: null` silently dropped every record; `transform: {type: xml}` replaced every event.

use super::cli::check;

fn filter(rule: &str) -> String {
    format!(
        "kind: statefun.pipelines.v1/pipeline\nspec:\n  name: p\n  stages:\n    - filter: {{rule: {rule}}}\n"
    )
}

#[test]
fn a_rule_that_is_never_true_is_a_fault_with_the_nearest_valid_form() {
    for (rule, told) in [
        (
            r#"'{"<": [{"var": "temp"}, 110]}'"#,
            r#"the rule is text with JSON in it, which is never true (write it without the quotes around it: `{"<":[{"var":"temp"},110]}`)"#,
        ),
        ("5", "the rule gives a number, never true"),
        ("{cat: [a, b]}", "the rule gives text, never true"),
        (
            "{missing: [temp]}",
            r#"the rule gives a list, never true (to let records with all of these fields through, write `{"!":{"missing":["temp"]}}`)"#,
        ),
        ("null", "a rule is required"),
        ("", "a rule is required"),
        (
            "{'==': [1, 2]}",
            "the rule is never true: it stops every record",
        ),
    ] {
        let (code, out) = check(&filter(rule), &[]);
        assert_eq!(code, 1, "{rule}: {out}");
        let location = "MODULE:5:";
        assert!(
            out.contains(location)
                && out.contains(&format!("`spec.stages[0].filter.rule`: {told}")),
            "{rule}: {out}"
        );
    }
    let (code, out) = check(&filter(r#"{"<": [{"var": "temp"}, 110]}"#), &[]);
    assert_eq!(code, 0, "{out}");
}

#[test]
fn a_transform_that_replaces_every_record_by_constants_gives_a_warning() {
    let text = "kind: statefun.pipelines.v1/pipeline\nspec:\n  name: p\n  stages:\n    - transform: {type: xml}\n    - transform: {type: xml, n: {var: n}}\n";
    let (code, out) = check(text, &[]);
    assert_eq!(code, 0, "{out}");
    let warning = "warning: MODULE:5:18: `spec.stages[0].transform`: replaces every record by the same document";
    assert!(
        out.contains(warning) && out.contains("to add fields, use `set`"),
        "{out}"
    );
    assert_eq!(out.matches("replaces every record").count(), 1, "{out}");
}
