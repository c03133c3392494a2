//! The suites of sources and sinks, on kinesalite.

use async_trait::async_trait;
use stateful_functions::runtime::{Runtime, RuntimeBuilder};
use stateful_functions::testing::conformance::sink::SinkRig;
use stateful_functions::testing::conformance::source::SourceRig;
use stateful_functions::testing::conformance::{Guarantee, LedgerEntry, OUT, sink, source};
use stateful_functions::{EgressMessage, KinesisEgressMessage};

use super::client::Client;
use super::server::{Server, shared};
use crate::support::scene::with;

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

struct Ingress {
    server: &'static Server,
    stream: String,
}

#[async_trait]
impl SourceRig for Ingress {
    fn bind(&self, builder: RuntimeBuilder) -> RuntimeBuilder {
        let (address, stream) = (self.server.address, &self.stream);
        let module = format!(
            "kind: io.statefun.kinesis.v1/ingress
spec:
  id: conformance/in
  awsRegion: {{type: specific, id: us-east-1}}
  awsCredentials: {{type: basic, accessKeyId: a, secretAccessKey: b}}
  startupPosition: {{type: earliest}}
  clientConfigProperties: [{{aws.endpoint: 'http://{address}/'}}, {{flink.shard.getrecords.intervalmillis: 5}}]
  streams: [{{stream: {stream}, valueType: io.statefun.types/string, targets: [conformance/ledger]}}]
"
        );
        with(builder, &module)
    }

    async fn feed(&self, _runtime: &Runtime, record: &LedgerEntry) -> bool {
        // Each life has an executor of its own, to which connections belong.
        let client = Client::of(self.server);
        client.text(&self.stream, &record.id, &record.text).await;
        true
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }
}

#[test]
fn the_kinesis_ingress_is_a_source_that_is_exactly_once() {
    let Some(server) = shared("kinesis ingress conformance") else {
        return;
    };
    for seed in [1, 2] {
        let stream = block_on(Client::of(server).stream("conformance-in", 2));
        source::run(&Ingress { server, stream }, seed);
    }
}

struct Egress {
    server: &'static Server,
}

const STREAM: &str = "conformance-out";

fn record(text: &str) -> EgressMessage {
    let message = KinesisEgressMessage::to(OUT)
        .stream(STREAM)
        .partition_key("one");
    message.value(text).unwrap()
}

#[async_trait]
impl SinkRig for Egress {
    fn bind(&self, builder: RuntimeBuilder) -> RuntimeBuilder {
        let address = self.server.address;
        let module = format!(
            "kind: io.statefun.kinesis.v1/egress
spec:
  id: {OUT}
  awsRegion: {{type: specific, id: us-east-1}}
  awsCredentials: {{type: basic, accessKeyId: a, secretAccessKey: b}}
  clientConfigProperties: [{{aws.endpoint: 'http://{address}/'}}]
"
        );
        with(builder, &module)
    }

    fn record(&self) -> fn(&str) -> EgressMessage {
        record
    }

    async fn arrived(&self, _runtime: &Runtime) -> Vec<String> {
        let records = Client::of(self.server).read(STREAM).await;
        records.iter().map(|record| record.text()).collect()
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::AtLeastOnce
    }
}

#[test]
fn the_kinesis_egress_is_a_sink_that_is_at_least_once() {
    let Some(server) = shared("kinesis egress conformance") else {
        return;
    };
    block_on(Client::of(server).make(STREAM, 2));
    sink::run(&Egress { server }, 3);
}
