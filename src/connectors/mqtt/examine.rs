//! The documents of MQTT as `statefun check` and the start see them.

use async_trait::async_trait;

use super::client::options;
use super::inquiry;
use crate::module::{Finding, Location, MqttBroker, MqttIngress};
use crate::runtime::{Asking, ConnectorFindings, Examine, SystemAnswer};
use crate::transport::http::client::Network;

/// An ingress.
pub(crate) struct IngressExamined<'a>(pub(crate) &'a MqttIngress);

/// The broker of an egress, and the location of its document.
pub(crate) struct EgressExamined<'a>(pub(crate) &'a Location, pub(crate) &'a MqttBroker);

#[async_trait]
impl Examine for IngressExamined<'_> {
    fn findings(&self) -> ConnectorFindings {
        files(&self.0.location, &self.0.broker)
    }

    async fn ask(&self, asking: &Asking) -> Vec<SystemAnswer> {
        let Self(spec) = self;
        inquiry::ask(&spec.location, &spec.broker, &spec.topics, asking).await
    }
}

#[async_trait]
impl Examine for EgressExamined<'_> {
    fn findings(&self) -> ConnectorFindings {
        files(self.0, self.1)
    }

    async fn ask(&self, asking: &Asking) -> Vec<SystemAnswer> {
        inquiry::ask(self.0, self.1, &[], asking).await
    }
}

/// Files of `tls` that cannot be read or used.
fn files(location: &Location, broker: &MqttBroker) -> ConnectorFindings {
    let mut found = ConnectorFindings::default();
    if let Err(why) = options(broker, &Network::default()) {
        let path = ["spec", "tls"].join(".");
        let finding = Finding::new(location.clone(), path, why.to_string());
        found.faults.push(finding);
    }
    found
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
            let found = EgressExamined(location, &spec.broker).findings();
            let told = found.faults[0].to_string();
            assert!(told.contains(expected), "{told}");
        }
    }
}
