//! YAML text to a small tree that knows where everything stands. The only file that names the YAML crate.

use std::fmt;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Location, Options, Spanned};

use super::finding::{Complaint, Finding, Place};

/// A module file is small; these bounds keep a hostile one from using up time or memory.
const MAX_NODES: usize = 50_000;
const MAX_DEPTH: usize = 64;
const MAX_DOCUMENTS: usize = 1_000;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
    /// Written without quotes, so that its text decides its type.
    pub(super) is_plain: bool,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// The key of an entry and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) place: Place,
    pub(super) name: String,
}

impl Node {
    /// What kind of value this is, in the words of a message.
    pub(super) const fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The value of `key` in a mapping.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Value::Map(entries) = &self.value else {
            return None;
        };
        entries.iter().find(|(k, _)| k.name == key).map(|(_, v)| v)
    }

    /// The node that as much of `path` as exists leads to, such as `stages[2].http-export.url`.
    pub(super) fn at(&self, path: &str) -> &Self {
        let path = path.trim_start_matches('.');
        match &self.value {
            Value::List(items) => {
                let index = path.strip_prefix('[').and_then(|rest| rest.split_once(']'));
                let Some((Ok(n), rest)) = index.map(|(n, rest)| (n.parse::<usize>(), rest)) else {
                    return self;
                };
                items.get(n).map_or(self, |item| item.at(rest))
            }
            // A key may itself contain dots: the longest key that the path begins with is meant.
            Value::Map(entries) => entries
                .iter()
                .filter_map(|(key, value)| Some((key, value, rest_after(path, &key.name)?)))
                .max_by_key(|(key, ..)| key.name.len())
                .map_or(self, |(_, value, rest)| value.at(rest)),
            _ => self,
        }
    }

    /// The same as JSON, without the places.
    pub(super) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(value) => value.clone().into(),
            Value::Text(value) => value.as_str().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|(key, value)| (key.name.clone(), value.to_json()))
                .collect(),
        }
    }
}

fn rest_after<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    path.strip_prefix(key)
        .filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The documents of `text`, without empty ones, and what could not be read of it.
///
/// A document with a fault does not hide those before and after it, as far as the syntax lets them be found.
pub(super) fn parse(file: &str, text: &str) -> (Vec<Node>, Vec<Finding>) {
    let file: Arc<str> = file.into();
    let (mut documents, mut faults) = (Vec::new(), Vec::new());
    let placing = Placing {
        file: file.clone(),
        lines: text.lines().collect(),
    };
    let mut bytes = text.as_bytes();
    for document in serde_saphyr::read_with_options::<_, Spanned<Raw>>(&mut bytes, options()) {
        match document {
            Ok(raw) => documents.push(placing.node(raw)),
            Err(err) => faults.push(syntax_fault(&file, &err)),
        }
    }
    for document in &documents {
        repeated_keys(document, "", &mut faults);
    }
    (documents, faults)
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

fn syntax_fault(file: &Arc<str>, err: &serde_saphyr::Error) -> Finding {
    let place = match err.location() {
        Some(location) => place(file, location),
        None => Place::file(file),
    };
    let text: String = err
        .without_snippet()
        .to_string()
        .chars()
        .take(300)
        .collect();
    Finding::new(place, "", format!("not readable as YAML: {text}"))
}

fn place(file: &Arc<str>, location: Location) -> Place {
    Place {
        file: file.clone(),
        line: u32::try_from(location.line()).unwrap_or(u32::MAX),
        column: u32::try_from(location.column()).unwrap_or(u32::MAX),
    }
}

fn repeated_keys(node: &Node, path: &str, faults: &mut Vec<Finding>) {
    match &node.value {
        Value::Map(entries) => {
            let mut seen: Vec<&Key> = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                let path = join(path, &key.name);
                match seen.iter().find(|first| first.name == key.name) {
                    Some(first) => faults.push(Finding::new(
                        key.place.clone(),
                        path.as_str(),
                        Complaint::with_remedy(
                            format!("key `{}` stands here twice", key.name),
                            format!(
                                "the first is in line {}; keep one of them",
                                first.place.line
                            ),
                        ),
                    )),
                    None => seen.push(key),
                }
                repeated_keys(value, &path, faults);
            }
        }
        Value::List(items) => {
            for (n, item) in items.iter().enumerate() {
                repeated_keys(item, &format!("{path}[{n}]"), faults);
            }
        }
        _ => {}
    }
}

