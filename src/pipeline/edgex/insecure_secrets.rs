//! Secrets that stand in an EdgeX configuration itself.

use super::unset::{is_unset, text};
use crate::document::At;
use crate::pipeline::secrets::Secrets;

/// `InsecureSecrets: {any: {SecretName, SecretData: {key: text}}}`; version 2 called them Path and Secrets.
pub(super) fn read(mut secrets: Secrets, at: &At<'_>) -> Option<Secrets> {
    if is_unset(at) {
        return Some(secrets);
    }
    for (_, place) in at.entries("a mapping of secrets")? {
        let entries = place.entries("a mapping with `SecretName` and `SecretData`")?;
        let get = |names: [&str; 2]| {
            let found = entries.iter().find(|(key, _)| names.contains(key));
            found.map(|(_, at)| at)
        };
        let Some(name) = get(["SecretName", "Path"]) else {
            return place.fault("`SecretName` is required and missing");
        };
        let name = name.text()?;
        let texts = match get(["SecretData", "Secrets"]) {
            Some(data) if !is_unset(data) => data.entries("a mapping of keys and texts")?,
            _ => Vec::new(),
        };
        let texts: Option<Vec<(String, String)>> = texts
            .iter()
            .map(|(key, at)| Some(((*key).to_owned(), text(at)?)))
            .collect();
        secrets = secrets.insecure(name, texts?);
    }
    Some(secrets)
}
