//! Amazon Kinesis in and out, against kinesalite, which is a server with the API of Kinesis, and a front that makes it fail.
//!
//! A machine without Node skips them and says so. `STATEFUN_KINESIS_ROUNDS` sets how often the runtime is killed.

mod client;
mod conformance;
mod connected;
mod credentials;
mod egress;
mod example;
mod front;
mod ingress;
mod kills;
mod modules;
mod reported;
mod reshards;
mod server;
