//! `statefun.mqtt.v1/ingress`: publications become messages.

use crate::document::{Complaint, Fields, Location, Node, scalar};
use crate::sdk::TypeName;

use super::super::draft::{Binding, Draft};
use super::super::{Ingress, coerce};
use super::mqtt::{MqttBroker, broker, qos};
use super::routes::{self, Route};
use super::{Spec, needs_connector};

pub(super) const KIND: &str = "statefun.mqtt.v1/ingress";

/// Subscribes to topics of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MqttIngress {
    /// The location of the document's `spec`.
    pub location: Location,
    /// Its name.
    pub id: TypeName,
    /// The broker.
    pub broker: MqttBroker,
    /// The topic filters and their targets, not empty. A publication goes to the first one that matches.
    pub topics: Vec<Route>,
    /// The addressed id.
    pub address_id: MqttId,
    /// The QoS of the subscriptions. Default 1.
    pub qos: u8,
}

/// Which id a publication is addressed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum MqttId {
    /// The whole topic.
    #[default]
    Topic,
    /// The level with this number, counted from 1; the whole topic if it has fewer levels.
    Level(usize),
}

pub(super) fn read(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let fields = spec.fields;
    let id = fields.must("id", coerce::own_name);
    let broker = broker(&fields, id.as_ref());
    let empty = "an MQTT ingress subscribes to at least one topic";
    let topics = routes::read(&fields, "topics", "topic", empty, draft);
    check_filters(&fields, &topics);
    let address_id = fields.optional("addressId", address_id);
    let qos = fields.optional("qos", qos);
    let (location, at) = (fields.location().clone(), fields.at());
    if let (Some(id), false) = (&id, cfg!(feature = "mqtt")) {
        needs_connector(KIND, id, &fields, "build with the feature `mqtt`", draft);
    }
    fields.finish();
    let (Some(id), Some(broker)) = (id, broker) else {
        return;
    };
    draft.bind(Binding::Ingress(id.clone()), at);
    draft.module.ingresses.push(Ingress::Mqtt(MqttIngress {
        location,
        id,
        broker,
        topics,
        address_id: address_id.unwrap_or_default(),
        qos: qos.unwrap_or(1),
    }));
}

fn check_filters(fields: &Fields<'_>, topics: &[Route]) {
    for (n, route) in topics.iter().enumerate() {
        let filter = route.source.as_str();
        if let Some(fault) = fault_of_filter(filter) {
            fields.fault("topics", format!("`{filter}` is no topic filter: {fault}"));
        }
        for earlier in topics.iter().take(n) {
            if overlap(filter, &earlier.source) {
                let text = format!(
                    "`{}` and `{filter}` match common topics: a broker may send such a publication twice",
                    earlier.source
                );
                let remedy = "make one of them narrower, or use one ingress for each, with client ids of their own";
                fields.warn("topics", Complaint::with_remedy(text, remedy));
            }
        }
    }
}

/// The rules of MQTT 3.1.1, section 4.7.
fn fault_of_filter(filter: &str) -> Option<&'static str> {
    let mut levels = filter.split('/').peekable();
    if filter.is_empty() || filter.len() > usize::from(u16::MAX) || filter.contains('\0') {
        return Some("it has 1 to 65,535 bytes, and no NUL");
    }
    while let Some(level) = levels.next() {
        match level {
            "#" if levels.peek().is_some() => return Some("`#` is the last level"),
            "#" | "+" => {}
            level if level.contains(['#', '+']) => {
                return Some("`#` and `+` are levels by themselves");
            }
            _ => {}
        }
    }
    None
}

/// Whether there is a topic that both filters match.
fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('/'), other.split('/'));
    loop {
        match (one.next(), other.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (None, Some(_)) | (Some(_), None) => return false,
            (Some(one), Some(other)) if one == other || one == "+" || other == "+" => {}
            (Some(_), Some(_)) => return false,
        }
    }
}

/// `topic`, or the number of a level.
fn address_id(node: &Node) -> Result<MqttId, Complaint> {
    let text = scalar::filled_text(node)?;
    match (text.as_str(), text.parse::<usize>()) {
        ("topic", _) => Ok(MqttId::Topic),
        (_, Ok(level)) if level > 0 => Ok(MqttId::Level(level)),
        _ => Err(Complaint::with_remedy(
            format!("`{text}` does not say which id is addressed"),
            "write `topic`, or the number of a level: with 2, edge/press-7/temperature is for the id press-7",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_of_a_filter_are_levels_by_themselves() {
        for filter in ["a/b", "+", "#", "a/+/c", "/", "a//b", "+/#", "$SYS/#"] {
            assert_eq!(fault_of_filter(filter), None, "{filter}");
        }
        for filter in ["", "a/#/b", "a#", "a/b+", "#/", "a/+b/c"] {
            assert!(fault_of_filter(filter).is_some(), "{filter}");
        }
    }

    #[test]
    fn filters_overlap_if_a_topic_matches_both() {
        for (one, other) in [
            ("a/b", "a/b"),
            ("a/+", "a/b"),
            ("a/#", "a"),
            ("#", "x/y/z"),
            ("+/b", "a/+"),
        ] {
            assert!(
                overlap(one, other) && overlap(other, one),
                "{one} and {other}"
            );
        }
        for (one, other) in [
            ("a", "b"),
            ("a/+", "a"),
            ("a/b", "a/b/c"),
            ("a/+/c", "a/b/d"),
        ] {
            assert!(
                !overlap(one, other) && !overlap(other, one),
                "{one} and {other}"
            );
        }
    }
}
