//! From JSON to an expression.

use serde_json::Value;

use super::super::config::Node;
use super::Expr;
use super::operator::Operator;

/// How deep a rule may nest.
const MAX_DEPTH: usize = 64;

pub(super) fn expression(node: &Node<'_>, depth: usize) -> Option<Expr> {
    if depth > MAX_DEPTH {
        return node.fault(format_args!("the rule is nested deeper than {MAX_DEPTH}"));
    }
    match node.value {
        Value::Object(map) => {
            let mut entries = map.iter();
            match (entries.next(), entries.next()) {
                (None, _) => Some(Expr::Literal(node.value.clone())),
                (Some((name, argument)), None) => call(node, name, argument, depth),
                _ => node.fault("expected an operator: a mapping with one entry"),
            }
        }
        Value::Array(_) => expressions(node, depth).map(Expr::List),
        literal => Some(Expr::Literal(literal.clone())),
    }
}

/// Reads on after a fault, so that all of them are found.
fn expressions(node: &Node<'_>, depth: usize) -> Option<Vec<Expr>> {
    let read: Vec<_> = node
        .clone()
        .items()?
        .iter()
        .map(|item| expression(item, depth + 1))
        .collect();
    read.into_iter().collect()
}

fn call(node: &Node<'_>, name: &str, argument: &Value, depth: usize) -> Option<Expr> {
    let Some(operator) = Operator::named(name) else {
        let known: Vec<&str> = Operator::ALL.iter().map(|op| op.name()).collect();
        return node.fault(format_args!(
            "unknown operator `{name}`; known: {}",
            known.join(" ")
        ));
    };
    let node = node.child(name, argument);
    let arguments = match argument {
        Value::Array(_) => expressions(&node, depth)?,
        _ => vec![expression(&node, depth + 1)?], // `{"var": "a"}` is short for `{"var": ["a"]}`
    };
    let takes = operator.takes();
    if !takes.contains(&arguments.len()) {
        let (least, most) = (*takes.start(), *takes.end());
        let most = if most == usize::MAX {
            "or more".to_owned()
        } else {
            format!("to {most}")
        };
        return node.fault(format_args!(
            "takes {least} {most} arguments, got {}",
            arguments.len()
        ));
    }
    Some(Expr::Call(operator, arguments))
}
