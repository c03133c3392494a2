//! The documents of MQTT as `statefun check` and the start see them.

use async_trait::async_trait;

use super::client::options;
use crate::module::{Finding, Location, MqttBroker};
use crate::runtime::{ConnectorFindings, Examine};
use crate::transport::http::client::Network;

/// The broker of an ingress or an egress, and the location of its document.
pub(crate) struct BrokerExamined<'a>(pub(crate) &'a Location, pub(crate) &'a MqttBroker);

#[async_trait]
impl Examine for BrokerExamined<'_> {
    /// Files of `tls` that cannot be read or used.
    fn findings(&self) -> ConnectorFindings {
        let Self(location, broker) = self;
        let mut found = ConnectorFindings::default();
        if let Err(why) = options(broker, &Network::default()) {
            let path = ["spec", "tls"].join(".");
            let finding = Finding::new((*location).clone(), path, why.to_string());
            found.faults.push(finding);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::{Egress, EgressTarget, Module, ModuleFile, Placeholders};

    #[test]
    fn files_that_cannot_be_used_are_found_before_the_start() {
        for (tls, expected) in [
            ("{ca: /nowhere/ca.pem}", "/nowhere/ca.pem cannot be read"),
            ("{cert: /nowhere/a.pem}", "used with its private key"),
        ] {
            let text = format!(
                "kind: statefun.mqtt.v1/egress\nspec: {{id: a/b, url: 'mqtts://h', topic: t, tls: {tls}}}\n"
            );
            let file = ModuleFile {
                name: "m.yaml",
                text: &text,
            };
            let module = Module::parse(&[file], &Placeholders::Literal).unwrap();
            let [
                Egress {
                    location,
                    target: EgressTarget::Mqtt(spec),
                    ..
                },
            ] = &module.egresses[..]
            else {
                panic!("one egress");
            };
            let found = BrokerExamined(location, &spec.broker).findings();
            let told = found.faults[0].to_string();
            assert!(told.contains(expected), "{told}");
        }
    }
}
