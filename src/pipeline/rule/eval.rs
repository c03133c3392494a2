//! Evaluates an expression for a document; looked-up values are borrowed.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use super::super::size::{Budget, weight};
use super::operator::{self, Operator};
use super::{Expr, RuleError};

type Evaluated<'a> = Result<Cow<'a, Value>, RuleError>;

const NULL: &Value = &Value::Null;

pub(super) fn eval<'a>(expr: &'a Expr, data: &'a Value, budget: &Budget) -> Evaluated<'a> {
    match expr {
        Expr::Literal(value) => Ok(Cow::Borrowed(value)),
        Expr::List(items) => {
            let items: Result<Vec<Value>, _> =
                items.iter().map(|item| owned(item, data, budget)).collect();
            Ok(Cow::Owned(Value::Array(items?)))
        }
        Expr::Call(operator, arguments) => {
            let used = budget.used();
            let result = call(*operator, arguments, data, budget)?;
            // All other values that the call has made are gone.
            let kept = match &result {
                Cow::Borrowed(_) => 0,
                Cow::Owned(value) => weight(value),
            };
            budget.keep(used, kept);
            Ok(result)
        }
    }
}

pub(super) fn owned(expr: &Expr, data: &Value, budget: &Budget) -> Result<Value, RuleError> {
    match eval(expr, data, budget)? {
        Cow::Owned(value) => Ok(value),
        Cow::Borrowed(value) => copied(value, budget),
    }
}

fn copied(value: &Value, budget: &Budget) -> Result<Value, RuleError> {
    budget.take(weight(value))?;
    Ok(value.clone())
}

