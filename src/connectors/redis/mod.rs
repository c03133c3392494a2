//! Redis: `statefun.redis.v1/ingress`, exactly once from streams and at most once from channels, and `statefun.redis.v1/egress`, exactly once.
//!
//! `resp` is Redis's protocol, without I/O. `client` opens connections and makes calls. `streams` and `channels` are the two ways in which an
//! ingress reads, `record` makes messages and entries. Positions are stored with the state, those of egresses in Redis (`docs/redis.md`).

mod channels;
mod client;
mod egress;
mod examine;
mod ingress;
mod record;
mod resp;
mod streams;

pub(crate) use self::egress::RedisSink;
pub(crate) use self::examine::{EgressExamined, IngressExamined};
pub(crate) use self::ingress::RedisSource;
