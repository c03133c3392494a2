//! JSON as YAML that people read: a line per key, in the order of the keys.

use serde_json::Value;

pub(super) fn of(document: &Value) -> String {
    let mut text = String::new();
    write(document, 0, &mut text);
    text
}

fn write(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                out.push_str(&format!("{indent}{}:", scalar(key)));
                write_below(value, depth, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                out.push_str(&format!("{indent}-"));
                write_below(item, depth, out);
            }
        }
        other => out.push_str(&format!("{indent}{other}\n")),
    }
}

/// The value of a key or an item: on the same line if it is simple or empty.
fn write_below(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            out.push('\n');
            write(value, depth + 1, out);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            write(value, depth + 1, out);
        }
        Value::String(text) => out.push_str(&format!(" {}\n", scalar(text))),
        other => out.push_str(&format!(" {other}\n")),
    }
}

/// Text without quotes if nothing in it can be something else.
fn scalar(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(is_plain);
    let is_taken = [
        "true", "false", "null", "yes", "no", "on", "off", "y", "n", "t", "f",
    ];
    match is_word && !is_taken.contains(&text.to_ascii_lowercase().as_str()) {
        true => text.to_owned(),
        false => Value::from(text).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_could_be_something_else_has_quotes() {
        let document = json!({"a": {"b c": "x: y", "empty": {}, "no": "no", "word": "post"}, "n": [1, {"k": "1"}]});
        let expected = "a:\n  \"b c\": \"x: y\"\n  empty: {}\n  \"no\": \"no\"\n  word: post\n\"n\":\n  - 1\n  -\n    k: \"1\"\n";
        assert_eq!(of(&document), expected);
    }
}
