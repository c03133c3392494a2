//! Errors of the JSON reader in plain words: its own speak of maps, sequences, variants and Rust's types.

use serde_json::Error;

/// Foreign text is shown up to this length.
const SHOWN_CHARACTERS: usize = 60;

/// What is wrong with a JSON text, and where: `field `cents` is missing (at byte 31)`.
pub(crate) fn explained(error: &Error) -> String {
    let what = what(error);
    match (error.line(), error.column()) {
        (0, _) | (1, 0) => what,
        (1, byte) => format!("{what} (at byte {byte})"),
        (line, byte) => format!("{what} (at line {line}, byte {byte})"),
    }
}

/// What is wrong with `subject`, a JSON text: `the payload is not JSON: a value is expected`.
#[cfg(feature = "pipeline")]
pub(crate) fn what_of(subject: &str, error: &Error) -> String {
    let what = what(error);
    match what.strip_prefix("it ") {
        Some(rest) => format!("{subject} {rest}"),
        None => format!("{subject}: {what}"),
    }
}

/// What is wrong with a JSON text or value.
pub(crate) fn what(error: &Error) -> String {
    let text = error.to_string();
    let told = match error.line() {
        0 => text.as_str(),
        _ => text
            .rsplit_once(" at line ")
            .map_or(text.as_str(), |(what, _)| what),
    };
    if error.is_eof() {
        return match (error.line(), error.column()) {
            (0 | 1, 0) => "it is empty".to_owned(),
            _ => "it ends before the JSON is complete".to_owned(),
        };
    }
    if error.is_syntax() {
        return syntax(told);
    }
    plain(told)
}

/// Text that is not JSON.
fn syntax(told: &str) -> String {
    match told {
        "expected value" => "it is not JSON: a value is expected".to_owned(),
        "expected ident" => "it is not JSON: `true`, `false` or `null` is expected".to_owned(),
        "trailing comma" => "it is not JSON: nothing follows the last comma".to_owned(),
        "trailing characters" => "something follows after the end of the JSON".to_owned(),
        "key must be a string" => "it is not JSON: keys are in double quotes".to_owned(),
        "recursion limit exceeded" => "it is nested too deep".to_owned(),
        told if told.starts_with("control character") => {
            "it is not JSON: a line break or another control character is in a text; write `\\n`"
                .to_owned()
        }
        told => format!("it is not JSON: {told}"),
    }
}

/// JSON that is not of the expected form.
pub(crate) fn plain(told: &str) -> String {
    let kind = |prefix| told.strip_prefix(prefix)?.split_once(", expected ");
    if let Some((found, wanted)) = kind("invalid type: ").or_else(|| kind("invalid value: ")) {
        return format!(
            "expected {}, found {}",
            expected(wanted),
            found_value(found)
        );
    }
    if let Some((length, wanted)) = kind("invalid length ") {
        return format!("expected {}, found {length} elements", expected(wanted));
    }
    if let Some((variant, known)) = kind("unknown variant ") {
        return format!("{} is not known here; expected {known}", cut(variant));
    }
    if let Some(rest) = told.strip_prefix("unknown field ") {
        let (field, known) = rest.split_once(", ").unwrap_or((rest, ""));
        let known = known.strip_prefix("expected ").unwrap_or(known);
        return format!("field {} is unknown; known: {known}", cut(field));
    }
    if let Some(field) = told.strip_prefix("missing field ") {
        return format!("field {field} is missing");
    }
    if let Some(field) = told.strip_prefix("duplicate field ") {
        return format!("field {field} occurs twice");
    }
    if told.starts_with("data did not match any variant") {
        return "it has none of the expected forms".to_owned();
    }
    cut(told)
}

/// What a reader expects.
fn expected(wanted: &str) -> String {
    let plain = match wanted {
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => "a non-negative whole number",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" => "a text",
        "a boolean" => "true or false",
        "a map" | "map" => "an object",
        "a sequence" | "sequence" => "a list",
        "unit" => "null",
        "string or map" => "a text or an object",
        "unit variant" => "a name without a value",
        "newtype variant" | "struct variant" | "tuple variant" => "a name with a value",
        other => return named(other),
    };
    plain.to_owned()
}

/// `struct Item` and the like: named after types of the program.
fn named(wanted: &str) -> String {
    let (kind, name) = wanted.split_once(' ').unwrap_or((wanted, ""));
    let name = name.split(' ').next().unwrap_or(name);
    match kind {
        "struct" => format!("an object, `{name}`"),
        "enum" => format!("one of the forms of `{name}`"),
        "variant" => format!("the value of `{name}`"),
        "tuple" => format!("a list, `{name}`"),
        _ => cut(wanted),
    }
}

/// What was found instead.
fn found_value(found: &str) -> String {
    let plain = match found {
        "map" => "an object",
        "sequence" => "a list",
        "null" | "unit value" => "null",
        "unit variant" => "a name without a value",
        "newtype variant" | "struct variant" | "tuple variant" => "a name with a value",
        other => {
            for kind in ["integer ", "floating point ", "boolean "] {
                if let Some(value) = other.strip_prefix(kind) {
                    return cut(value);
                }
            }
            return match other.strip_prefix("string ") {
                Some(text) => format!("the text {}", cut(text)),
                None => cut(other),
            };
        }
    };
    plain.to_owned()
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case", deny_unknown_fields)]
    enum Command {
        Add {
            #[expect(dead_code, reason = "only read")]
            name: String,
            #[expect(dead_code, reason = "only read")]
            cents: u64,
        },
        Rename(#[expect(dead_code, reason = "only read")] String),
        CheckOut,
    }

    fn told(json: &str) -> String {
        explained(&serde_json::from_str::<Command>(json).unwrap_err())
    }

    #[test]
    fn the_field_and_its_place_are_named_in_plain_words() {
        for (json, words) in [
            ("", "it is empty"),
            ("{", "it ends before the JSON is complete (at byte 1)"),
            ("hello", "it is not JSON: a value is expected (at byte 1)"),
            (
                "\"check_out\" now",
                "something follows after the end of the JSON (at byte 13)",
            ),
            (
                "{\"add\": {\"name\": \"tea\"}}",
                "field `cents` is missing (at byte 23)",
            ),
            (
                "{\"add\": {\"name\": 7, \"cents\": 1}}",
                "expected a text, found 7 (at byte 18)",
            ),
            (
                "{\"add\":\n {\"cents\": -1}}",
                "expected a non-negative whole number, found `-1` (at line 2, byte 13)",
            ),
            (
                "{\"add\": {\"nane\": 7}}",
                "field `nane` is unknown; known: `name` or `cents` (at byte 15)",
            ),
            (
                "\"checkout\"",
                "`checkout` is not known here; expected one of `add`, `rename`, `check_out` (at byte 10)",
            ),
            (
                "\"rename\"",
                "expected a name with a value, found a name without a value",
            ),
        ] {
            let found = told(json);
            // The reader counts integers' backticks differently in each of its errors.
            assert_eq!(found.replace('`', ""), words.replace('`', ""), "{json}");
        }
        assert!(matches!(
            serde_json::from_str("\"check_out\""),
            Ok(Command::CheckOut)
        ));
    }

    #[test]
    fn long_texts_are_cut() {
        let found = told(&format!("{{\"add\": \"{}\"}}", "x".repeat(500)));
        assert!(found.chars().count() < 200, "{found}");
    }
}
