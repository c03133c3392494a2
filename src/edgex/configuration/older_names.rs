//! Keys that earlier versions of EdgeX called otherwise, under their names in version 4.

use super::{below, below_mut};
use crate::document::{Complaint, Finding, Findings, Key, Location, Node, Value};

/// Where a key was, and where it is now. The first ones come first, because later ones are found at their new places.
const MOVED: &[(&[&str], &[&str])] = &[
    (&["Binding"], &["Trigger"]),
    (&["MqttBroker"], &["Trigger", "ExternalMqtt"]),
    (&["Trigger", "MqttBroker"], &["Trigger", "ExternalMqtt"]),
    (
        &[
            "Trigger",
            "EdgexMessageBus",
            "SubscribeHost",
            "SubscribeTopics",
        ],
        &["Trigger", "SubscribeTopics"],
    ),
    (
        &["Trigger", "EdgexMessageBus", "PublishHost", "PublishTopic"],
        &["Trigger", "PublishTopic"],
    ),
    (&["Trigger", "EdgexMessageBus"], &["MessageBus"]),
    (
        &["Trigger", "ExternalMqtt", "Qos"],
        &["Trigger", "ExternalMqtt", "QoS"],
    ),
    (
        &["Trigger", "ExternalMqtt", "Retained"],
        &["Trigger", "ExternalMqtt", "Retain"],
    ),
    (
        &["Trigger", "SubscribeTopic"],
        &["Trigger", "SubscribeTopics"],
    ),
    (
        &["MessageBus", "SubscribeHost", "Host"],
        &["MessageBus", "Host"],
    ),
    (
        &["MessageBus", "SubscribeHost", "Port"],
        &["MessageBus", "Port"],
    ),
    (
        &["MessageBus", "SubscribeHost", "Protocol"],
        &["MessageBus", "Protocol"],
    ),
    (
        &["MessageBus", "PublishHost", "Host"],
        &["MessageBus", "Host"],
    ),
    (
        &["MessageBus", "PublishHost", "Port"],
        &["MessageBus", "Port"],
    ),
    (
        &["MessageBus", "PublishHost", "Protocol"],
        &["MessageBus", "Protocol"],
    ),
    (&["MessageBus", "SubscribeHost"], &[]),
    (&["MessageBus", "PublishHost"], &[]),
    (&["Clients", "CoreData"], &["Clients", "core-data"]),
    (&["Clients", "Metadata"], &["Clients", "core-metadata"]),
    (&["Clients", "CoreMetadata"], &["Clients", "core-metadata"]),
    (&["Clients", "Command"], &["Clients", "core-command"]),
    (
        &["Clients", "Notifications"],
        &["Clients", "support-notifications"],
    ),
];

/// Moves what stands under an older name, with a warning.
pub(super) fn replace(tree: &mut Node, findings: &Findings) {
    for (from, to) in MOVED {
        let Some((node, key)) = taken(tree, from) else {
            continue;
        };
        let Some((name, parents)) = to.split_last() else {
            // An emptied mapping; what is left in it is unknown.
            continue;
        };
        let (old, new) = (from.join("."), to.join("."));
        if below(tree, to).is_some_and(|newer| !matches!(newer.value, Value::Map(_))) {
            let text = format!("ignored, because `{new}` is there, too");
            let complaint = Complaint::with_remedy(text, "remove it");
            findings.warning(Finding::new(key.location, old, complaint));
            continue;
        }
        let text = format!("an older name; it is taken as `{new}`");
        let complaint = Complaint::with_remedy(text, format!("write `{new}`"));
        findings.warning(Finding::new(key.location.clone(), old, complaint));
        let name = Key {
            location: key.location,
            name: (*name).to_owned(),
        };
        put(tree, parents, name, node);
    }
}

