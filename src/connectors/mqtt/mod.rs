//! MQTT 3.1.1: `statefun.mqtt.v1/ingress` and `statefun.mqtt.v1/egress`.
//!
//! The broker keeps the session of an ingress, and a publication is acknowledged to it only when its messages are on disk. `session` is what
//! the ingress knows of that session, without I/O; `listen` drives the client; `ingress` puts the two together (`docs/mqtt.md`).

mod client;
mod egress;
mod examine;
mod ingress;
mod inquiry;
mod listen;
mod session;

pub(crate) use self::egress::MqttSink;
pub(crate) use self::examine::{EgressExamined, IngressExamined};
pub(crate) use self::ingress::{MqttSource, Shape};
