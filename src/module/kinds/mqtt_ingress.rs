//! `statefun.mqtt.v1/ingress`: publications become messages.

use crate::document::{Complaint, Fields, Location, Node, scalar};
use crate::sdk::TypeName;
use crate::topic_filter::TopicFilter;

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
    let broker = broker(&fields, "statefun", id.as_ref());
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
    let mut earlier: Vec<TopicFilter> = Vec::new();
    for route in topics {
        let filter = match TopicFilter::parse(&route.source) {
            Ok(filter) => filter,
            Err(invalid) => {
                fields.fault("topics", invalid.to_string());
                continue;
            }
        };
        if route.value_type.starts_with("io.statefun.types/") {
            let text = format!(
                "payloads of `{filter}` must be the protobuf encoding of {}, as with Kafka",
                route.value_type
            );
            let remedy = "for text and JSON write a type of your own, or statefun/json";
            fields.warn("topics", Complaint::with_remedy(text, remedy));
        }
        for other in earlier.iter().filter(|other| other.overlaps(&filter)) {
            let text = format!(
                "`{other}` and `{filter}` match common topics: a broker may send such a publication twice"
            );
            let remedy = "make one of them narrower, or use one ingress for each, with client ids of their own";
            fields.warn("topics", Complaint::with_remedy(text, remedy));
        }
        earlier.push(filter);
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
