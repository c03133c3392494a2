//! `statefun.mqtt.v1/egress`: records are published to a broker.

use std::num::NonZeroUsize;

use crate::document::{Complaint, Node, scalar};

use super::super::draft::{Binding, Draft};
use super::super::{Egress, EgressTarget, coerce};
use super::mqtt::{MqttBroker, broker, qos};
use super::{Spec, needs_connector};

pub(super) const KIND: &str = "statefun.mqtt.v1/egress";
/// The default client id begins with this. An ingress may have the same id, and a client id belongs to one client.
const CLIENT_ID: &str = "statefun-egress";
/// The largest packet of MQTT.
pub(super) const MAX_PACKET: usize = 268_435_455;

/// Publishes each record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MqttEgress {
    /// The broker.
    pub broker: MqttBroker,
    /// The topic of records that do not name one.
    pub topic: Option<String>,
    /// 0: sent and forgotten; 1: at least once; 2: with a handshake of four packets. Default 1.
    pub qos: u8,
    /// Whether the broker keeps the last record of each topic for later subscribers. Default false.
    pub retain: bool,
    /// Larger payloads are set aside. Default 256 MiB, the limit of MQTT.
    pub max_payload_bytes: usize,
}

pub(super) fn read(spec: Spec<'_>, draft: &mut Draft<'_>) {
    let fields = spec.fields;
    let id = fields.must("id", coerce::own_name);
    let broker = broker(&fields, CLIENT_ID, id.as_ref());
    let topic = fields.optional("topic", topic);
    let qos = fields.optional("qos", qos);
    let retain = fields.optional("retain", scalar::boolean);
    let max_payload_bytes = fields.optional("maxPayloadBytes", scalar::count_of::<NonZeroUsize>);
    let (location, at) = (fields.location().clone(), fields.at());
    if let (Some(id), false) = (&id, cfg!(feature = "mqtt")) {
        needs_connector(KIND, id, &fields, "build with the feature `mqtt`", draft);
    }
    fields.finish();
    let (Some(id), Some(broker)) = (id, broker) else {
        return;
    };
    draft.bind(Binding::Egress(id.clone()), at);
    draft.module.egresses.push(Egress {
        location,
        id,
        target: EgressTarget::Mqtt(MqttEgress {
            broker,
            topic,
            qos: qos.unwrap_or(1),
            retain: retain.unwrap_or(false),
            max_payload_bytes: max_payload_bytes
                .map_or(MAX_PACKET, |bytes| bytes.get().min(MAX_PACKET)),
        }),
    });
}

/// A topic that can be published to.
fn topic(node: &Node) -> Result<String, Complaint> {
    let topic = scalar::filled_text(node)?;
    match topic.contains(['+', '#', '\0']) || topic.len() > usize::from(u16::MAX) {
        true => Err("records are published to a topic without `+` and `#`".into()),
        false => Ok(topic),
    }
}
