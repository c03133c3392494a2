//! Redis: `statefun.redis.v1/ingress`, exactly once from streams and at most once from channels, and `statefun.redis.v1/egress`, exactly once.
//!
//! The crate `redis` speaks the protocol. `client` opens its connections, over the streams of `watched`; `listening` is a subscribed one. `streams` and
//! `channels` are the two ways in which an ingress reads, `takeover` finds entries of consumers that are gone, `record` and `position` are without I/O.
//! Positions are stored with the state, those of egresses in Redis (`docs/redis.md`).

mod channels;
mod client;
mod egress;
mod examine;
mod ingress;
mod listening;
mod position;
mod record;
mod streams;
mod takeover;
mod watched;

pub(crate) use self::egress::RedisSink;
pub(crate) use self::examine::{EgressExamined, IngressExamined};
pub(crate) use self::ingress::RedisSource;
