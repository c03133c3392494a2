//! Evaluates an expression for a document; looked-up values are borrowed.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Value, json};

use super::operator::{self, Operator};
use super::{Expr, RuleError};

type Evaluated<'a> = Result<Cow<'a, Value>, RuleError>;

const NULL: &Value = &Value::Null;

pub(super) fn eval<'a>(expr: &'a Expr, data: &'a Value) -> Evaluated<'a> {
    match expr {
        Expr::Literal(value) => Ok(Cow::Borrowed(value)),
        Expr::List(items) => {
            let items: Result<Vec<Value>, _> = items.iter().map(|item| owned(item, data)).collect();
            Ok(Cow::Owned(Value::Array(items?)))
        }
        Expr::Call(operator, arguments) => call(*operator, arguments, data),
    }
}

fn owned(expr: &Expr, data: &Value) -> Result<Value, RuleError> {
    eval(expr, data).map(Cow::into_owned)
}

fn call<'a>(operator: Operator, arguments: &'a [Expr], data: &'a Value) -> Evaluated<'a> {
    use Operator as Op;
    let argument = |at: usize| match arguments.get(at) {
        Some(expr) => eval(expr, data),
        None => Ok(Cow::Borrowed(NULL)),
    };
    let truth = |yes: bool| Ok(Cow::Owned(Value::Bool(yes)));
    let own = |value: Value| Ok(Cow::Owned(value));
    match operator {
        Op::Var => {
            let found = match arguments.first() {
                None => Some(Cow::Borrowed(data)),
                Some(Expr::Literal(key)) => lookup(operator, key, data)?.map(Cow::Borrowed),
                Some(key) => lookup(operator, eval(key, data)?.as_ref(), data)?.map(Cow::Borrowed),
            };
            match found.filter(|value| !value.is_null()) {
                Some(value) => Ok(value),
                None => argument(1),
            }
        }
        Op::Missing => {
            let mut keys = Vec::new();
            for expr in arguments {
                spread(owned(expr, data)?, &mut keys);
            }
            own(missing(operator, keys, data)?)
        }
        Op::MissingSome => {
            let needed = operator::whole(operator, &*argument(0)?)?;
            let mut keys = Vec::new();
            spread(argument(1)?.into_owned(), &mut keys);
            let asked = keys.len();
            let missing = missing(operator, keys, data)?;
            let found = asked - missing.as_array().map_or(0, Vec::len);
            let is_enough = i64::try_from(found).is_ok_and(|found| found >= needed);
            own(if is_enough { json!([]) } else { missing })
        }
        Op::If | Op::Ternary => choose(arguments, data),
        Op::Equal => truth(operator::loosely_equal(&*argument(0)?, &*argument(1)?)),
        Op::NotEqual => truth(!operator::loosely_equal(&*argument(0)?, &*argument(1)?)),
        Op::StrictEqual => truth(operator::strictly_equal(&*argument(0)?, &*argument(1)?)),
        Op::StrictNotEqual => truth(!operator::strictly_equal(&*argument(0)?, &*argument(1)?)),
        Op::Not => truth(!operator::truthy(&*argument(0)?)),
        Op::Truthy => truth(operator::truthy(&*argument(0)?)),
        Op::And | Op::Or => {
            let stop_at = operator == Op::Or;
            let mut last = Cow::Borrowed(NULL);
            for expr in arguments {
                last = eval(expr, data)?;
                if operator::truthy(&last) == stop_at {
                    break;
                }
            }
            Ok(last)
        }
        Op::Greater => truth(ascending(arguments, data, |order| order.is_gt())?),
        Op::GreaterOrEqual => truth(ascending(arguments, data, |order| order.is_ge())?),
        Op::Less => truth(ascending(arguments, data, |order| order.is_lt())?),
        Op::LessOrEqual => truth(ascending(arguments, data, |order| order.is_le())?),
        Op::Max => own(extreme(operator, Ordering::Greater, arguments, data)?),
        Op::Min => own(extreme(operator, Ordering::Less, arguments, data)?),
        Op::Subtract if arguments.len() == 1 => {
            own(operator::arithmetic(operator, &json!(0), &*argument(0)?)?)
        }
        Op::Add | Op::Subtract | Op::Multiply | Op::Divide | Op::Remainder => {
            let mut result = operator::to_number(operator, &*argument(0)?)?;
            for expr in arguments.iter().skip(1) {
                result = operator::arithmetic(operator, &result, &*eval(expr, data)?)?;
            }
            own(result)
        }
        Op::Map | Op::Filter | Op::All | Op::None | Op::Some | Op::Reduce => {
            let items = match argument(0)?.into_owned() {
                Value::Array(items) => items,
                Value::Null => Vec::new(), // as in JsonLogic: a list that is missing is empty
                other => return Err(RuleError::wants(operator, "a list", &other)),
            };
            over_items(operator, items, arguments, data).map(Cow::Owned)
        }
        Op::Merge => {
            let mut merged = Vec::new();
            for expr in arguments {
                spread(owned(expr, data)?, &mut merged);
            }
            own(Value::Array(merged))
        }
        Op::In => truth(match &*argument(1)? {
            Value::String(text) => argument(0)?
                .as_str()
                .is_some_and(|part| text.contains(part)),
            Value::Array(items) => {
                let wanted = argument(0)?;
                items
                    .iter()
                    .any(|item| operator::strictly_equal(item, &wanted))
            }
            _ => false,
        }),
        Op::Cat => {
            let mut text = String::new();
            for expr in arguments {
                operator::push_text(&mut text, &*eval(expr, data)?);
            }
            own(Value::String(text))
        }
        Op::Substr => {
            let mut text = String::new();
            operator::push_text(&mut text, &*argument(0)?);
            let length = match arguments.get(2) {
                Some(expr) => Some(operator::whole(operator, &*eval(expr, data)?)?),
                None => None,
            };
            let start = operator::whole(operator, &*argument(1)?)?;
            own(Value::String(operator::substr(&text, start, length)))
        }
    }
}

