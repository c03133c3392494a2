//! A file per kind of document: its fields, their defaults and their types.

mod aws;
mod endpoint;
mod exposed;
mod file_egress;
mod file_ingress;
mod http_egress;
mod http_ingress;
mod jobs;
mod kafka_egress;
mod kafka_ingress;
mod kafka_servers;
mod kafka_values;
mod kinesis_egress;
mod kinesis_ingress;
mod mqtt;
mod mqtt_egress;
mod mqtt_ingress;
mod pipeline;
mod places;
mod playground;
mod properties;
mod redis;
mod redis_egress;
mod redis_ingress;
mod routes;
mod samples;
mod start;
mod stdout_egress;
mod transport;

pub use aws::{AwsCredentials, AwsRegion};
pub use endpoint::{Endpoint, FunctionPattern};
pub use file_egress::{FileEgress, Rotation};
pub use file_ingress::FileIngress;
pub use http_egress::HttpEgress;
pub use http_ingress::HttpIngress;
pub use jobs::JobsSpec;
pub use kafka_egress::{DeliverySemantic, KafkaEgress};
pub use kafka_ingress::{KafkaIngress, KafkaStart, OffsetReset, TopicPartition};
pub use kinesis_egress::KinesisEgress;
pub use kinesis_ingress::{KinesisIngress, KinesisStart};
pub use mqtt::MqttBroker;
pub use mqtt_egress::MqttEgress;
pub use mqtt_ingress::{MqttId, MqttIngress};
pub use pipeline::PipelineSpec;
pub(super) use pipeline::bind as bind_pipeline;
pub use places::Places;
pub use playground::{PlaygroundEgress, PlaygroundIngress};
pub use properties::Properties;
pub use redis::RedisServer;
pub use redis_egress::{RedisEgress, RedisOut};
pub use redis_ingress::{RedisIngress, RedisStart};
pub use routes::Route;
pub(super) use samples::OUT as SAMPLES_OUT;
pub use transport::{AsyncTransport, OkHttpTransport, TlsFiles, Transport};

use super::draft::Draft;
use crate::document::{Complaint, Fields, Node};
use crate::sdk::TypeName;

/// A known kind of document.
pub(super) struct Kind {
    /// `<namespace>/<name>`.
    pub(super) name: &'static str,
    pub(super) read: fn(Spec<'_>, &mut Draft<'_>),
    pub(super) portable: Portable,
    /// The text with which StateFun's messages about a field begin.
    pub(super) parsing: &'static str,
    /// The same, if the `spec` has no fields.
    pub(super) no_mapping: &'static str,
}

/// Which other runtimes accept a kind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Portable {
    /// Every StateFun runtime.
    Everywhere,
    /// StateFun's playground, and no cluster.
    Playground,
    /// Only this runtime.
    Here,
}

/// The `spec` of one document.
pub(super) struct Spec<'a> {
    pub(super) node: &'a Node,
    pub(super) fields: Fields<'a>,
}

/// Every kind this version reads.
pub(super) const KINDS: &[Kind] = &[
    statefun(
        "io.statefun.endpoints.v2/http",
        endpoint::read_v2,
        "Error parsing a HttpFunctionEndpointSpec. ",
    ),
    Kind {
        no_mapping: "missing key /functions: ",
        ..statefun("io.statefun.endpoints.v1/http", endpoint::read_v1, "")
    },
    statefun(
        kafka_ingress::KIND,
        kafka_ingress::read,
        "Error parsing an AutoRoutableKafkaIngressSpec. ",
    ),
    statefun(
        kafka_egress::KIND,
        kafka_egress::read,
        "Error parsing a GenericKafkaEgressSpec. ",
    ),
    statefun(
        kinesis_ingress::KIND,
        kinesis_ingress::read,
        "Error parsing an AutoRoutableKinesisIngressSpec. ",
    ),
    statefun(
        kinesis_egress::KIND,
        kinesis_egress::read,
        "Error parsing a GenericKinesisEgressSpec. ",
    ),
    playground(
        "io.statefun.playground.v1/ingress",
        playground::read_ingress,
    ),
    playground("io.statefun.playground.v1/egress", playground::read_egress),
    own("statefun.http.v1/ingress", http_ingress::read),
    own("statefun.stdout.v1/egress", stdout_egress::read),
    own("statefun.file.v1/ingress", file_ingress::read),
    own("statefun.file.v1/egress", file_egress::read),
    own("statefun.http.v1/egress", http_egress::read),
    own(mqtt_ingress::KIND, mqtt_ingress::read),
    own(mqtt_egress::KIND, mqtt_egress::read),
    own(redis_ingress::KIND, redis_ingress::read),
    own(redis_egress::KIND, redis_egress::read),
    own("statefun.samples.v1/functions", samples::read),
    own("statefun.pipelines.v1/pipeline", pipeline::read),
    own("statefun.jobs.v1/destinations", jobs::read),
];

type Read = fn(Spec<'_>, &mut Draft<'_>);

const fn own(name: &'static str, read: Read) -> Kind {
    Kind {
        name,
        read,
        portable: Portable::Here,
        parsing: "",
        no_mapping: "",
    }
}

const fn playground(name: &'static str, read: Read) -> Kind {
    Kind {
        portable: Portable::Playground,
        ..own(name, read)
    }
}

const fn statefun(name: &'static str, read: Read, parsing: &'static str) -> Kind {
    Kind {
        portable: Portable::Everywhere,
        parsing,
        no_mapping: parsing,
        ..own(name, read)
    }
}

/// StateFun's text for an unknown kind or transport.
pub(super) fn unknown_extension(name: &TypeName) -> String {
    let (namespace, name) = (name.namespace(), name.name());
    format!("An extension with type TypeName({namespace}, {name}) does not exist.")
}

/// Notes that this build cannot run `kind`, bound at `fields`; `instead` is the alternative.
fn needs_connector(
    kind: &str,
    id: &TypeName,
    fields: &Fields<'_>,
    instead: &str,
    draft: &mut Draft<'_>,
) {
    let complaint = Complaint::with_remedy(
        format!("{kind} {id} needs a connector that this build does not have"),
        format!("{instead}, or run the module on StateFun"),
    );
    let note = fields.finding("id", complaint);
    draft.module.without_connector.push(note);
}
