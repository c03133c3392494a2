//! Analyses a rule without a document: which kinds of value it can give, and whether it depends on the document at all.

use serde_json::Value;

use super::operator::{self, Operator};

/// The possible results of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    kinds: Kinds,
    /// The result does not depend on the document.
    pub(super) is_constant: bool,
}

/// Kinds of values, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kinds(u8);

const NULL: Kinds = Kinds(1);
const FALSE: Kinds = Kinds(2);
const TRUE: Kinds = Kinds(4);
const NUMBER: Kinds = Kinds(8);
/// Text that is a number.
const NUMERAL: Kinds = Kinds(16);
/// Text that is not a number.
const WORD: Kinds = Kinds(128);
const TEXT: Kinds = NUMERAL.or(WORD);
const LIST: Kinds = Kinds(32);
const MAPPING: Kinds = Kinds(64);
const ANY: Kinds = Kinds(255);
const EITHER: Kinds = TRUE.or(FALSE);

impl Kinds {
    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl Known {
    /// A value itself.
    pub(super) fn value(value: &Value) -> Self {
        let kinds = match value {
            Value::Null => NULL,
            Value::Bool(false) => FALSE,
            Value::Bool(true) => TRUE,
            Value::Number(_) => NUMBER,
            Value::String(text) if operator::numeral(text).is_some() => NUMERAL,
            Value::String(_) => WORD,
            Value::Array(_) => LIST,
            Value::Object(_) => MAPPING,
        };
        Self {
            kinds,
            is_constant: true,
        }
    }

    pub(super) const fn list(is_constant: bool) -> Self {
        Self {
            kinds: LIST,
            is_constant,
        }
    }

    /// Whether the result can be `true`, rather than only count as true.
    pub(super) const fn can_be_true(self) -> bool {
        self.kinds.has(TRUE)
    }

    /// Whether the result can only be false or null, so that every record is dropped.
    pub(super) const fn only_stops(self) -> bool {
        !self.kinds.has(Kinds(!FALSE.or(NULL).0))
    }

    /// Lists and mappings have no order.
    const fn has_no_order(self) -> bool {
        !self.kinds.has(Kinds(!LIST.or(MAPPING).0))
    }

    /// Describes the result.
    pub(super) fn told(self) -> String {
        let names = [
            (NULL, "nothing"),
            (TRUE, "true"),
            (FALSE, "false"),
            (NUMBER, "a number"),
            (TEXT, "text"),
            (LIST, "a list"),
            (MAPPING, "a mapping"),
        ];
        let given: Vec<_> = names
            .into_iter()
            .filter(|(kind, _)| self.kinds.has(*kind))
            .map(|(_, name)| name)
            .collect();
        given.join(" or ")
    }
}

/// The `kinds` that can count as true, and those that can count as false.
const fn truthy(kinds: Kinds) -> Kinds {
    kinds.and(Kinds(!NULL.or(FALSE).0))
}

const fn falsy(kinds: Kinds) -> Kinds {
    kinds.and(Kinds(!TRUE.or(MAPPING).0))
}

/// The possible results of a call, or why it always fails.
pub(super) fn of_call(operator: Operator, arguments: &[Known]) -> Result<Known, String> {
    use Operator as Op;
    let reads_document = matches!(operator, Op::Var | Op::Missing | Op::MissingSome);
    let is_constant = !reads_document && arguments.iter().all(|known| known.is_constant);
    if operator.needs_numbers()
        && let Some(wrong) = arguments
            .iter()
            .find(|known| !known.kinds.has(NUMBER.or(NUMERAL)))
    {
        return Err(format!(
            "needs numbers, and one of its arguments gives {}",
            wrong.told()
        ));
    }
    if operator == Op::Var
        && let Some(key) = arguments.first()
        && !key.kinds.has(NULL.or(NUMBER).or(TEXT))
    {
        return Err(format!(
            "needs the name or the position of a field, and gets {}",
            key.told()
        ));
    }
    let kinds = match operator {
        Op::Var => ANY,
        Op::Missing | Op::MissingSome | Op::Map | Op::Filter | Op::Merge => LIST,
        Op::Cat | Op::Substr => TEXT,
        Op::Max | Op::Min => NUMBER,
        Op::Add | Op::Subtract | Op::Multiply | Op::Divide | Op::Remainder => NUMBER,
        Op::Greater | Op::GreaterOrEqual | Op::Less | Op::LessOrEqual
            if arguments.iter().any(|known| known.has_no_order()) =>
        {
            FALSE
        }
        Op::Log => arguments.first().map_or(NULL, |known| known.kinds),
        Op::If | Op::Ternary => chosen(arguments),
        Op::And => joined(arguments, falsy, truthy),
        Op::Or => joined(arguments, truthy, falsy),
        Op::Not => opposite(arguments, false),
        Op::Truthy => opposite(arguments, true),
        Op::Reduce => {
            let [_, body, start] = arguments else {
                return Ok(Known {
                    kinds: ANY,
                    is_constant: false,
                });
            };
            body.kinds.or(start.kinds)
        }
        _ => EITHER,
    };
    Ok(Known { kinds, is_constant })
}

/// The result of `and` and `or`: the first argument that decides it, or the last.
fn joined(arguments: &[Known], ends: fn(Kinds) -> Kinds, goes_on: fn(Kinds) -> Kinds) -> Kinds {
    let Some((last, before)) = arguments.split_last() else {
        return NULL;
    };
    let mut kinds = Kinds(0);
    for known in before {
        kinds = kinds.or(ends(known.kinds));
        if goes_on(known.kinds) == Kinds(0) {
            return kinds;
        }
    }
    kinds.or(last.kinds)
}

fn opposite(arguments: &[Known], keeps: bool) -> Kinds {
    let kinds = arguments.first().map_or(NULL, |known| known.kinds);
    let when = |can: Kinds, kind: Kinds| if can == Kinds(0) { Kinds(0) } else { kind };
    let (of_true, of_false) = if keeps { (TRUE, FALSE) } else { (FALSE, TRUE) };
    when(truthy(kinds), of_true).or(when(falsy(kinds), of_false))
}

/// The result of `if`: each branch whose condition can hold while the conditions before it can fail.
fn chosen(arguments: &[Known]) -> Kinds {
    let mut kinds = Kinds(0);
    let mut rest = arguments;
    while let [condition, then, tail @ ..] = rest {
        if truthy(condition.kinds) != Kinds(0) {
            kinds = kinds.or(then.kinds);
        }
        if falsy(condition.kinds) == Kinds(0) {
            return kinds;
        }
        rest = tail;
    }
    kinds.or(rest.first().map_or(NULL, |otherwise| otherwise.kinds))
}

/// A text that contains a rule as JSON.
pub(super) fn pasted(text: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(text).ok()?;
    let name = value.as_object()?.keys().next()?;
    Operator::named(name).map(|_| value)
}
