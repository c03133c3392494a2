//! The suites of sources and sinks, on a real broker.

use std::fs;
use std::path::PathBuf;

use async_trait::async_trait;
use stateful_functions::runtime::{Runtime, RuntimeBuilder};
use stateful_functions::testing::conformance::sink::SinkRig;
use stateful_functions::testing::conformance::source::SourceRig;
use stateful_functions::testing::conformance::{Guarantee, LedgerEntry, OUT, sink, source};

use super::broker::Broker;
use crate::support::scene::with;

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

struct Ingress {
    broker: Broker,
    qos: u8,
}

#[async_trait]
impl SourceRig for Ingress {
    fn bind(&self, builder: RuntimeBuilder) -> RuntimeBuilder {
        let (url, qos) = (self.broker.url(), self.qos);
        let module = format!(
            "kind: statefun.mqtt.v1/ingress
spec:
  id: conformance/in
  url: {url}
  clientId: conformance
  qos: {qos}
  addressId: 2
  topics: [{{topic: ledgers/+, valueType: io.statefun.types/string, targets: [conformance/ledger]}}]
"
        );
        with(builder, &module)
    }

    async fn feed(&self, _runtime: &Runtime, record: &LedgerEntry) -> bool {
        let topic = format!("ledgers/{}", record.id);
        self.broker.publish_string(&topic, self.qos, &record.text);
        true
    }

    fn guarantee(&self) -> Guarantee {
        match self.qos {
            2 => Guarantee::ExactlyOnce,
            _ => Guarantee::AtLeastOnce,
        }
    }
}

fn run_source(test: &str, qos: u8, seed: u64) {
    let Some(broker) = block_on(Broker::start(test)) else {
        return;
    };
    broker.make_session("conformance", "ledgers/+", qos);
    source::run(&Ingress { broker, qos }, seed);
}

#[test]
fn the_mqtt_ingress_is_at_least_once_with_qos_1() {
    run_source("mqtt ingress with qos 1", 1, 1);
}

#[test]
fn the_mqtt_ingress_is_exactly_once_with_qos_2() {
    run_source("mqtt ingress with qos 2", 2, 2);
    run_source("mqtt ingress with qos 2", 2, 3);
}

struct Egress {
    broker: Broker,
    qos: u8,
    written: PathBuf,
}

#[async_trait]
impl SinkRig for Egress {
    fn bind(&self, builder: RuntimeBuilder) -> RuntimeBuilder {
        let (url, qos) = (self.broker.url(), self.qos);
        let module = format!(
            "kind: statefun.mqtt.v1/egress
spec: {{id: {OUT}, url: '{url}', topic: out, qos: {qos}}}
"
        );
        with(builder, &module)
    }

    async fn arrived(&self, _runtime: &Runtime) -> Vec<String> {
        let text = fs::read_to_string(&self.written).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(str::to_owned).collect()
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::AtLeastOnce
    }
}

#[test]
fn the_mqtt_egress_is_at_least_once() {
    for qos in [1, 2] {
        let Some(broker) = block_on(Broker::start("mqtt egress conformance")) else {
            return;
        };
        let (written, mut writer) = block_on(broker.write_down("out"));
        let egress = Egress {
            broker,
            qos,
            written,
        };
        sink::run(&egress, u64::from(qos));
        writer.kill().unwrap();
        writer.wait().unwrap();
    }
}
