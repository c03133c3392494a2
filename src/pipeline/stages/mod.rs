//! The built-in stages, one file each: the declaration and the behaviour.
//!
//! Stages that only compute are whole here. Of those that keep state or act on the outside, the settings are here and the
//! functions in `collector.rs` and `stage_function.rs`.

mod batch;
#[cfg(feature = "compress")]
pub(in crate::pipeline) mod compress;
mod convert;
pub(in crate::pipeline) mod egress;
mod export;
pub(in crate::pipeline) mod filter;
mod http_export;
mod mqtt_export;
mod remove;
mod set;
mod transform;

use std::fmt;
use std::sync::Arc;

pub(crate) use batch::Batching;
#[cfg(feature = "edgex")]
pub(crate) use batch::MAX_ITEMS as MAX_BATCH_ITEMS;
pub use batch::{Batch, BatchFormat};
pub(crate) use egress::EgressExport;
#[cfg(feature = "mqtt")]
pub(crate) use export::Channel;
pub use export::OnFailure;
pub(crate) use export::{Connections, Exporter, Prepared};
#[cfg(feature = "edgex")]
pub(crate) use http_export::RequestBody;
#[cfg(feature = "runtime")]
pub(crate) use http_export::read_tls;
pub use http_export::{ExportProxy, ExportTls, HttpExport, SecretHeader};
#[cfg(feature = "runtime")]
pub(crate) use mqtt_export::BrokerAddress;
#[cfg(all(feature = "runtime", feature = "mqtt"))]
pub(crate) use mqtt_export::MqttClient;
pub use mqtt_export::{MqttAuth, MqttExport, MqttPreConnect, MqttWill};

#[cfg(feature = "edgex")]
use super::edgex;
use super::secrets::Secrets;
use super::stage::Stage;
use crate::document::At;
use crate::transport::http::client::{HttpError, Network};

/// A built-in stage that only computes.
pub(crate) trait Builtin: Stage {
    /// The same stage with these secrets; `None` if it needs none.
    fn with_secrets(&self, _secrets: &Secrets) -> Option<Arc<dyn Builtin>> {
        None
    }

    /// Whether it sets the response for the caller.
    fn answers(&self) -> bool {
        false
    }

    /// What distinguishes it from other functions of EdgeX with its name, in lower case.
    #[cfg_attr(
        not(feature = "postgres"),
        allow(dead_code, reason = "the versions of EdgeX need it")
    )]
    fn variant(&self) -> &'static str {
        ""
    }
}

/// A stage, ready to run.
#[derive(Clone)]
pub(crate) enum StageKind {
    /// Only computes.
    Pure(Arc<dyn Builtin>),
    /// Someone's own stage that only computes.
    Own(Arc<dyn Stage>),
    /// Collects records.
    Batch(Arc<Batching>),
    /// Sends records away, and keeps those that could not be sent.
    Export(Arc<Exporter>),
    /// Sends records by an egress.
    Egress(Arc<EgressExport>),
}

impl StageKind {
    pub(crate) fn pure(stage: impl Builtin) -> Self {
        Self::Pure(Arc::new(stage))
    }

    /// What the stage computes, if it does nothing else.
    pub(crate) fn computes(&self) -> Option<&dyn Stage> {
        match self {
            Self::Pure(stage) => Some(&**stage),
            Self::Own(stage) => Some(&**stage),
            Self::Batch(_) | Self::Export(_) | Self::Egress(_) => None,
        }
    }

    /// What kind of stage it is, for the version of its pipeline.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Pure(_) => "pure",
            Self::Own(_) => "own",
            Self::Batch(_) => "batch",
            Self::Export(_) => "export",
            Self::Egress(_) => "egress",
        }
    }

    /// What distinguishes it from other functions of EdgeX with its name, in lower case.
    #[cfg(feature = "postgres")]
    pub(crate) fn variant(&self) -> &'static str {
        match self {
            Self::Pure(stage) => stage.variant(),
            Self::Export(exporter) => exporter.method(),
            Self::Own(_) | Self::Batch(_) | Self::Egress(_) => "",
        }
    }

    /// Whether it sets the response for the caller.
    pub(crate) fn answers(&self) -> bool {
        matches!(self, Self::Pure(stage) if stage.answers())
    }

    /// Whether the next stage gets the record at once, and not after this one.
    pub(crate) fn is_isolated(&self) -> bool {
        matches!(self, Self::Export(exporter) if exporter.is_isolated())
    }

    /// The same stage in a process that has these secrets.
    pub(crate) fn with_secrets(self, secrets: &Secrets) -> Self {
        match self {
            Self::Pure(stage) => Self::Pure(stage.with_secrets(secrets).unwrap_or(stage)),
            Self::Export(exporter) => Self::Export(Arc::new(exporter.with_secrets(secrets))),
            other => other,
        }
    }

    /// The same stage in a process that knows its network.
    pub(crate) fn within(self, network: &Network) -> Result<Self, HttpError> {
        match self {
            Self::Export(exporter) => Ok(Self::Export(Arc::new(exporter.within(network)?))),
            other => Ok(other),
        }
    }
}

