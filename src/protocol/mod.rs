//! The wire types of the StateFun 3.x request-reply protocol, generated from `proto/` and checked in.
//!
//! No logic lives here, and nothing of ours is imported. Three members that carry a message on the wire are `Bytes`: they are
//! decoded where they are needed, and otherwise forwarded unchanged (see `proto/request-reply.proto`).

/// `io.statefun.sdk.reqreply`: addresses, values, requests and replies.
#[allow(
    missing_docs,
    missing_debug_implementations,
    clippy::all,
    reason = "generated code; its texts come from proto/"
)]
#[rustfmt::skip]
#[path = "generated/io.statefun.sdk.reqreply.rs"]
pub mod reqreply;

/// `io.statefun.sdk.types`: wrappers of the built-in types.
#[allow(missing_docs, clippy::all, reason = "generated code; its texts come from proto/")]
#[rustfmt::skip]
#[path = "generated/io.statefun.sdk.types.rs"]
pub mod types;

/// `io.statefun.sdk.egress`: records for Kafka and Kinesis.
#[allow(missing_docs, clippy::all, reason = "generated code; its texts come from proto/")]
#[rustfmt::skip]
#[path = "generated/io.statefun.sdk.egress.rs"]
pub mod egress;
