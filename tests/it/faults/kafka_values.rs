//! Kind: `check` finds nothing, and the client refuses at run time. Values of Kafka's documents were checked only by the client, so a build
//! without it found nothing, and a build with it retried for ever.

use super::cli::check;

const MODULE: &str = "\
kind: io.statefun.kafka.v1/ingress
spec:
  id: example/names
  address: ':::,,x:99999'
  consumerGroupId: g
  topics: [{topic: names, valueType: io.statefun.types/string, targets: [statefun.samples/greeter]}]
  properties:
    - fetch.min.bytes: banana
    - security.protocol: SSL
---
kind: io.statefun.kafka.v1/egress
spec:
  id: statefun.samples/out
  address: kafka:9092
  deliverySemantic: {type: exactly-once, transactionTimeout: 99999d}
---
kind: statefun.samples.v1/functions
spec: {}
";

#[test]
fn values_that_no_client_accepts_are_faults_in_every_build() {
    let (code, out) = check(MODULE, &[]);
    assert_eq!(code, 1, "{out}");
    for fault in [
        "MODULE:4:12: `spec.address`: Invalid url in bootstrap.servers: :::: the port is missing",
        "MODULE:4:12: `spec.address`: Invalid url in bootstrap.servers: x:99999: the port 99999",
        "MODULE:8:24: `spec.properties[0].fetch.min.bytes`: Invalid value for configuration fetch.min.bytes: expected a whole number, found `banana`",
        "`spec.deliverySemantic.transactionTimeout`: the transaction timeout is longer than 2147483647 ms",
    ] {
        assert!(out.contains(fault), "{fault} in {out}");
    }
}

/// A module that needs TLS must not send its user to a build without it.
#[test]
#[cfg_attr(feature = "kafka", ignore = "this build has the connector")]
fn the_note_about_a_missing_connector_names_the_feature_that_the_module_needs() {
    let (_, out) = check(MODULE, &[]);
    let notes: Vec<&str> = out
        .lines()
        .filter(|line| line.starts_with("note: "))
        .collect();
    let [ingress, egress] = notes[..] else {
        panic!("{out}");
    };
    assert!(ingress.contains("the feature `kafka-tls`"), "{ingress}");
    assert!(egress.contains("the feature `kafka`"), "{egress}");
}
