//! From YAML to the tree. The only file that names the YAML crate.

use std::fmt;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Location as YamlLocation, Options, Spanned};

use super::finding::{Complaint, Finding, Findings, Location};
use super::node::{Key, Node, Value};
use super::repeated::Repeated;
use super::yaml_words;

/// A module file is small; these bounds keep a hostile one from using up time or memory.
const MAX_NODES: usize = 50_000;
const MAX_DEPTH: usize = 64;
const MAX_DOCUMENTS: usize = 1_000;

/// The documents of `text`, without empty ones.
///
/// An unreadable document is a fault; it does not hide the documents before and after it, as far as the syntax allows. If a key occurs
/// twice in a mapping, the last one counts, as in StateFun.
pub(crate) fn parse(file: &str, text: &str, repeated: Repeated, findings: &Findings) -> Vec<Node> {
    let file: Arc<str> = file.into();
    let mut documents = Vec::new();
    let placing = Placing {
        file: file.clone(),
        lines: text.lines().collect(),
    };
    let mut bytes = text.as_bytes();
    for document in serde_saphyr::read_with_options::<_, Spanned<Raw>>(&mut bytes, options()) {
        match document {
            Ok(raw) => documents.push(placing.node(raw)),
            Err(err) => findings.fault(syntax_fault(&placing, &err)),
        }
    }
    let documents = repeated.resolve(documents, findings);
    for (n, line) in (1..).zip(&placing.lines) {
        if let Some(column) = separating_tab(line) {
            let text = "StateFun's YAML reader takes no tabs between tokens";
            let complaint = Complaint::with_remedy(text, "write spaces");
            let location = Location {
                file: file.clone(),
                line: n,
                column,
            };
            findings.not_for_flink(Finding::new(location, "", complaint));
        }
    }
    documents
}

/// The column of a tab used as separator or indentation.
fn separating_tab(line: &str) -> Option<u32> {
    let mut before = ' ';
    for (column, c) in (1..).zip(line.chars()) {
        match c {
            '#' | '"' | '\'' => return None,
            '\t' if matches!(before, ' ' | ':' | '-' | ',' | '[' | '{') => return Some(column),
            _ => before = c,
        }
    }
    None
}

/// The number of documents in `text`, including empty ones.
pub(crate) fn count(text: &str) -> usize {
    let is_marker = |line: &&str| {
        line.strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
    };
    let is_content = |line: &&str| {
        let line = line.trim_start_matches('\u{feff}').trim_start();
        !line.is_empty() && !line.starts_with(['#', '%'])
    };
    let before = text.lines().take_while(|line| !is_marker(line));
    text.lines().filter(is_marker).count()
        + usize::from(before.clone().any(|line| is_content(&line)))
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: MAX_NODES,
            max_events: MAX_NODES * 3,
            max_depth: MAX_DEPTH,
            max_documents: MAX_DOCUMENTS,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_NODES },
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        with_snippet: false,
    }
}

fn syntax_fault(placing: &Placing<'_>, err: &serde_saphyr::Error) -> Finding {
    let file = &placing.file;
    let location = match err.location() {
        Some(found) => location_in(file, found),
        None => Location::file(file),
    };
    let message = match beyond_bounds(err) {
        Some(text) => text,
        None => {
            let told = yaml_words::plain(&err.without_snippet().to_string());
            let told: String = told.chars().take(300).collect();
            format!("it is not readable as YAML: {told}")
        }
    };
    let upstream = format!("Failed loading a module at {file}: {message}");
    let line = index(location.line.into());
    let around = placing
        .lines
        .iter()
        .take(line + 1)
        .skip(line.saturating_sub(1));
    let complaint = Complaint {
        remedy: around.rev().find_map(|line| unquoted_placeholder(line)),
        ..Complaint::from(message).upstream(upstream)
    };
    Finding::new(location, "", complaint)
}

/// Which bound of this reader the file is beyond, if it is one.
fn beyond_bounds(err: &serde_saphyr::Error) -> Option<String> {
    let serde_saphyr::Error::Budget { breach, .. } = err.without_snippet() else {
        return None;
    };
    Some(match breach {
        BudgetBreach::Depth { .. } => {
            format!("it is nested deeper than {MAX_DEPTH} levels; that much is not read")
        }
        BudgetBreach::Documents { .. } => {
            format!("it has more than {MAX_DOCUMENTS} documents; split the file")
        }
        BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. } => {
            format!("it has more than {MAX_NODES} keys and values; split the file")
        }
        _ => "it has more aliases, anchors, merge keys or text than are read; split the file"
            .to_owned(),
    })
}

/// What to do about a placeholder without quotes inside braces or brackets, where its own braces end the mapping.
fn unquoted_placeholder(line: &str) -> Option<String> {
    let at = line.find("${")?;
    let (before, from) = line.split_at(at);
    let end = from.find('}')?;
    let placeholder = from.get(..=end)?;
    let is_quoted = before.ends_with(['\'', '"']);
    let is_in_flow = before.contains(['{', '[']);
    (!is_quoted && is_in_flow)
        .then(|| format!("inside {{}} and [] a placeholder needs quotes: write \"{placeholder}\""))
}

