//! The playground of StateFun: messages and records over plain HTTP, for development.

mod egress;
mod ingress;
mod status;

pub(crate) use self::egress::PlaygroundSink;
pub(crate) use self::ingress::PlaygroundSource;
