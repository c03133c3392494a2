//! `${NAME}` and `${NAME:-default}` in the values of a module, replaced from a map.
//!
//! `$${` is a literal `${`. Replaced text is not searched again. An unquoted value that consists of one placeholder gets
//! the type that its text would have in the file (`${PORT}` can be a number); all others are text.

use std::collections::BTreeMap;

use crate::document::{Complaint, Finding, Findings, Node, Value, join};

/// Where the values of placeholders come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placeholders {
    /// Replaced from this map.
    Replaced(BTreeMap<String, String>),
    /// Left unchanged, as in StateFun.
    Literal,
}

impl Default for Placeholders {
    fn default() -> Self {
        Self::Replaced(BTreeMap::new())
    }
}

impl Placeholders {
    /// Replaces the placeholders in `node` and below it, and reports those without a value.
    pub(super) fn expand(&self, node: &mut Node, path: &str, findings: &Findings) {
        match &mut node.value {
            Value::Text(text) if text.contains("${") => {
                let text = text.clone();
                let reference = Finding::new(
                    node.location.clone(),
                    path,
                    "placeholders are not replaced by StateFun (FLINK-26570): it takes them literally",
                );
                findings.not_for_flink(reference);
                if let Self::Replaced(values) = self {
                    match replaced(&text, values) {
                        Ok(new) => node.value = typed(new, node.is_plain && is_whole(&text)),
                        Err(complaint) => {
                            findings.fault(Finding::new(node.location.clone(), path, complaint));
                        }
                    }
                }
            }
            Value::List(items) => {
                for (n, item) in items.iter_mut().enumerate() {
                    self.expand(item, &format!("{path}[{n}]"), findings);
                }
            }
            Value::Map(entries) => {
                for (key, value) in entries {
                    self.expand(value, &join(path, &key.name), findings);
                }
            }
            _ => {}
        }
    }
}

/// Whether the whole text is one placeholder.
fn is_whole(text: &str) -> bool {
    text.strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .is_some_and(|inside| !inside.contains('}'))
}

fn typed(text: String, is_plain: bool) -> Value {
    match text.as_str() {
        "true" if is_plain => Value::Bool(true),
        "false" if is_plain => Value::Bool(false),
        digits if is_plain && is_canonical_integer(digits) => match digits.parse::<i64>() {
            Ok(number) => Value::Number(number.into()),
            Err(_) => Value::Text(text),
        },
        _ => Value::Text(text),
    }
}

fn is_canonical_integer(text: &str) -> bool {
    text.parse::<i64>().is_ok_and(|n| n.to_string() == text)
}

fn replaced(text: &str, values: &BTreeMap<String, String>) -> Result<String, Complaint> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = from.get(2..).unwrap_or_default();
            continue;
        }
        out.push_str(before);
        let Some(end) = from.find('}') else {
            rest = from;
            break;
        };
        let reference = from.get(2..end).unwrap_or_default();
        out.push_str(&value_of(reference, values)?);
        rest = from.get(end + 1..).unwrap_or_default();
    }
    out.push_str(rest);
    Ok(out)
}

fn value_of(reference: &str, values: &BTreeMap<String, String>) -> Result<String, Complaint> {
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    match (values.get(name), default) {
        (Some(value), _) => Ok(value.clone()),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(Complaint::with_remedy(
            format!("Could not resolve placeholder ${{{name}}}"),
            format!(
                "set {name} in the environment or with --set {name}=VALUE, or write ${{{name}:-default}}"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use crate::document::{Repeated, yaml};

    use super::*;

    fn expanded(text: &str) -> (serde_json::Value, Vec<String>, usize) {
        let findings = Findings::default();
        let mut node = yaml::parse("m.yaml", text, Repeated::LastCounts, &findings).remove(0);
        assert!(!findings.has_faults());
        let values = [
            ("HOST", "example.org"),
            ("PORT", "8080"),
            ("ZIP", "0042"),
            ("ON", "true"),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into();
        Placeholders::Replaced(values).expand(&mut node, "", &findings);
        let (faults, _, not_for_flink) = findings.into_parts();
        let faults = faults.iter().map(ToString::to_string).collect();
        (node.to_json(), faults, not_for_flink.len())
    }

    #[test]
    fn sf_62_placeholders_are_replaced_and_each_is_reported_for_flink() {
        let (json, faults, for_flink) = expanded(
            "url: http://${HOST}:${PORT}/x\nlist: [{a: '${NONE:-d:-e}'}]\nescaped: $${HOST}\nopen: ${HOST\nempty: ${NONE:-}\n",
        );
        assert_eq!(
            json,
            serde_json::json!({"url": "http://example.org:8080/x", "list": [{"a": "d:-e"}], "escaped": "${HOST}", "open": "${HOST", "empty": ""})
        );
        assert_eq!((faults, for_flink), (vec![], 5));
    }

    #[test]
    fn a_lone_unquoted_placeholder_takes_the_type_of_its_text() {
        let (json, ..) =
            expanded("a: ${PORT}\nb: '${PORT}'\nc: ${ZIP}\nd: ${ON}\ne: ${PORT}${PORT}\n");
        assert_eq!(
            json,
            serde_json::json!({"a": 8080, "b": "8080", "c": "0042", "d": true, "e": "80808080"})
        );
    }

    #[test]
    fn sf_62_an_unresolved_placeholder_is_a_fault_with_line_and_key() {
        let (_, faults, _) = expanded("a: 1\nb:\n  - ${NOPE}\n");
        assert_eq!(
            faults,
            [
                "m.yaml:3:5: `b[0]`: Could not resolve placeholder ${NOPE} (set NOPE in the environment or with --set NOPE=VALUE, or write ${NOPE:-default})"
            ]
        );
    }

    #[test]
    fn sf_62_literal_placeholders_stay() {
        let findings = Findings::default();
        let mut documents = yaml::parse("m.yaml", "a: ${PORT}\n", Repeated::LastCounts, &findings);
        Placeholders::Literal.expand(&mut documents[0], "", &findings);
        assert_eq!(documents[0].to_json(), serde_json::json!({"a": "${PORT}"}));
    }
}
