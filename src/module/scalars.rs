//! Unquoted values as StateFun's YAML reader reads them: `yes` is true, `010` is eight, `1_000` a thousand.
//!
//! StateFun reads YAML 1.1, the rest of this module YAML 1.2. Documents of StateFun's own kinds are read as StateFun reads them.

use serde_json::Number;

use crate::document::{Complaint, Finding, Findings, Node, Value, join};

/// Reads `node` and everything below it as StateFun does, and warns where that may surprise.
pub(super) fn as_statefun(node: &mut Node, path: &str, findings: &Findings) {
    match &mut node.value {
        Value::List(items) => {
            for (n, item) in items.iter_mut().enumerate() {
                as_statefun(item, &format!("{path}[{n}]"), findings);
            }
        }
        Value::Map(entries) => {
            for (key, value) in entries {
                as_statefun(value, &join(path, &key.name), findings);
            }
        }
        _ if !node.is_plain => {}
        _ => {
            let Some(written) = written(node) else { return };
            let Some(value) = resolve(&written) else {
                let file = &node.location.file;
                let text = format!(
                    "Failed loading a module at {file}: Malformed numeric value '{written}'"
                );
                let complaint = Complaint::with_remedy(text, "put it in quotes");
                findings.fault(Finding::new(node.location.clone(), path, complaint));
                return;
            };
            if let Some(remark) = remark(&written, &value) {
                findings.warning(Finding::new(node.location.clone(), path, remark));
            }
            // Text may still contain a placeholder; other values are final.
            node.is_plain = matches!(value, Value::Text(_));
            node.value = value;
        }
    }
}

fn written(node: &Node) -> Option<String> {
    match (&node.written, &node.value) {
        (Some(written), _) => Some(written.to_string()),
        (None, Value::Text(text)) => Some(text.clone()),
        _ => None,
    }
}

/// A warning, if the author may have meant something else.
fn remark(written: &str, value: &Value) -> Option<Complaint> {
    let read = match value {
        Value::Bool(value) if written.to_lowercase() != value.to_string() => value.to_string(),
        Value::Number(number) if written.starts_with(['0', '+', '-']) && !number.is_f64() => {
            number.to_string()
        }
        _ => return None,
    };
    (read != written && written.trim_start_matches('+') != read).then(|| {
        Complaint::with_remedy(
            format!("`{written}` without quotes is read as {read}, as in StateFun"),
            format!("write {read}, or put it in quotes"),
        )
    })
}

/// The value of an unquoted scalar; `None` if StateFun cannot read the file.
fn resolve(text: &str) -> Option<Value> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Value::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        _ if is_not_finite(text) => return None,
        _ => number(text).map_or_else(|| Value::Text(text.to_owned()), Value::Number),
    })
}

fn is_not_finite(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN")
}

fn number(text: &str) -> Option<Number> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match (digits.get(..2), digits.get(2..)) {
        (Some("0x"), Some(rest)) => (16, rest),
        (Some("0b"), Some(rest)) => (2, rest),
        _ if digits.len() > 1
            && digits.starts_with('0')
            && digits.chars().all(|c| matches!(c, '0'..='7' | '_')) =>
        {
            (8, digits)
        }
        _ => (10, digits),
    };
    let starts_right =
        radix == 16 || radix == 2 || digits.starts_with(|c: char| c.is_ascii_digit());
    let plain: String = digits.chars().filter(|c| *c != '_').collect();
    if starts_right && let Ok(value) = i128::from_str_radix(&plain, radix) {
        let value = if is_negative { -value } else { value };
        let leading_zero = radix == 10 && digits.len() > 1 && digits.starts_with('0');
        return if plain.starts_with(['+', '-']) || leading_zero {
            None
        } else {
            Number::from_i128(value)
        };
    }
    float(text)
}

/// Digits with a point, an exponent or both.
fn float(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let first = unsigned.strip_prefix('.').unwrap_or(unsigned);
    let allowed = |c: char| c.is_ascii_digit() || matches!(c, '_' | '.' | 'e' | 'E' | '+' | '-');
    if !first.starts_with(|c: char| c.is_ascii_digit()) || !text.chars().all(allowed) {
        return None;
    }
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    Number::from_f64(plain.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match resolve(text) {
            None => "not readable".to_owned(),
            Some(Value::Text(text)) => format!("'{text}'"),
            Some(value) => Node::made(super::super::Location::file(""), value)
                .to_json()
                .to_string(),
        }
    }

    /// The results of the real runtime's reader.
    #[test]
    fn scalars_without_quotes_are_read_as_by_statefun() {
        for (text, expected) in [
            ("y", "'y'"),
            ("yes", "true"),
            ("YES", "true"),
            ("yEs", "'yEs'"),
            ("off", "false"),
            ("oN", "'oN'"),
            ("tRue", "'tRue'"),
            ("~", "null"),
            ("nUll", "'nUll'"),
            ("010", "8"),
            ("0777_", "511"),
            ("08", "'08'"),
            ("00", "0"),
            ("-010", "-8"),
            ("0x10", "16"),
            ("+0x1F", "31"),
            ("0x_1", "1"),
            ("0x", "'0x'"),
            ("0xG", "'0xG'"),
            ("0b11", "3"),
            ("0b2", "'0b2'"),
            ("0o17", "'0o17'"),
            ("1_000", "1000"),
            ("1_", "1"),
            ("_1", "'_1'"),
            ("+5", "5"),
            ("-0", "0"),
            ("+", "'+'"),
            ("--5", "'--5'"),
            ("9_223_372_036_854_775_808", "9223372036854775808"),
            ("1.50", "1.5"),
            ("1.", "1.0"),
            (".5", "0.5"),
            ("1e3", "1000.0"),
            ("1e", "'1e'"),
            ("e3", "'e3'"),
            ("07.5", "7.5"),
            ("1..2", "'1..2'"),
            ("1:30", "'1:30'"),
            ("2001-01-01", "'2001-01-01'"),
            (".inf", "not readable"),
            ("-.INF", "not readable"),
            (".NaN", "not readable"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
