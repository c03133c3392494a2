//! A file per kind of document: its fields, their defaults and what they become.

mod endpoint;
mod file_egress;
mod http_egress;
mod http_ingress;
mod pipeline;
mod playground;
mod samples;
mod stdout_egress;
mod transport;

pub use endpoint::{Endpoint, FunctionPattern};
pub use file_egress::FileEgress;
pub use http_egress::HttpEgress;
pub use http_ingress::HttpIngress;
pub use pipeline::PipelineSpec;
pub use playground::{PlaygroundEgress, PlaygroundIngress};
pub(super) use samples::OUT as SAMPLES_OUT;
pub use transport::{AsyncTransport, OkHttpTransport, TlsFiles, Transport};

use super::fields::Fields;
use super::{Draft, yaml::Node};

/// A kind of document that this version knows.
pub(super) struct Kind {
    /// `<namespace>/<name>`.
    pub(super) name: &'static str,
    pub(super) read: fn(Spec<'_>, &mut Draft<'_>),
    pub(super) portable: Portable,
}

/// Who else takes a kind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Portable {
    /// Every StateFun runtime.
    Everywhere,
    /// StateFun's playground, and no cluster.
    Playground,
    /// This runtime alone.
    Here,
}

/// The `spec` of one document.
pub(super) struct Spec<'a> {
    pub(super) node: &'a Node,
    pub(super) fields: Fields<'a>,
}

/// Every kind this version reads.
pub(super) const KINDS: &[Kind] = &[
    kind(
        "io.statefun.endpoints.v2/http",
        endpoint::read_v2,
        Portable::Everywhere,
    ),
    kind(
        "io.statefun.endpoints.v1/http",
        endpoint::read_v1,
        Portable::Everywhere,
    ),
    kind(
        "io.statefun.playground.v1/ingress",
        playground::read_ingress,
        Portable::Playground,
    ),
    kind(
        "io.statefun.playground.v1/egress",
        playground::read_egress,
        Portable::Playground,
    ),
    kind(
        "statefun.http.v1/ingress",
        http_ingress::read,
        Portable::Here,
    ),
    kind(
        "statefun.stdout.v1/egress",
        stdout_egress::read,
        Portable::Here,
    ),
    kind("statefun.file.v1/egress", file_egress::read, Portable::Here),
    kind("statefun.http.v1/egress", http_egress::read, Portable::Here),
    kind(
        "statefun.samples.v1/functions",
        samples::read,
        Portable::Here,
    ),
    kind(
        "statefun.pipelines.v1/pipeline",
        pipeline::read,
        Portable::Here,
    ),
];

/// Kinds of StateFun that need a connector this version does not have.
pub(super) const WITHOUT_CONNECTOR: &[&str] = &[
    "io.statefun.kafka.v1/ingress",
    "io.statefun.kafka.v1/egress",
    "io.statefun.kinesis.v1/ingress",
    "io.statefun.kinesis.v1/egress",
];

const fn kind(name: &'static str, read: fn(Spec<'_>, &mut Draft<'_>), portable: Portable) -> Kind {
    Kind {
        name,
        read,
        portable,
    }
}
