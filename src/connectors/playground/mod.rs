//! The playground of StateFun: messages and records over plain HTTP, for development.

mod egress;

pub(crate) use self::egress::PlaygroundSink;
