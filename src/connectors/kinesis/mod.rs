//! Amazon Kinesis: `io.statefun.kinesis.v1/ingress`, exactly once, and `io.statefun.kinesis.v1/egress`, at least once.
//!
//! `client` makes signed calls, for which `aws` has regions and credentials. `shards` decides what is read when, `lanes` what is sent when; both
//! are pure. `delivery` makes the calls of the egress; `delayed` has the records of streams and shards that do not take them. Positions are stored with the state (`docs/connectors.md`, `docs/kinesis.md`).

mod aggregated;
mod api;
mod aws;
mod client;
mod delayed;
mod delivery;
mod egress;
mod examine;
mod failure;
mod gather;
mod ingress;
mod inquiry;
mod lanes;
mod listing;
mod origin;
mod poll;
mod position;
mod reader;
mod record;
mod service_url;
mod settings;
mod shards;
mod stream;
mod troubles;

pub(crate) use self::egress::KinesisSink;
pub(crate) use self::examine::{EgressExamined, IngressExamined};
pub(crate) use self::ingress::KinesisSource;
pub(crate) use self::settings::Dependencies;