impl fmt::Debug for StageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pure(_) => f.write_str("Pure"),
            Self::Own(_) => f.write_str("Own"),
            Self::Batch(batching) => batching.fmt(f),
            Self::Export(exporter) => exporter.fmt(f),
            Self::Egress(export) => export.fmt(f),
        }
    }
}

type Read = fn(At<'_>) -> Option<StageKind>;

/// The keys under which stages are declared, and the function that reads each.
const KINDS: &[(&str, Read)] = &[
    ("filter", filter::read),
    ("set", set::read),
    ("remove", remove::read),
    ("transform", transform::read),
    ("convert", convert::read),
    ("batch", batch::read),
    #[cfg(feature = "compress")]
    ("gzip", compress::read_gzip),
    #[cfg(feature = "compress")]
    ("zlib", compress::read_zlib),
    #[cfg(feature = "edgex")]
    ("edgex-target", edgex::decode::read),
    ("http-export", http_export::read),
    ("mqtt-export", mqtt_export::read),
    ("kafka-export", egress::read_kafka),
    ("kinesis-export", egress::read_kinesis),
];

/// Who reads the settings of a stage.
pub(crate) enum Reader {
    Own(Read),
    #[cfg(feature = "edgex")]
    Edgex(edgex::Function),
}

impl Reader {
    /// The stage that the settings at `at` describe; `None` if they have faults, which are reported.
    pub(crate) fn read(self, at: At<'_>) -> Option<StageKind> {
        match self {
            Self::Own(read) => read(at),
            #[cfg(feature = "edgex")]
            Self::Edgex(function) => function.read(at),
        }
    }
}

/// Who reads the settings of a stage declared under `kind`: one of our own, or a function of EdgeX.
pub(crate) fn reader(kind: &str) -> Option<Reader> {
    let own = KINDS.iter().find(|(name, _)| *name == kind);
    let own = own.map(|(_, read)| Reader::Own(*read));
    #[cfg(feature = "edgex")]
    let own = own.or_else(|| edgex::reader(kind).map(Reader::Edgex));
    own
}

/// The stage that is declared under `kind` with the settings at `at`; `None` if there is none, or if they have faults, which are reported.
pub(crate) fn read(kind: &str, at: At<'_>) -> Option<StageKind> {
    reader(kind)?.read(at)
}

/// All keys under which stages can be declared.
pub(crate) fn all_kinds() -> impl Iterator<Item = &'static str> {
    #[cfg(feature = "edgex")]
    return kinds().chain(edgex::names());
    #[cfg(not(feature = "edgex"))]
    kinds()
}

/// The keys of our own stages.
pub(crate) fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::config::PipelineConfig;
    use super::super::record::Record;
    use super::super::stage::Answer;
    use super::StageKind;

    fn declared(stage: &Value) -> Value {
        json!({"name": "test", "stages": [stage]})
    }

    /// What the stage answers for `record`, which it may change.
    pub(super) fn apply(stage: &Value, record: &mut Record) -> Answer {
        let config = PipelineConfig::from_json(&declared(stage)).unwrap();
        match &config.stages()[0].kind {
            StageKind::Pure(stage) => stage.apply(record),
            other => panic!("{other:?} does not only compute"),
        }
    }

    /// What is wrong with the stage, as text.
    pub(super) fn faults(stage: &Value) -> Vec<String> {
        let faults = PipelineConfig::from_json(&declared(stage)).unwrap_err();
        faults.iter().map(ToString::to_string).collect()
    }
}
