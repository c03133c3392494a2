//! Parses a document into an expression, and checks what can be known about its results.

use super::super::size::Budget;
use super::known::{self, Known};
use super::operator::Operator;
use super::{Expr, eval};
use crate::document::{At, Value};

/// How deep a rule may nest.
const MAX_DEPTH: usize = 64;

/// An expression and its possible results.
pub(super) type Parsed = (Expr, Known);

pub(super) fn expression(at: &At<'_>, depth: usize) -> Option<Parsed> {
    if depth > MAX_DEPTH {
        return at.fault(format_args!("the rule is nested deeper than {MAX_DEPTH}"));
    }
    match &at.node.value {
        Value::Map(entries) => match entries.as_slice() {
            [] => literal(at),
            [(key, argument)] => call(at, &key.name, &at.child(&key.name, argument), depth),
            _ => at.fault("expected an operator: a mapping with one entry"),
        },
        Value::List(_) => {
            let (items, known) = expressions(at, depth)?;
            let is_constant = known.iter().all(|known| known.is_constant);
            Some((Expr::List(items), Known::list(is_constant)))
        }
        _ => literal(at),
    }
}

fn literal(at: &At<'_>) -> Option<Parsed> {
    let value = at.json()?;
    let known = Known::value(&value);
    Some((Expr::Literal(value), known))
}

/// Continues after a fault, so that all are found.
fn expressions(at: &At<'_>, depth: usize) -> Option<(Vec<Expr>, Vec<Known>)> {
    let read: Vec<_> = at
        .clone()
        .items()?
        .iter()
        .map(|item| expression(item, depth + 1))
        .collect();
    let read: Option<Vec<_>> = read.into_iter().collect();
    Some(read?.into_iter().unzip())
}

/// The call of the operator `name` with the arguments at `at`; `outer` is the whole call.
fn call(outer: &At<'_>, name: &str, at: &At<'_>, depth: usize) -> Option<Parsed> {
    let Some(operator) = Operator::named(name) else {
        let known: Vec<&str> = Operator::ALL.iter().map(|op| op.name()).collect();
        return outer.fault(format_args!(
            "unknown operator `{name}`; known: {}",
            known.join(" ")
        ));
    };
    let (arguments, known) = match &at.node.value {
        Value::List(_) => expressions(at, depth)?,
        // `{"var": "a"}` is short for `{"var": ["a"]}`.
        _ => expression(at, depth + 1).map(|(expr, known)| (vec![expr], vec![known]))?,
    };
    let takes = operator.takes();
    if !takes.contains(&arguments.len()) {
        let expected = match (*takes.start(), *takes.end()) {
            (1, 1) => "1 argument".to_owned(),
            (least, most) if least == most => format!("{least} arguments"),
            (least, usize::MAX) => format!("{least} or more arguments"),
            (least, most) => format!("{least} to {most} arguments"),
        };
        return at.fault(format_args!("takes {expected}, got {}", arguments.len()));
    }
    let known = known::of_call(operator, &known).map_err(|text| at.fault::<()>(text));
    let known = known.ok()?;
    let expr = Expr::Call(operator, arguments);
    if !known.is_constant {
        return Some((expr, known));
    }
    // This is the result for every document.
    match eval::eval(&expr, &serde_json::Value::Null, &Budget::default()) {
        Ok(value) => {
            let known = Known::value(&value);
            Some((expr, known))
        }
        Err(err) => at.fault(format_args!("can never be computed: {err}")),
    }
}
