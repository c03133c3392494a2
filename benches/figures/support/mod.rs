//! Parts of the integration tests that start the real StateFun and real brokers.

#[path = "../../../tests/it/support/flink/installation.rs"]
pub(crate) mod installation;
#[path = "../../../tests/it/support/made.rs"]
pub(crate) mod made;
