//! Keys that no version of EdgeX has: a warning with the nearest known one.

use super::layers::defaults;
use crate::document::{Complaint, Finding, Findings, Node, Value, join, nearest};

/// Sections whose keys are the user's, or are checked where they are read.
const OPEN: &[&str] = &[
    "ApplicationSettings",
    "Clients",
    "MessageBus.Optional",
    "Registry",
    "SecretStore",
    "SecurityOptions",
    "Writable.InsecureSecrets",
    "Writable.Pipeline",
    "Writable.StoreAndForward",
    "Writable.Telemetry.Metrics",
    "Writable.Telemetry.Tags",
];
/// Keys without a default.
const MORE: &[&str] = &[
    "Database.Username",
    "Database.Password",
    "EnableNameFieldEscape",
    "SecretStore",
    "SecurityOptions",
    "Service.SecurityOptions",
    "Trigger.EventVersion",
    "Writable.Pipeline",
];
/// Accepted by EdgeX and by this service, without effect here.
const UNUSED: &[(&str, &str)] = &[
    (
        "SecretStore",
        "secrets come from the environment, files or `InsecureSecrets`",
    ),
    ("SecurityOptions", "there is no security service"),
];

/// Warns of the keys of a file that are not known.
pub(super) fn check(file: &Node, findings: &Findings) {
    check_below(file, &defaults(), "", findings);
}

fn check_below(node: &Node, known: &Node, path: &str, findings: &Findings) {
    let Value::Map(entries) = &node.value else {
        return;
    };
    let names: Vec<&str> = known.keys().map(|key| key.name.as_str()).collect();
    let more = MORE.iter().filter_map(|more| match more.rsplit_once('.') {
        Some((parent, name)) if parent == path => Some(name),
        None if path.is_empty() => Some(more),
        _ => None,
    });
    let names: Vec<&str> = names.into_iter().chain(more).collect();
    for (key, value) in entries {
        let here = join(path, &key.name);
        let warn = |complaint| {
            let finding = Finding::new(key.location.clone(), here.as_str(), complaint);
            findings.warning(finding);
        };
        if let Some((_, why)) = UNUSED.iter().find(|(unused, _)| *unused == here) {
            warn(Complaint::with_remedy("has no effect here", *why));
        }
        if OPEN.contains(&here.as_str()) {
            continue;
        }
        match known.get(&key.name) {
            Some(below) => check_below(value, below, &here, findings),
            None if names.contains(&key.name.as_str()) => {}
            None => {
                let meant = nearest(&key.name, names.iter().copied());
                let remedy = match (meant, path) {
                    (Some(meant), _) => format!("did you mean `{meant}`?"),
                    // A section of the user's own.
                    (None, "") => continue,
                    (None, _) => format!("known keys: {}", names.join(", ")),
                };
                warn(Complaint::with_remedy(
                    "this key is unknown and ignored",
                    remedy,
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn warnings(json: &Json) -> Vec<String> {
        let findings = Findings::default();
        check(&Node::from_json(json), &findings);
        let (_, warnings, _) = findings.into_parts();
        warnings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn misspelt_keys_give_a_warning_with_the_nearest_name() {
        let warnings = warnings(&json!({
            "Trigerr": {},
            "Service": {"Prot": 1},
            "Trigger": {"ExternalMqtt": {"Will": {"Topik": "x"}}},
        }));
        assert_eq!(
            warnings,
            [
                "Service.Prot: this key is unknown and ignored (did you mean `Port`?)",
                "Trigerr: this key is unknown and ignored (did you mean `Trigger`?)",
                "Trigger.ExternalMqtt.Will.Topik: this key is unknown and ignored (did you mean `Topic`?)",
            ]
        );
    }

    #[test]
    fn sections_of_the_user_and_free_keys_give_none() {
        assert!(
            warnings(&json!({
                "ApplicationSettings": {"Anything": "x"},
                "MyOwnSection": {"a": {"b": 1}},
                "Clients": {"support-scheduler": {"Host": "h"}},
                "Writable": {"Telemetry": {"Metrics": {"MyOwn": true}}, "Pipeline": {"Functions": {}}},
                "MessageBus": {"Optional": {"Password": "x"}},
            }))
            .is_empty()
        );
    }
}