fn location_in(file: &Arc<str>, found: YamlLocation) -> Location {
    Location {
        file: file.clone(),
        line: u32::try_from(found.line()).unwrap_or(u32::MAX),
        column: u32::try_from(found.column()).unwrap_or(u32::MAX),
    }
}

/// The nodes from serde, before the file's name is known.
#[derive(Debug)]
enum Raw {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<RawKey>, Spanned<Raw>)>),
}

#[derive(Debug)]
struct RawKey(String);

/// Turns the nodes from serde into the tree.
struct Placing<'a> {
    file: Arc<str>,
    lines: Vec<&'a str>,
}

impl Placing<'_> {
    fn node(&self, raw: Spanned<Raw>) -> Node {
        let is_plain = !self.is_quoted(raw.defined);
        let is_alias = raw.referenced != raw.defined;
        let written = match &raw.value {
            Raw::Bool(_) | Raw::Number(_) if is_plain => self.word(raw.defined),
            // A number that is too large for one has become `.inf`.
            Raw::Text(text) if is_plain && text.ends_with(".inf") => self.word(raw.defined),
            // If there is no value at all, something else is at this position.
            Raw::Null => self
                .word(raw.defined)
                .filter(|word| word.eq_ignore_ascii_case("null"))
                .or_else(|| Some("".into())),
            _ => None,
        };
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Bool(value) => Value::Bool(value),
            Raw::Number(value) => Value::Number(value),
            Raw::Text(value) => Value::Text(value),
            Raw::List(items) => Value::List(items.into_iter().map(|raw| self.node(raw)).collect()),
            Raw::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| (self.key(key), self.node(value)))
                    .collect(),
            ),
        };
        Node {
            location: location_in(&self.file, raw.referenced),
            value,
            is_plain,
            written,
            is_alias,
        }
    }

    /// The text at `at`, up to the end of a number.
    fn word(&self, at: YamlLocation) -> Option<Box<str>> {
        let rest: String = self.line(at)?.chars().skip(index(at.column())).collect();
        let end = rest.find([' ', '\t', ',', ']', '}', '#', '\r']);
        rest.get(..end.unwrap_or(rest.len())).map(Into::into)
    }

    fn line(&self, at: YamlLocation) -> Option<&str> {
        self.lines.get(index(at.line())).copied()
    }

    fn key(&self, key: Spanned<RawKey>) -> Key {
        Key {
            location: location_in(&self.file, key.referenced),
            name: key.value.0,
        }
    }

    fn is_quoted(&self, at: YamlLocation) -> bool {
        let first = self
            .line(at)
            .and_then(|line| line.chars().nth(index(at.column())));
        matches!(first, Some('"' | '\'' | '|' | '>'))
    }
}

/// An index from a number counted from 1.
fn index(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX).saturating_sub(1)
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Number::from_f64(value).map_or_else(|| Raw::Text(value.to_string()), Raw::Number))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