/// The path of `key` below `path`.
pub(super) fn join(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    }
}

/// What serde hands over, before the file's name is known.
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

/// Turns what serde handed over into nodes.
struct Placing<'a> {
    file: Arc<str>,
    lines: Vec<&'a str>,
}

impl Placing<'_> {
    fn node(&self, raw: Spanned<Raw>) -> Node {
        let is_plain = !self.is_quoted(raw.defined);
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
            place: place(&self.file, raw.referenced),
            value,
            is_plain,
        }
    }

    fn key(&self, key: Spanned<RawKey>) -> Key {
        Key {
            place: place(&self.file, key.referenced),
            name: key.value.0,
        }
    }

    fn is_quoted(&self, at: Location) -> bool {
        let index = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).saturating_sub(1);
        let line = self.lines.get(index(at.line()));
        let first = line.and_then(|line| line.chars().nth(index(at.column())));
        matches!(first, Some('"' | '\'' | '|' | '>'))
    }
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

    fn one(text: &str) -> Node {
        let (mut documents, faults) = parse("m.yaml", text);
        assert_eq!((documents.len(), faults), (1, vec![]));
        documents.remove(0)
    }

    #[test]
    fn every_key_and_value_keeps_its_line_and_column() {
        let text = "# a comment\nkind: a/b\nspec:\n  list:\n    - x: 1\n---\nkind: c/d\n";
        let (documents, faults) = parse("m.yaml", text);
        assert_eq!((documents.len(), faults), (2, vec![]));
        let spec = documents[0].get("spec").unwrap();
        let Value::List(items) = &spec.get("list").unwrap().value else {
            panic!("a list");
        };
        let Value::Map(entries) = &items[0].value else {
            panic!("a mapping");
        };
        assert_eq!(entries[0].0.place.to_string(), "m.yaml:5:7");
        assert_eq!(entries[0].1.place.to_string(), "m.yaml:5:10");
        let kind = documents[1].get("kind").unwrap();
        assert_eq!(kind.place.to_string(), "m.yaml:7:7");
    }

    #[test]
    fn a_repeated_key_is_a_fault_that_names_both_lines_and_hides_no_other_fault() {
        let (documents, faults) = parse("m.yaml", "a: 1\na: 2\nb: {c: 1, c: 2}\n---\nd: 1\n");
        assert_eq!(documents.len(), 2);
        let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "m.yaml:2:1: `a`: key `a` stands here twice (the first is in line 1; keep one of them)",
                "m.yaml:3:11: `b.c`: key `c` stands here twice (the first is in line 3; keep one of them)",
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
        let (documents, faults) = parse("m.yaml", "a: 1\n---\nb: [1, 2\n");
        assert_eq!(documents.len(), 1);
        assert_eq!(faults.len(), 1);
        let text = faults[0].to_string();
        assert!(text.starts_with("m.yaml:"), "{text}");
        assert!(text.contains("not readable as YAML"), "{text}");
    }

    #[test]
    fn a_path_leads_as_far_as_it_exists() {
        let node = one("stages:\n  - set: {a: 1}\n  - export: {url: x, a.b: {c: 1}}\n");
        let place = |path: &str| node.at(path).place.to_string();
        assert_eq!(place("stages[1].export.url"), "m.yaml:3:19");
        assert_eq!(place("stages[1].export.a.b.c"), "m.yaml:3:31");
        assert_eq!(place("stages[0].set.absent.deep"), "m.yaml:2:10");
        assert_eq!(place("stages[9]"), "m.yaml:2:3");
        assert_eq!(place(""), "m.yaml:1:1");
    }

    #[test]
    fn empty_documents_are_skipped_and_an_empty_file_is_empty() {
        assert_eq!(parse("m.yaml", "").0.len(), 0);
        assert_eq!(parse("m.yaml", "---\n---\na: 1\n---\n").0.len(), 1);
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
        assert_eq!(parse("m.yaml", &bomb).1.len(), 1);
    }
}
