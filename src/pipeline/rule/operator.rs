//! The operators on values: truth, equality, order and arithmetic, like JavaScript where JsonLogic says so.

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use serde_json::{Number, Value};

use super::RuleError;

macro_rules! operators {
    ($($variant:ident $name:literal $takes:expr;)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Operator { $($variant),* }

        impl Operator {
            pub(super) const ALL: &[Self] = &[$(Self::$variant),*];

            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The number of arguments it takes.
            pub(super) const fn takes(self) -> RangeInclusive<usize> {
                match self { $(Self::$variant => $takes),* }
            }
        }
    };
}

const MANY: usize = usize::MAX;

operators! {
    Var "var" 0..=2;
    Missing "missing" 0..=MANY;
    MissingSome "missing_some" 2..=2;
    If "if" 1..=MANY;
    Ternary "?:" 1..=MANY;
    Equal "==" 2..=2;
    StrictEqual "===" 2..=2;
    NotEqual "!=" 2..=2;
    StrictNotEqual "!==" 2..=2;
    Not "!" 1..=1;
    Truthy "!!" 1..=1;
    Or "or" 1..=MANY;
    And "and" 1..=MANY;
    Greater ">" 2..=2;
    GreaterOrEqual ">=" 2..=2;
    Less "<" 2..=3;
    LessOrEqual "<=" 2..=3;
    Max "max" 1..=MANY;
    Min "min" 1..=MANY;
    Add "+" 1..=MANY;
    Subtract "-" 1..=2;
    Multiply "*" 1..=MANY;
    Divide "/" 2..=2;
    Remainder "%" 2..=2;
    Map "map" 2..=2;
    Filter "filter" 2..=2;
    Reduce "reduce" 3..=3;
    All "all" 2..=2;
    None "none" 2..=2;
    Some "some" 2..=2;
    Merge "merge" 0..=MANY;
    In "in" 2..=2;
    Cat "cat" 0..=MANY;
    Substr "substr" 2..=3;
    Log "log" 1..=1;
}

impl Operator {
    /// Whether it computes with numbers, and fails on anything else.
    pub(super) const fn needs_numbers(self) -> bool {
        matches!(
            self,
            Self::Add
                | Self::Subtract
                | Self::Multiply
                | Self::Divide
                | Self::Remainder
                | Self::Max
                | Self::Min
        )
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|op| op.name() == name)
    }
}

pub(super) fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(yes) => *yes,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(_) => true,
    }
}

/// Equality without conversion, except that 1 and 1.0 are equal.
pub(super) fn strictly_equal(one: &Value, two: &Value) -> bool {
    match (one, two) {
        (Value::Number(one), Value::Number(two)) => {
            one == two || (one.as_f64() == two.as_f64() && (one.is_f64() || two.is_f64()))
        }
        _ => one == two,
    }
}

/// Equality with conversion: texts, numbers and booleans are compared as numbers.
pub(super) fn loosely_equal(one: &Value, two: &Value) -> bool {
    use Value::{Bool, Number, String};
    match (one, two) {
        (Number(_) | String(_) | Bool(_), Number(_) | String(_) | Bool(_))
            if std::mem::discriminant(one) != std::mem::discriminant(two) =>
        {
            matches!((as_number(one), as_number(two)), (Some(one), Some(two)) if one == two)
        }
        _ => strictly_equal(one, two),
    }
}

/// The order of two values: two texts by characters, everything else as numbers, where a missing value and empty text count as 0 and true as 1, as in
/// JsonLogic. `None` if there is no order, which makes every comparison false.
pub(super) fn compare(one: &Value, two: &Value) -> Option<Ordering> {
    match (one, two) {
        (Value::String(one), Value::String(two)) => Some(one.cmp(two)),
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
        },
        _ => as_number(one)?.partial_cmp(&as_number(two)?),
    }
}

fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::Null => Some(0.0),
        Value::Bool(yes) => Some(f64::from(u8::from(*yes))),
        Value::Number(number) => number.as_f64(),
        Value::String(text) if text.trim().is_empty() => Some(0.0),
        Value::String(text) => numeral(text),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// The text as a number, if it is one.
pub(super) fn numeral(text: &str) -> Option<f64> {
    let number: Option<f64> = text.trim().parse().ok();
    number.filter(|number| number.is_finite())
}

/// A step of arithmetic; whole numbers stay exact as long as they fit.
pub(super) fn arithmetic(operator: Operator, one: &Value, two: &Value) -> Result<Value, RuleError> {
    if let (Some(one), Some(two)) = (one.as_i64(), two.as_i64()) {
        let exact = match operator {
            Operator::Add => one.checked_add(two),
            Operator::Subtract => one.checked_sub(two),
            Operator::Multiply => one.checked_mul(two),
            Operator::Remainder => one.checked_rem(two),
            _ => None,
        };
        if let Some(exact) = exact {
            return Ok(exact.into());
        }
    }
    let (one, two) = (operand(operator, one)?, operand(operator, two)?);
    let result = match operator {
        Operator::Add => one + two,
        Operator::Subtract => one - two,
        Operator::Multiply => one * two,
        Operator::Divide => one / two,
        _ => one % two,
    };
    number(operator, result)
}

/// The value as a number, for unary plus and the operands of `max` and `min`.
pub(super) fn to_number(operator: Operator, value: &Value) -> Result<Value, RuleError> {
    match value {
        Value::Number(_) => Ok(value.clone()),
        _ => number(operator, operand(operator, value)?),
    }
}

/// A number, or text that is one. Missing values, booleans and empty text are not: a missing field must not count as 0.
fn operand(operator: Operator, value: &Value) -> Result<f64, RuleError> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => numeral(text),
        _ => None,
    };
    number.ok_or_else(|| RuleError::wants(operator, "numbers", value))
}

/// A whole number; a fraction is cut off.
pub(super) fn whole(operator: Operator, value: &Value) -> Result<i64, RuleError> {
    let number = operand(operator, value)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "cutting off is what is wanted"
    )]
    Ok(number as i64)
}

fn number(operator: Operator, result: f64) -> Result<Value, RuleError> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53: below it a whole float is a whole number
    if result.fract() == 0.0 && result.abs() < EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        return Ok((result as i64).into());
    }
    Number::from_f64(result)
        .map(Value::Number)
        .ok_or(RuleError::NotFinite(operator.name()))
}

/// A value as part of a text; empty for null.
pub(super) fn push_text(text: &mut String, value: &Value) {
    match value {
        Value::Null => {}
        Value::String(part) => text.push_str(part),
        other => text.push_str(&other.to_string()),
    }
}

/// Characters of `text` from `start`, at most `length`; negative numbers count from the end.
pub(super) fn substr(text: &str, start: i64, length: Option<i64>) -> String {
    let count = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let from_end = |at: i64| if at < 0 { count.saturating_add(at) } else { at };
    let start = from_end(start).clamp(0, count);
    let end = match length {
        None => count,
        Some(length) if length < 0 => count.saturating_add(length),
        Some(length) => start.saturating_add(length),
    };
    let skip = usize::try_from(start).unwrap_or(usize::MAX);
    let take = usize::try_from(end.saturating_sub(start)).unwrap_or(0);
    text.chars().skip(skip).take(take).collect()
}