fn call<'a>(
    operator: Operator,
    arguments: &'a [Expr],
    data: &'a Value,
    budget: &Budget,
) -> Evaluated<'a> {
    use Operator as Op;
    let argument = |at: usize| match arguments.get(at) {
        Some(expr) => eval(expr, data, budget),
        None => Ok(Cow::Borrowed(NULL)),
    };
    let truth = |yes: bool| Ok(Cow::Owned(Value::Bool(yes)));
    let own = |value: Value| Ok(Cow::Owned(value));
    match operator {
        Op::Var => {
            let found = match arguments.first() {
                None => Some(Cow::Borrowed(data)),
                Some(Expr::Literal(key)) => lookup(operator, key, data)?.map(Cow::Borrowed),
                Some(key) => {
                    lookup(operator, eval(key, data, budget)?.as_ref(), data)?.map(Cow::Borrowed)
                }
            };
            match found.filter(|value| !value.is_null()) {
                Some(value) => Ok(value),
                None => argument(1),
            }
        }
        Op::Missing => {
            let mut keys = Vec::new();
            for expr in arguments {
                spread(owned(expr, data, budget)?, &mut keys);
            }
            own(missing(operator, keys, data)?)
        }
        Op::MissingSome => {
            let needed = operator::whole(operator, &*argument(0)?)?;
            let mut keys = Vec::new();
            if let Some(list) = arguments.get(1) {
                spread(owned(list, data, budget)?, &mut keys);
            }
            let asked = keys.len();
            let missing = missing(operator, keys, data)?;
            let found = asked - missing.as_array().map_or(0, Vec::len);
            let is_enough = i64::try_from(found).is_ok_and(|found| found >= needed);
            own(if is_enough { json!([]) } else { missing })
        }
        Op::Log => argument(0), // what passes through may be a secret, so it is not logged
        Op::If | Op::Ternary => choose(arguments, data, budget),
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
                last = eval(expr, data, budget)?;
                if operator::truthy(&last) == stop_at {
                    break;
                }
            }
            Ok(last)
        }
        Op::Greater => truth(ascending(arguments, data, budget, |order| order.is_gt())?),
        Op::GreaterOrEqual => truth(ascending(arguments, data, budget, |order| order.is_ge())?),
        Op::Less => truth(ascending(arguments, data, budget, |order| order.is_lt())?),
        Op::LessOrEqual => truth(ascending(arguments, data, budget, |order| order.is_le())?),
        Op::Max => own(extreme(
            operator,
            Ordering::Greater,
            arguments,
            data,
            budget,
        )?),
        Op::Min => own(extreme(operator, Ordering::Less, arguments, data, budget)?),
        Op::Subtract if arguments.len() == 1 => {
            own(operator::arithmetic(operator, &json!(0), &*argument(0)?)?)
        }
        Op::Add | Op::Subtract | Op::Multiply | Op::Divide | Op::Remainder => {
            let mut result = operator::to_number(operator, &*argument(0)?)?;
            for expr in arguments.iter().skip(1) {
                result = operator::arithmetic(operator, &result, &*eval(expr, data, budget)?)?;
            }
            own(result)
        }
        Op::Map | Op::Filter | Op::All | Op::None | Op::Some | Op::Reduce => {
            let list = argument(0)?;
            let items = match &*list {
                Value::Array(items) => items.as_slice(),
                Value::Null => &[], // as in JsonLogic: a list that is missing is empty
                other => return Err(RuleError::wants(operator, "a list", other)),
            };
            over_items(operator, items, arguments, data, budget).map(Cow::Owned)
        }
        Op::Merge => {
            let mut merged = Vec::new();
            for expr in arguments {
                spread(owned(expr, data, budget)?, &mut merged);
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
                let part = eval(expr, data, budget)?;
                budget.take(weight(&part))?;
                operator::push_text(&mut text, &part);
            }
            own(Value::String(text))
        }
        Op::Substr => {
            let mut text = String::new();
            let whole = argument(0)?;
            budget.take(weight(&whole))?;
            operator::push_text(&mut text, &whole);
            let length = match arguments.get(2) {
                Some(expr) => Some(operator::whole(operator, &*eval(expr, data, budget)?)?),
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

fn choose<'a>(arguments: &'a [Expr], data: &'a Value, budget: &Budget) -> Evaluated<'a> {
    let mut rest = arguments;
    while let [condition, then, tail @ ..] = rest {
        if operator::truthy(&*eval(condition, data, budget)?) {
            return eval(then, data, budget);
        }
        rest = tail;
    }
    match rest {
        [otherwise, ..] => eval(otherwise, data, budget),
        [] => Ok(Cow::Borrowed(NULL)),
    }
}

/// Whether `holds` for each argument and the one after it.
fn ascending(
    arguments: &[Expr],
    data: &Value,
    budget: &Budget,
    holds: fn(Ordering) -> bool,
) -> Result<bool, RuleError> {
    for pair in arguments.windows(2) {
        if let [one, two] = pair {
            let order = operator::compare(&*eval(one, data, budget)?, &*eval(two, data, budget)?);
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
    budget: &Budget,
) -> Result<Value, RuleError> {
    let mut best: Option<Value> = None;
    for expr in arguments {
        let value = operator::to_number(operator, &*eval(expr, data, budget)?)?;
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
    items: &[Value],
    arguments: &[Expr],
    data: &Value,
    budget: &Budget,
) -> Result<Value, RuleError> {
    let literal_null = Expr::Literal(Value::Null);
    let body = arguments.get(1).unwrap_or(&literal_null);
    let holds = |item: &Value| -> Result<bool, RuleError> {
        let used = budget.used();
        let holds = operator::truthy(&*eval(body, item, budget)?);
        budget.keep(used, 0);
        Ok(holds)
    };
    match operator {
        Operator::Map => {
            let mapped: Result<Vec<Value>, _> =
                items.iter().map(|item| owned(body, item, budget)).collect();
            Ok(Value::Array(mapped?))
        }
        Operator::Filter => {
            let mut kept = Vec::new();
            for item in items {
                if holds(item)? {
                    kept.push(copied(item, budget)?);
                }
            }
            Ok(Value::Array(kept))
        }
        Operator::Reduce => {
            let used = budget.used();
            let start = arguments.get(2).unwrap_or(&literal_null);
            let mut accumulator = owned(start, data, budget)?;
            for current in items {
                let mut step = Map::new();
                step.insert("current".to_owned(), copied(current, budget)?);
                step.insert("accumulator".to_owned(), accumulator);
                accumulator = owned(body, &Value::Object(step), budget)?;
                // The item and the accumulator before it are gone.
                budget.keep(used, weight(&accumulator));
            }
            Ok(accumulator)
        }
        _ => {
            let mut held = 0;
            for item in items {
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
