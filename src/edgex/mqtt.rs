//! The triggers that subscribe at a broker: EdgeX's message bus, and an external one. Publications become records, and responses are published.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::bus::{Bus, Publication, RESPONSES};
use super::configuration::{Broker, Configuration, SignIn, Trigger};
use super::envelope::{self, Enveloped, guessed};
use super::service::TRIGGER;
use crate::connectors::mqtt::{MqttSink, MqttSource, Shape};
use crate::document::Location;
use crate::module::{MqttBroker, MqttEgress, MqttId, MqttIngress, Route, Secret};
use crate::pipeline::{Answering, ExportTls, Publisher, RECORD, Record, Template};
use crate::runtime::{RuntimeBuilder, StartError};
use crate::sdk::{EgressMessage, TypeName};

/// The largest packet of MQTT.
const MAX_PACKET: usize = 268_435_455;

/// How the pipelines of a service answer; `None` if they publish nothing.
pub(super) fn answering(configuration: &Configuration) -> Option<Answering> {
    let settings = &configuration.settings;
    let topic = settings.publish_topic.clone()?;
    let bus = match &settings.trigger {
        Trigger::Http | Trigger::Custom(_) => return None,
        Trigger::MessageBus(_) => configuration.services.bus()?.clone(),
        Trigger::ExternalMqtt(external) => Bus {
            prefix: String::new(),
            envelope: None,
            guesses: external.guesses,
        },
    };
    Some(Answering {
        always: false,
        publisher: Some(Arc::new(Responses { topic, bus })),
    })
}

impl RuntimeBuilder {
    /// Binds the trigger of a service, whose records go to `entry`.
    pub(super) fn triggered_by_mqtt(
        self,
        trigger: &Trigger,
        configuration: &Configuration,
        entry: TypeName,
    ) -> Result<Self, StartError> {
        let (of, topics, is_enveloped) = match trigger {
            Trigger::Http | Trigger::Custom(_) => return Ok(self),
            Trigger::MessageBus(bus) => (&bus.broker, &bus.topics, true),
            Trigger::ExternalMqtt(external) => (&external.broker, &external.topics, false),
        };
        let broker = broker(of, configuration)?;
        let route = |topic: &String| Route {
            source: topic.clone(),
            value_type: RECORD.name().to_string(),
            targets: vec![entry.clone()],
        };
        let ingress = MqttIngress {
            location: Location::file("Trigger"),
            id: TRIGGER,
            broker: broker.clone(),
            topics: topics.iter().map(route).collect(),
            address_id: MqttId::Topic,
            qos: of.qos,
        };
        let network = self.known_network().clone();
        let source = MqttSource::new(ingress, network.clone()).shaped(Records { is_enveloped });
        let egress = MqttEgress {
            broker: MqttBroker {
                // A broker disconnects the older of two clients with one id.
                client_id: format!("{}-responses", broker.client_id),
                ..broker
            },
            topic: None,
            qos: of.qos,
            retain: of.retain,
            max_payload_bytes: MAX_PACKET,
        };
        let bound = self.ingress(TRIGGER, source);
        // Functions, publishers and telemetry publish at any time, if there is a bus.
        let publishes = configuration.settings.publish_topic.is_some()
            || configuration.services.bus().is_some();
        Ok(match publishes {
            true => bound.egress(RESPONSES, MqttSink::new(RESPONSES, egress, network)),
            false => bound,
        })
    }
}

fn broker(of: &Broker, configuration: &Configuration) -> Result<MqttBroker, StartError> {
    let credentials = match &of.sign_in {
        SignIn::Nobody => None,
        SignIn::Password(name) => {
            let find = |key| {
                let found = configuration.secrets.demand(name, key);
                found.map_err(|failure| StartError::Declared {
                    what: format!(
                        "the trigger cannot sign in at its broker: {}",
                        failure.message
                    ),
                })
            };
            Some((find("username")?, Secret::new(find("password")?)))
        }
    };
    let client_id = match of.client_id.trim() {
        "" => configuration.service_key().to_owned(),
        given => given.to_owned(),
    };
    Ok(MqttBroker {
        host: of.host.clone(),
        port: of.port,
        is_tls: of.is_tls,
        tls: ExportTls::default(),
        client_id,
        credentials,
        keep_alive: of.keep_alive,
    })
}

/// Makes records of publications.
#[derive(Debug)]
struct Records {
    is_enveloped: bool,
}

impl Shape for Records {
    fn value(&self, topic: &str, payload: &Bytes) -> Result<Bytes, String> {
        let message = match self.is_enveloped {
            true => envelope::open(payload)?,
            false => Enveloped {
                correlation_id: Uuid::new_v4().to_string(),
                content_type: guessed(payload).to_owned(),
                payload: payload.clone(),
            },
        };
        let record = Record::new(message.payload)
            .with_content_type(message.content_type)
            .with_correlation_id(message.correlation_id)
            .with_value("receivedtopic", topic);
        RECORD.encode(&record).map_err(|err| err.to_string())
    }
}

/// Publishes responses.
#[derive(Debug)]
struct Responses {
    topic: Template,
    bus: Bus,
}

impl Publisher for Responses {
    fn message(&self, record: &mut Record) -> Result<EgressMessage, String> {
        let topic = self.topic.fill(record);
        let topic = topic.map_err(|unfilled| format!("Trigger.PublishTopic: {unfilled}"))?;
        self.bus.message(Publication {
            topic: &topic,
            payload: record.response().cloned().unwrap_or_default(),
            content_type: record.response_content_type(),
            correlation_id: record.correlation_id(),
        })
    }
}
