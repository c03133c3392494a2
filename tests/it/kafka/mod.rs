//! Apache Kafka in and out, against real brokers.
//!
//! A machine without Java or Maven skips them and says so. `STATEFUN_KAFKA_ROUNDS` sets how often something is killed.

mod absent;
mod agreement;
mod broker;
mod checked;
mod client;
mod conformance;
mod connected;
mod egress;
mod example;
mod fencing;
mod ingress;
mod kills;
mod modules;
mod outage;
mod reported;
mod secured;
