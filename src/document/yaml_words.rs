//! Errors of the YAML reader in plain words. Its own speak of scalars, flow collections and the types of its programs.

/// A part of the reader's text, and what to say instead. The first that fits counts.
const WORDS: &[(&str, &str)] = &[
    (
        "null into string",
        "a key is missing: there is nothing before the `:`; a key that is `null` or `~` needs quotes",
    ),
    (
        "weak recursion",
        "an alias (`*name`) is inside the value that it names",
    ),
    (
        "unknown anchor",
        "`*name` needs a `&name` before it; a text that begins with `*` needs quotes",
    ),
    ("misplaced bracket", "a `]` or `}` closes nothing"),
    ("mapping end with no start", "a `]` or `}` closes nothing"),
    ("unclosed quote", "a quote is not closed"),
    (
        "document indicator",
        "a quote is not closed before the next document",
    ),
    (
        "mapping values are not allowed",
        "a `:` is not expected here; check the indentation, and put a text with `: ` in quotes",
    ),
    (
        "mapping keys are not allowed",
        "a key is not expected here; check the indentation",
    ),
    (
        "expected key",
        "a key is expected here; check the indentation",
    ),
    ("expected ',' or '}'", "`,` or `}` is expected here"),
    ("expected ',' or ']'", "`,` or `]` is expected here"),
    (
        "expected '-' indicator",
        "`- ` is expected here; check the indentation",
    ),
    ("simple key", "a key needs a `:` after it, in the same line"),
    (
        "tab",
        "there is a tab where only spaces may be, such as in the indentation",
    ),
    (
        "folded block scalars must indent",
        "the text after `>` must be indented",
    ),
    (
        "indentation indicator",
        "the number after `|` or `>` is 1 to 9",
    ),
    (
        "while scanning a block scalar",
        "after `|` or `>` the text begins in the next line",
    ),
    (
        "wrongly indented",
        "the indentation of the text after `|` or `>` is wrong",
    ),
    ("indentation", "the indentation is wrong"),
    (
        "block sequence entries",
        "a list (`- `) cannot begin here; check the indentation",
    ),
    (
        "only valid inside a block",
        "`- ` cannot be inside `[]` or `{}`",
    ),
    ("'-' must be followed", "`-` needs a space after it"),
    ("':' must be followed", "`:` needs a space after it"),
    ("':'", "a `:` is not expected here"),
    (
        "comment intercepting",
        "a comment is inside a text of several lines",
    ),
    ("comments must be", "a comment needs a space before its `#`"),
    (
        "trailing content after",
        "something follows after a closing quote",
    ),
    (
        "unknown escape",
        "an escape in double quotes is unknown; write `\\\\` for a backslash, or use single quotes",
    ),
    (
        "while parsing a quoted scalar",
        "an escape in double quotes is not valid",
    ),
    ("eof", "the file ends too early"),
    ("end of input", "the file ends too early"),
    ("node content", "a value is expected here"),
    ("plain scalar", "a text that begins like this needs quotes"),
    ("document start", "`---` is expected between two documents"),
    (
        "document end marker",
        "`---` is expected between two documents",
    ),
    (
        "directive",
        "a `%` directive cannot be read; a text that begins with `%` needs quotes",
    ),
    (
        "anchor or alias",
        "`&` and `*` need a name; a text that begins with them needs quotes",
    ),
    ("merge value", "`<<` takes a mapping, or a list of mappings"),
    (
        "alias",
        "its aliases stand for more values than are read; write the values out",
    ),
    (
        "bom must not",
        "a byte order mark is inside the file; remove it",
    ),
    ("!!binary", "a `!!binary` value is not text in base64"),
    (
        "tag",
        "a tag (`!…`) cannot be read here; a text that begins with `!` needs quotes",
    ),
    ("recursion limit", "it is nested too deep"),
    (
        "expected string",
        "a key must be a text, not a list or a mapping",
    ),
    (
        "expected scalar",
        "a key must be a text, not a list or a mapping",
    ),
    ("not valid utf-8", "it is not UTF-8; save it as UTF-8"),
];

