//! Redis in and out, against a real redis-server.
//!
//! A machine without redis-server and redis-cli skips them and says so.

mod conformance;
mod egress;
mod ingress;
mod kills;
pub(crate) mod server;
mod sign_in;
mod takeover;
