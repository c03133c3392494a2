//! The suites of sources and sinks, on a real server.

use async_trait::async_trait;
use stateful_functions::runtime::{Runtime, RuntimeBuilder};
use stateful_functions::testing::conformance::sink::SinkRig;
use stateful_functions::testing::conformance::source::SourceRig;
use stateful_functions::testing::conformance::{Guarantee, LedgerEntry, OUT, sink, source};

use super::server::Server;
use crate::support::scene::with;

fn start(test: &str) -> Option<Server> {
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(Server::start(test))
}

struct Ingress(Server);

#[async_trait]
impl SourceRig for Ingress {
    fn bind(&self, builder: RuntimeBuilder) -> RuntimeBuilder {
        let module = format!(
            "kind: statefun.redis.v1/ingress
spec:
  id: conformance/in
  url: {}
  startupPosition: earliest
  idField: ledger
  streams: [{{stream: records, valueType: io.statefun.types/string, targets: [conformance/ledger]}}]
",
            self.0.url()
        );
        with(builder, &module)
    }

    async fn feed(&self, _runtime: &Runtime, record: &LedgerEntry) -> bool {
        let length = u8::try_from(record.text.len()).unwrap();
        assert!(length < 128, "one byte of length");
        let value = [&[10, length], record.text.as_bytes()].concat();
        let add = ["XADD", "records", "*", "ledger", &record.id, "value"];
        self.0.tell(&add, &value);
        true
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }
}

#[test]
fn the_redis_ingress_is_exactly_once_from_streams() {
    for seed in 1..4 {
        let Some(server) = start("redis ingress conformance") else {
            return;
        };
        source::run(&Ingress(server), seed);
    }
}

struct Egress(Server);

#[async_trait]
impl SinkRig for Egress {
    fn bind(&self, builder: RuntimeBuilder) -> RuntimeBuilder {
        let module = format!(
            "kind: statefun.redis.v1/egress
spec: {{id: {OUT}, url: '{}', stream: out}}
",
            self.0.url()
        );
        with(builder, &module)
    }

    async fn arrived(&self, _runtime: &Runtime) -> Vec<String> {
        self.0.values("out")
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }
}

#[test]
fn the_redis_egress_is_exactly_once() {
    for seed in 1..4 {
        let Some(server) = start("redis egress conformance") else {
            return;
        };
        sink::run(&Egress(server), seed);
    }
}
