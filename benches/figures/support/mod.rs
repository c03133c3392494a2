//! Parts of the integration tests that start the real StateFun and real brokers.

#[path = "../../../tests/it/support/flink/installation.rs"]
pub(crate) mod installation;
#[path = "../../../tests/it/support/made.rs"]
pub(crate) mod made;
#[path = "../../../tests/it/support/ports.rs"]
pub(crate) mod ports;

/// What the broker's listeners with TLS would need.
pub(crate) mod tls {
    pub(crate) const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls");
}