/// The field a key names; an empty key is the whole document.
fn lookup<'a>(
    operator: Operator,
    key: &Value,
    data: &'a Value,
) -> Result<Option<&'a Value>, RuleError> {
    Ok(match key {
        Value::Null => Some(data),
        Value::String(path) if path.is_empty() => Some(data),
        Value::String(path) => path
            .split('.')
            .try_fold(data, |value, segment| match value {
                Value::Object(map) => map.get(segment),
                Value::Array(items) => items.get(segment.parse::<usize>().ok()?),
                _ => None,
            }),
        Value::Number(at) => match data {
            Value::Array(items) => at
                .as_u64()
                .and_then(|at| items.get(usize::try_from(at).ok()?)),
            Value::Object(map) => map.get(&at.to_string()),
            _ => None,
        },
        other => {
            return Err(RuleError::wants(
                operator,
                "names or positions of fields",
                other,
            ));
        }
    })
}

fn missing(operator: Operator, keys: Vec<Value>, data: &Value) -> Result<Value, RuleError> {
    let mut missing = Vec::new();
    for key in keys {
        let is_there = match lookup(operator, &key, data)? {
            None | Some(Value::Null) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(_) => true,
        };
        if !is_there {
            missing.push(key);
        }
    }
    Ok(Value::Array(missing))
}

fn spread(value: Value, into: &mut Vec<Value>) {
    match value {
        Value::Array(items) => into.extend(items),
        single => into.push(single),
    }
}

fn choose<'a>(arguments: &'a [Expr], data: &'a Value) -> Evaluated<'a> {
    let mut rest = arguments;
    while let [condition, then, tail @ ..] = rest {
        if operator::truthy(&*eval(condition, data)?) {
            return eval(then, data);
        }
        rest = tail;
    }
    match rest {
        [otherwise, ..] => eval(otherwise, data),
        [] => Ok(Cow::Borrowed(NULL)),
    }
}

/// Whether `holds` for each argument and the one after it.
fn ascending(
    arguments: &[Expr],
    data: &Value,
    holds: fn(Ordering) -> bool,
) -> Result<bool, RuleError> {
    for pair in arguments.windows(2) {
        if let [one, two] = pair {
            let order = operator::compare(&*eval(one, data)?, &*eval(two, data)?);
            if !order.is_some_and(holds) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn extreme(
    operator: Operator,
    wanted: Ordering,
    arguments: &[Expr],
    data: &Value,
) -> Result<Value, RuleError> {
    let mut best: Option<Value> = None;
    for expr in arguments {
        let value = operator::to_number(operator, &*eval(expr, data)?)?;
        if best
            .as_ref()
            .is_none_or(|best| operator::compare(&value, best) == Some(wanted))
        {
            best = Some(value);
        }
    }
    Ok(best.unwrap_or_default())
}

fn over_items(
    operator: Operator,
    items: Vec<Value>,
    arguments: &[Expr],
    data: &Value,
) -> Result<Value, RuleError> {
    let literal_null = Expr::Literal(Value::Null);
    let body = arguments.get(1).unwrap_or(&literal_null);
    let holds = |item: &Value| Ok(operator::truthy(&*eval(body, item)?));
    match operator {
        Operator::Map => {
            let mapped: Result<Vec<Value>, _> =
                items.iter().map(|item| owned(body, item)).collect();
            Ok(Value::Array(mapped?))
        }
        Operator::Filter => {
            let mut kept = Vec::new();
            for item in items {
                if holds(&item)? {
                    kept.push(item);
                }
            }
            Ok(Value::Array(kept))
        }
        Operator::Reduce => {
            let start = owned(arguments.get(2).unwrap_or(&literal_null), data)?;
            items.into_iter().try_fold(start, |accumulator, current| {
                owned(
                    body,
                    &json!({"current": current, "accumulator": accumulator}),
                )
            })
        }
        _ => {
            let mut held = 0;
            for item in &items {
                held += usize::from(holds(item)?);
            }
            Ok(Value::Bool(match operator {
                Operator::All => held == items.len() && held > 0,
                Operator::Some => held > 0,
                _ => held == 0,
            }))
        }
    }
}
