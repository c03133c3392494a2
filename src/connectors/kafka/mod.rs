//! Apache Kafka: `io.statefun.kafka.v1/ingress` and `io.statefun.kafka.v1/egress`, exactly once.
//!
//! `properties` translates the settings of Java's client, `client` is what both directions share, `examine` and `inquiry` are for `statefun check`. Offsets are stored with the state, and
//! the outbox position with the records, so a record takes effect once whatever is killed (`docs/connectors.md`, `docs/kafka.md`).

mod client;
mod commits;
mod consumer;
mod egress;
mod examine;
mod gather;
mod ingress;
mod inquiry;
mod jaas;
mod producer;
mod properties;
mod record;
mod split;
mod start;
mod topics;
mod transaction;

pub(crate) use self::egress::KafkaSink;
pub(crate) use self::examine::{EgressExamined, IngressExamined};
pub(crate) use self::ingress::KafkaSource;
