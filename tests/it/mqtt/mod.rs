//! MQTT in and out, against a real mosquitto, with its own command line clients on the other side.
//!
//! A machine without mosquitto and its clients skips them and says so.

pub(crate) mod broker;
mod conformance;
mod egress;
mod exports;
mod ingress;
mod outages;
mod sign_in;
