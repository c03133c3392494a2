//! Makes text from outside safe to print: the answer of a destination must not move the cursor, fake a line or hide what follows.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// Writes a character in its escaped form.
type Escape = fn(&mut String, char);

/// Characters that control a terminal, break a line or change the text direction.
///
/// ```
/// use stateful_functions::printable::is_unprintable;
/// assert!(is_unprintable('\u{1b}') && is_unprintable('\u{202e}'));
/// assert!(!is_unprintable('ä'));
/// ```
pub const fn is_unprintable(char: char) -> bool {
    matches!(char,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The text on one line, with such characters escaped: `\n`, `\u{1b}`.
///
/// ```
/// assert_eq!(stateful_functions::printable::text("no\u{1b}[2J\nway"), r"no\u{1b}[2J\nway");
/// ```
pub fn text(text: &str) -> Cow<'_, str> {
    escaped(text, is_unprintable, |out, char| {
        out.extend(char.escape_default());
    })
}

/// Like [`text`], but keeps line breaks.
pub fn lines(text: &str) -> Cow<'_, str> {
    let is_unprintable = |char| char != '\n' && is_unprintable(char);
    escaped(text, is_unprintable, |out, char| {
        out.extend(char.escape_default());
    })
}

/// Equivalent JSON, with such characters escaped as `\u001b`. Line ends between values stay.
pub fn json(json: &str) -> Cow<'_, str> {
    let is_unprintable = |char| char != '\n' && is_unprintable(char);
    escaped(json, is_unprintable, |out, char| {
        // All of them are in the basic plane. Writing to a string cannot fail.
        let _ = write!(out, "\\u{:04x}", u32::from(char));
    })
}

/// The first non-blank line of a text, made printable and cut to `max_chars` characters, with an ellipsis if it was longer.
pub fn first_line(text: &str, max_chars: usize) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    let line = line.unwrap_or_default();
    let mut kept: String = self::text(line)
        .chars()
        .take(max_chars.saturating_add(1))
        .collect();
    if kept.chars().nth(max_chars).is_some() {
        kept.pop();
        kept.push('…');
    }
    kept
}

/// Like [`first_line`], for bytes that may not be text: compressed or binary data is described by its size.
///
/// ```
/// use stateful_functions::printable::first_line_of;
/// assert_eq!(first_line_of(b"no such table\nat line 7", 100), "no such table");
/// assert_eq!(first_line_of(b"\x1f\x8b\x08\x00\x00\x00\x00\x00", 100), "(binary, 8 bytes)");
/// ```
pub fn first_line_of(bytes: &[u8], max_chars: usize) -> String {
    let start = bytes.get(..LOOKED_AT).unwrap_or(bytes);
    let text = String::from_utf8_lossy(start);
    let is_unreadable = |char: &char| {
        *char == char::REPLACEMENT_CHARACTER || (char.is_control() && !char.is_whitespace())
    };
    let unreadable = text.chars().filter(is_unreadable).count();
    // A few foreign characters, or what steers a terminal, leave a text readable.
    if start.contains(&0) || unreadable * 4 > text.chars().count() {
        return format!("(binary, {})", counted(bytes.len(), "byte"));
    }
    first_line(&text, max_chars)
}

/// Bytes searched for a first line.
const LOOKED_AT: usize = 4096;

/// A number with its noun: `1 value`, `2 values`, `0 addresses`.
///
/// ```
/// use stateful_functions::printable::counted;
/// assert_eq!(counted(1_u64, "row"), "1 row");
/// assert_eq!(counted(0_u64, "address"), "0 addresses");
/// ```
pub fn counted(count: impl TryInto<u64> + fmt::Display + Copy, noun: &str) -> String {
    match count.try_into() {
        Ok(1) => format!("1 {noun}"),
        _ if noun.ends_with('s') => format!("{count} {noun}es"),
        _ => format!("{count} {noun}s"),
    }
}

fn escaped(text: &str, is_unprintable: impl Fn(char) -> bool, escape: Escape) -> Cow<'_, str> {
    if !text.contains(&is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        if is_unprintable(char) {
            escape(&mut out, char);
        } else {
            out.push(char);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped_and_all_else_is_kept() {
        assert!(matches!(text("grün, 緑, 🟢"), Cow::Borrowed(_)));
        assert_eq!(
            text("a\u{1b}]0;x\u{7}\r\n\t\u{9b}2J\u{7f}"),
            r"a\u{1b}]0;x\u{7}\r\n\t\u{9b}2J\u{7f}"
        );
        assert_eq!(
            text("user\u{202e}gpj.exe\u{2028}"),
            r"user\u{202e}gpj.exe\u{2028}"
        );
        assert_eq!(lines("one\n\u{1b}two"), "one\n\\u{1b}two");
    }

    #[test]
    fn cleaned_json_means_the_same() {
        let value = serde_json::json!({"a\u{9b}": ["\u{7f}\u{1b}[2J", "x\u{202e}y\n"]});
        let cleaned = json(&value.to_string()).into_owned();
        assert!(!cleaned.contains(is_unprintable), "{cleaned}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&cleaned).unwrap(),
            value
        );
    }

    #[test]
    fn bytes_that_are_not_text_are_shown_as_their_size() {
        let gzip = [0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 5, 0xff, 0xfe, 0x9c];
        assert_eq!(first_line_of(&gzip, 100), "(binary, 12 bytes)");
        assert_eq!(first_line_of(&[0x9c], 100), "(binary, 1 byte)");
        assert_eq!(
            first_line_of(b"ung\xfcltiger Wert", 100),
            "ung\u{fffd}ltiger Wert"
        );
        assert_eq!(first_line_of(b"no\x1b[2Jway", 100), r"no\u{1b}[2Jway");
        assert_eq!(first_line_of(b"", 100), "");
    }

    #[test]
    fn the_first_line_is_cut() {
        assert_eq!(
            first_line("\r\n  quota exceeded \r\nmore", 100),
            "quota exceeded"
        );
        assert_eq!(first_line("abcdef", 6), "abcdef");
        assert_eq!(first_line("abcdefg", 6), "abcdef…");
        assert_eq!(first_line("\u{1b}[31mred", 100), r"\u{1b}[31mred");
        assert_eq!(first_line("", 6), "");
    }
}
