//! The configuration as JSON for those who may read it, without secrets.

use serde_json::{Map, Value, json};

use crate::document::{Complaint, Finding, Findings, Node};

/// Sections that are EdgeX's; all others are the user's own.
const SECTIONS: &[&str] = &[
    "ApplicationSettings",
    "Clients",
    "Database",
    "EnableNameFieldEscape",
    "HttpServer",
    "MessageBus",
    "Registry",
    "SecretStore",
    "SecurityOptions",
    "Service",
    "Trigger",
    "Writable",
];
/// In any section, the values of keys with one of these words are secrets.
const SECRET_WORDS: &[&str] = &[
    "password",
    "token",
    "secretdata",
    "initvector",
    "credential",
];
/// Keys that are secrets as a whole.
const SECRET_KEYS: &[&str] = &["httprequestheaders", "key", "secrets", "username"];

const HIDDEN: &str = "***";

/// `{config…, CustomConfiguration?}` with the values of secrets hidden.
pub(super) fn json(tree: &Node) -> Value {
    let Value::Object(sections) = without_secrets(tree.to_json()) else {
        return json!({});
    };
    let is_own = |name: &str| !SECTIONS.contains(&name);
    let (own, mut known): (Map<_, _>, Map<_, _>) =
        sections.into_iter().partition(|(name, _)| is_own(name));
    if !own.is_empty() {
        known.insert("CustomConfiguration".to_owned(), Value::Object(own));
    }
    Value::Object(known)
}

/// Puts sections back that cannot change while a service runs: all of EdgeX's but `Writable`. A changed one gives a warning.
pub(super) fn keep_fixed_sections(tree: &mut Node, before: &Node, findings: &Findings) {
    for section in SECTIONS.iter().filter(|section| **section != "Writable") {
        let (Some(new), Some(old)) = (tree.get_mut(section), before.get(section)) else {
            continue;
        };
        if new.to_json() != old.to_json() {
            let text = "a change of this section takes effect at the next start";
            let remedy = "only `Writable` and sections of the application change while it runs";
            let complaint = Complaint::with_remedy(text, remedy);
            let location = new.location.clone();
            findings.warning(Finding::new(location, *section, complaint));
        }
        *new = old.clone();
    }
}

fn without_secrets(value: Value) -> Value {
    match value {
        Value::Object(entries) => entries
            .into_iter()
            .map(|(key, value)| {
                let value = match is_secret(&key) {
                    true => hidden(value),
                    false => without_secrets(value),
                };
                (key, value)
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(without_secrets).collect(),
        Value::String(text) => Value::String(without_user(text)),
        other => other,
    }
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_KEYS.contains(&key.as_str()) || SECRET_WORDS.iter().any(|word| key.contains(word))
}

/// The keys stay, so that one sees what is there.
fn hidden(value: Value) -> Value {
    match value {
        Value::Object(entries) => entries
            .into_iter()
            .map(|(key, value)| (key, hidden(value)))
            .collect(),
        Value::Null => Value::Null,
        Value::String(text) if text.is_empty() => Value::String(text),
        _ => HIDDEN.into(),
    }
}

/// A URL without its user and password.
fn without_user(text: String) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text;
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{HIDDEN}@{host}{path}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_own_sections_are_apart() {
        let shown = json(&Node::from_json(&json!({
            "Writable": {
                "InsecureSecrets": {"any": {"SecretName": "crm", "SecretData": {"token": "abc"}}},
                "Pipeline": {"Functions": {
                    "EncryptWithAES": {"Parameters": {"Key": "abc", "InitVector": "abc"}},
                    "HTTPExport": {"Parameters": {"Url": "http://me:abc@host/x", "HeaderName": "h"}},
                }},
            },
            "Database": {"Password": "abc", "Username": ""},
            "Mine": {"ApiToken": "abc", "Rate": 1},
        })));
        assert_eq!(
            shown,
            json!({
                "Writable": {
                    "InsecureSecrets": {"any": {"SecretName": "crm", "SecretData": {"token": "***"}}},
                    "Pipeline": {"Functions": {
                        "EncryptWithAES": {"Parameters": {"Key": "***", "InitVector": "***"}},
                        "HTTPExport": {"Parameters": {"Url": "http://***@host/x", "HeaderName": "h"}},
                    }},
                },
                "Database": {"Password": "***", "Username": ""},
                "CustomConfiguration": {"Mine": {"ApiToken": "***", "Rate": 1}},
            })
        );
    }
}
