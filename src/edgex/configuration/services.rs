//! What functions know of their service, from its configuration.

use std::sync::OnceLock;

use super::super::bus::Bus;
use super::super::services::{Services, Shared};
use super::settings::{Settings, Trigger};
use super::{EnvelopeForm, below};
use crate::document::{Node, Value, scalar};

/// What functions know of the service.
pub(super) fn read(
    tree: &Node,
    settings: Option<&Settings>,
    service_key: &str,
    envelopes: EnvelopeForm,
) -> Services {
    let bus = match settings.map(|settings| &settings.trigger) {
        Some(Trigger::MessageBus(bus)) => Some(Bus {
            prefix: bus.prefix.clone(),
            envelope: Some(envelopes),
            guesses: bus.guesses,
        }),
        _ => None,
    };
    let topic = below(tree, &["Trigger", "PublishTopic"]).and_then(text_of);
    let topic = topic.map(|topic| topic.trim().to_owned());
    let clients = tree.get("Clients");
    let clients = clients.filter(|node| matches!(node.value, Value::Map(_)));
    let keys = clients.into_iter().flat_map(Node::keys);
    let address = |key: &str| {
        let address = address_of(below(tree, &["Clients", key])?)?;
        Some((key.to_owned(), address))
    };
    Services::new(Shared {
        service_key: service_key.to_owned(),
        bus,
        publish_topic: topic.filter(|topic| !topic.is_empty()),
        clients: keys.filter_map(|key| address(&key.name)).collect(),
        secrets: OnceLock::new(),
    })
}

fn text_of(node: &Node) -> Option<String> {
    scalar::text(node).ok()
}

/// `protocol://host:port` of a client, if it is configured.
pub(super) fn address_of(client: &Node) -> Option<String> {
    let text = |key: &str| client.get(key).and_then(text_of);
    let (host, port) = (text("Host")?, text("Port")?);
    let protocol = text("Protocol").filter(|protocol| !protocol.is_empty());
    let protocol = protocol.unwrap_or_else(|| "http".to_owned());
    Some(format!("{protocol}://{host}:{port}"))
}