impl<'de> Deserialize<'de> for RawKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documents, the faults and the warnings.
    fn parsed(text: &str) -> (Vec<Node>, Vec<String>, Vec<String>) {
        let findings = Findings::default();
        let documents = parse("m.yaml", text, Repeated::LastCounts, &findings);
        let (faults, warnings, _) = findings.into_parts();
        let texts = |found: Vec<Finding>| found.iter().map(ToString::to_string).collect();
        (documents, texts(faults), texts(warnings))
    }

    fn found<'a>(node: &'a Node, path: &[&str]) -> &'a Node {
        path.iter().fold(node, |node, key| node.get(key).unwrap())
    }

    fn one(text: &str) -> Node {
        let (mut documents, faults, warnings) = parsed(text);
        assert_eq!((documents.len(), faults, warnings), (1, vec![], vec![]));
        documents.remove(0)
    }

    #[test]
    fn every_key_and_value_keeps_its_line_and_column() {
        let text = "# a comment\nkind: a/b\nspec:\n  list:\n    - x: 1\n---\nkind: c/d\n";
        let (documents, faults, _) = parsed(text);
        assert_eq!((documents.len(), faults), (2, vec![]));
        let spec = documents[0].get("spec").unwrap();
        let Value::List(items) = &spec.get("list").unwrap().value else {
            panic!("a list");
        };
        let Value::Map(entries) = &items[0].value else {
            panic!("a mapping");
        };
        assert_eq!(entries[0].0.location.to_string(), "m.yaml:5:7");
        assert_eq!(entries[0].1.location.to_string(), "m.yaml:5:10");
        let kind = documents[1].get("kind").unwrap();
        assert_eq!(kind.location.to_string(), "m.yaml:7:7");
    }

    #[test]
    fn too_deep_nesting_is_reported_in_plain_words() {
        let text = format!("a: {}1{}\n", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        // Without optimisations each level takes more of the stack than a test's thread has.
        let large = std::thread::Builder::new().stack_size(16 << 20);
        let faults = large.spawn(move || parsed(&text).1).unwrap();
        let faults = faults.join().unwrap();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(
            faults[0].contains("nested deeper than 64 levels"),
            "{faults:?}"
        );
    }

    #[test]
    fn of_a_repeated_key_the_last_counts_with_a_warning_that_names_both_lines() {
        let (documents, faults, warnings) =
            parsed("a: 1\na: 2\nb: {c: 1, c: 2, c: 3}\n---\nd: 1\n");
        assert_eq!((documents.len(), faults), (2, vec![]));
        assert_eq!(
            documents[0].to_json(),
            serde_json::json!({"a": 2, "b": {"c": 3}})
        );
        assert_eq!(
            warnings,
            [
                "m.yaml:2:1: `a`: key `a` occurs again; this one counts (the first is in line 1; keep one of them)",
                "m.yaml:3:11: `b.c`: key `c` occurs again; this one counts (the first is in line 3; keep one of them)",
                "m.yaml:3:17: `b.c`: key `c` occurs again; this one counts (the first is in line 3; keep one of them)",
            ]
        );
    }

    #[test]
    fn only_true_and_false_are_booleans_and_odd_numbers_stay_text() {
        let node = one("a: no\nb: true\nc: 0755\nd: 1_000\ne: .nan\nf: 12\ng: '12'\nh:\n");
        assert_eq!(
            node.to_json(),
            serde_json::json!({"a": "no", "b": true, "c": "0755", "d": "1_000", "e": ".nan", "f": 12, "g": "12", "h": null})
        );
    }

    #[test]
    fn quotes_are_remembered() {
        let node = one("a: ${X}\nb: '${X}'\nc: \"${X}\"\nd: [x, '${X}']\n");
        assert!(node.get("a").unwrap().is_plain);
        assert!(!node.get("b").unwrap().is_plain);
        assert!(!node.get("c").unwrap().is_plain);
        let Value::List(items) = &node.get("d").unwrap().value else {
            panic!("a list");
        };
        assert_eq!((items[0].is_plain, items[1].is_plain), (true, false));
    }

    #[test]
    fn a_syntax_error_has_a_place_and_keeps_the_documents_before_it() {
        let (documents, faults, _) = parsed("a: 1\n---\nb: [1, 2\n");
        assert_eq!(documents.len(), 1);
        assert_eq!(faults.len(), 1);
        let text = &faults[0];
        assert!(text.starts_with("m.yaml:"), "{text}");
        assert!(text.contains("not readable as YAML"), "{text}");
    }

    #[test]
    fn empty_documents_are_skipped_and_an_empty_file_is_empty() {
        assert_eq!(parsed("").0.len(), 0);
        assert_eq!(parsed("---\n---\na: 1\n---\n").0.len(), 1);
    }

    #[test]
    fn documents_are_counted_with_the_empty_ones() {
        for (text, expected) in [
            ("", 0),
            ("# a comment\n", 0),
            ("a: 1\n", 1),
            ("---\na: 1\n", 1),
            ("%YAML 1.2\n---\na: 1\n...\n", 1),
            ("a: 1\n---\n", 2),
            ("---\n---\na: ---\n", 2),
        ] {
            assert_eq!(count(text), expected, "{text}");
        }
    }

    #[test]
    fn aliases_and_merged_entries_are_marked() {
        let node = one("a: &x {k: 1}\nb: *x\nc: {<<: *x, d: 2}\n");
        let is_alias = |path: &[&str]| found(&node, path).is_alias;
        assert!(!is_alias(&["a"]) && !is_alias(&["a", "k"]) && is_alias(&["b"]));
        assert!(is_alias(&["c", "k"]) && !is_alias(&["c", "d"]));
    }

    #[test]
    fn tabs_between_tokens_are_distinguished_from_tabs_in_texts() {
        for (line, expected) in [
            ("a:\tb", Some(3)),
            ("\ta: b", Some(1)),
            ("- \ta", Some(3)),
            ("a: b\tc", None),
            ("a: '\t'", None),
            ("a: b # \t", None),
        ] {
            assert_eq!(separating_tab(line), expected, "{line:?}");
        }
    }

    #[test]
    fn plain_numbers_keep_how_they_are_written() {
        let node = one("a: 0x10\nb: [1.50, '7']\nc: ~\nd:\n");
        let written = |key: &str| node.get(key).unwrap().written.as_deref();
        assert_eq!(written("a"), Some("0x10"));
        let Value::List(items) = &node.get("b").unwrap().value else {
            panic!("a list");
        };
        assert_eq!(items[0].written.as_deref(), Some("1.50"));
        assert_eq!(items[1].written.as_deref(), None);
        assert_eq!((written("c"), written("d")), (Some(""), Some("")));
    }

    #[test]
    fn aliases_are_followed_and_a_bomb_is_refused() {
        let node = one("a: &x {k: 1}\nb: *x\n");
        assert_eq!(
            node.to_json(),
            serde_json::json!({"a": {"k": 1}, "b": {"k": 1}})
        );
        let mut bomb = "l0: &l0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for n in 1..8 {
            let row = vec![format!("*l{}", n - 1); 10].join(",");
            bomb.push_str(&format!("l{n}: &l{n} [{row}]\n"));
        }
        assert_eq!(parsed(&bomb).1.len(), 1);
    }
}