fn taken(tree: &mut Node, path: &[&str]) -> Option<(Node, Key)> {
    let (name, parents) = path.split_last()?;
    let parent = below_mut(tree, parents)?;
    let key = parent.keys().find(|key| key.name == *name)?.clone();
    Some((parent.take(name)?, key))
}

/// Puts `node` under `key` in the mapping at `parents`, which is made if it is not there. Of two mappings, the entries that are there count.
fn put(tree: &mut Node, parents: &[&str], key: Key, node: Node) {
    let mut place = tree;
    for name in parents {
        if place.get(name).is_none() {
            let nothing = Node::made(key.location.clone(), Value::Map(Vec::new()));
            add(place, new_key(name, &key.location), nothing);
        }
        match place.get_mut(name) {
            Some(next) => place = next,
            None => return, // not a mapping, which is reported where it is read
        }
    }
    match place.get_mut(&key.name) {
        Some(there) => {
            let newer = std::mem::replace(there, node);
            super::layers::put_over(there, newer);
        }
        None => add(place, key, node),
    }
}

fn new_key(name: &str, location: &Location) -> Key {
    Key {
        location: location.clone(),
        name: name.to_owned(),
    }
}

/// Adds an entry to a mapping.
pub(super) fn add(place: &mut Node, key: Key, node: Node) {
    if let Value::Map(entries) = &mut place.value {
        entries.push((key, node));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn replaced(json: &Json) -> (Json, Vec<String>) {
        let mut tree = Node::from_json(json);
        let findings = Findings::default();
        replace(&mut tree, &findings);
        let (faults, warnings, _) = findings.into_parts();
        assert!(faults.is_empty());
        let warnings = warnings.iter().map(ToString::to_string).collect();
        (tree.to_json(), warnings)
    }

    #[test]
    fn names_of_versions_1_and_2_are_taken_as_those_of_version_4_with_a_warning() {
        let (tree, warnings) = replaced(&json!({
            "Binding": {"Type": "messagebus", "SubscribeTopic": "events"},
            "MqttBroker": {"Url": "tcp://b:1883"},
            "MessageBus": {"Type": "redis", "SubscribeHost": {"Host": "h", "Port": 1}, "PublishHost": {"Host": "p", "Port": 2}},
            "Clients": {"CoreData": {"Host": "d"}},
        }));
        assert_eq!(
            tree,
            json!({
                "Trigger": {"Type": "messagebus", "ExternalMqtt": {"Url": "tcp://b:1883"}, "SubscribeTopics": "events"},
                "MessageBus": {"Type": "redis", "Host": "h", "Port": 1},
                "Clients": {"core-data": {"Host": "d"}},
            })
        );
        assert!(
            warnings.contains(
                &"Binding: an older name; it is taken as `Trigger` (write `Trigger`)".to_owned()
            ),
            "{warnings:?}"
        );
    }

    #[test]
    fn the_message_bus_of_version_2_is_found_in_its_trigger() {
        let (tree, _) = replaced(&json!({"Trigger": {"EdgexMessageBus": {
            "Type": "mqtt",
            "SubscribeHost": {"Host": "h", "Port": 1, "SubscribeTopics": "edgex/events/#"},
            "PublishHost": {"PublishTopic": "out"},
        }}}));
        assert_eq!(
            tree,
            json!({
                "Trigger": {"SubscribeTopics": "edgex/events/#", "PublishTopic": "out"},
                "MessageBus": {"Type": "mqtt", "Host": "h", "Port": 1},
            })
        );
    }

    #[test]
    fn a_newer_name_beside_an_older_one_counts() {
        let (tree, warnings) =
            replaced(&json!({"Trigger": {"SubscribeTopics": "new", "SubscribeTopic": "old"}}));
        assert_eq!(tree, json!({"Trigger": {"SubscribeTopics": "new"}}));
        assert!(
            warnings[0].contains("ignored, because `Trigger.SubscribeTopics`"),
            "{warnings:?}"
        );
    }
}