/// What the reader said about a file, in plain words and without its place.
pub(super) fn plain(told: &str) -> String {
    let told = told
        .rsplit_once(" at line ")
        .map_or(told, |(what, _)| what)
        .trim_start_matches("error: ");
    if let Some(pair) = told.strip_prefix("mismatched bracket ") {
        let (open, close) = pair.split_once(" closed by ").unwrap_or((pair, ""));
        return format!("{} is closed by {}", ticked(open), ticked(close));
    }
    if let Some(open) = told.strip_prefix("unclosed bracket ") {
        return format!("{} is not closed", ticked(open));
    }
    if let Some(found) = told.strip_prefix("unexpected character: ") {
        return format!("a text that begins with {} needs quotes", ticked(found));
    }
    let lower = told.to_lowercase();
    let known = WORDS.iter().find(|(part, _)| lower.contains(part));
    known.map_or_else(|| told.to_owned(), |(_, words)| (*words).to_owned())
}

fn ticked(quoted: &str) -> String {
    format!("`{}`", quoted.trim_matches(['\'', '`']))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Findings;
    use super::super::repeated::Repeated;
    use super::super::yaml;
    use super::*;

    /// Words that only readers of YAML's grammar, or of the program, know.
    const JARGON: &[&str] = &[
        "scalar",
        "flow",
        "node",
        "option",
        "serializ",
        "type",
        "policy",
        "event",
        "breach",
        "token",
        "indicator",
        "while",
        "eof",
        "context",
        "surrogate",
        "at line",
    ];

    #[test]
    fn broken_files_are_reported_in_plain_words() {
        for text in [
            "a: [1, 2\n",
            "a: [1, 2}\n",
            "a: 1]\n",
            "a: ]\n",
            "a: {b: 1\n",
            "a: 'x\n",
            "a: \"x\n",
            "a: \"\\q\"\n",
            "a: \"\\u12\"\n",
            "a: 'x' y\n",
            "a: b: c\n",
            "a: 1\n b: 2\n",
            "a:\n  - 1\n - 2\n",
            "a:\n  b: 1\n c: 2\n",
            "- a\nb: 1\n",
            "a: - 1\n",
            "a: [- 1]\n",
            "a: *b\n",
            "a: &x [*x]\n",
            "a: &x {b: *x}\n",
            "a: @b\n",
            "a: `b\n",
            "a: %b\n%X\n",
            "a: &\n",
            "a: * b\n",
            "a: !<x\n",
            "a: !!binary '?'\n",
            "~: 1\n",
            ": 1\n",
            "? [a]\n: 1\n",
            "{[a]: 1}\n",
            "? {a: b}\n: 1\n",
            "a\n",
            "a\nb: 1\n",
            "a: |x\n  y\n",
            "a: |0\n  y\n",
            "a: >\nb\n",
            "\ta: 1\n",
            "a:\n\tb: 1\n",
            "a: 1\n...\nb\n",
            "<<: 1\n",
            "a: [b, , c]\n",
            "a: {b c: 1 d: 2}\n",
            "a: b#c\n  d: e\n",
            "a: \"x\ny: z\n",
            "a: 1\n---\n'x\n",
            "%YAML 3.0\n---\na: 1\n",
            "%YAML 1.2\n%YAML 1.2\n---\na: 1\n",
            "%TAG ! x\n---\na: !y!z 1\n",
        ] {
            let findings = Findings::default();
            yaml::parse("m.yaml", text, Repeated::LastCounts, &findings);
            for fault in findings.into_parts().0 {
                let told = fault.message.clone();
                let lower = told.to_lowercase();
                let jargon: Vec<_> = JARGON.iter().filter(|word| lower.contains(*word)).collect();
                assert!(jargon.is_empty(), "{text:?}: {told}: {jargon:?}");
            }
        }
    }

    #[test]
    fn brackets_are_named_and_what_is_unknown_is_passed_on() {
        for (told, words) in [
            (
                "unclosed bracket '[' at line 7, column 7",
                "`[` is not closed",
            ),
            (
                "mismatched bracket '[' closed by '}'",
                "`[` is closed by `}`",
            ),
            (
                "unexpected character: `@'",
                "a text that begins with `@` needs quotes",
            ),
            ("something new at line 1, column 2", "something new"),
        ] {
            assert_eq!(plain(told), words);
        }
    }
}
