//! Records, stages, the builder, and store and forward: a pipeline is stateful functions.
//!
//! Records, stages, the builder and the declared (YAML) form, and the functions that move records: the entry, and those of each stage.
//! Scheduling is left to the runtime, and records that a stage could not send are left to the owner of
//! deliveries, of which a stage is a target. May import `sdk`, `delivery`, `clock`, `retry` and the HTTP client.
#![doc = include_str!("../../docs/pipelines.md")]

mod answering;
mod builder;
mod change;
mod collector;
mod config;
#[cfg(feature = "edgex")]
mod edgex;
mod extras;
mod figures;
mod function;
#[cfg(feature = "runtime")]
mod gone;
mod graph;
mod ids;
mod kept;
mod own_stages;
mod path;
mod plan;
mod record;
mod response;
mod rule;
mod secrets;
mod size;
mod stage;
mod stage_function;
mod stage_target;
mod stages;
mod storing;
mod template;
#[cfg_attr(
    not(feature = "edgex"),
    allow(dead_code, reason = "sections of EdgeX have topics")
)]
mod wire;

pub use crate::delivery::owner::{Circuit, DeadLetterLimits, KeepLimits, OnFull};
pub use crate::document::Finding;
#[cfg(feature = "runtime")]
pub(crate) use answering::Answering;
#[cfg(feature = "mqtt")]
pub(crate) use answering::Publisher;
#[cfg(feature = "runtime")]
pub(crate) use builder::Entrance;
pub use builder::{Destinations, InvalidPipeline, Pipeline, PipelineBuilder};
pub use change::{Migrate, Migration, OnPipelineChange, Waiting};
pub use config::PipelineConfig;
#[cfg(feature = "runtime")]
pub(crate) use config::{DEFAULT_NAMESPACE, boolean as edgex_boolean};
pub(crate) use config::{check_half, read_retry};
#[cfg(feature = "runtime")]
pub(crate) use edgex::section::{DEFAULT_PIPELINE, read as edgex_pipelines};
#[cfg(feature = "runtime")]
pub(crate) use extras::Form;
#[cfg(feature = "runtime")]
pub(crate) use figures::{Figures, PipelineFigures, Summary};
#[cfg(feature = "runtime")]
pub(crate) use gone::stand_in;
pub use kept::Kept;
pub use own_stages::{OwnStages, StageNameError};
pub(crate) use record::record_type;
pub use record::{NotJson, RECORD, Record};
#[cfg(feature = "runtime")]
pub(crate) use response::{REFUSAL, STORED};
pub use secrets::{SecretError, SecretProvider, Secrets};
pub use stage::{Answer, Stage};
pub use stages::{
    Batch, BatchFormat, ExportProxy, ExportTls, HttpExport, MqttAuth, MqttExport, MqttPreConnect,
    MqttWill, OnFailure, SecretHeader,
};
#[cfg(feature = "runtime")]
pub(crate) use stages::{BrokerAddress, read_tls};
pub(crate) use stages::{
    Connections, EgressExport, Exporter, Prepared as Load, StageKind, read as read_stage,
};
pub(crate) use template::Template;
pub use uuid::Uuid;
pub(crate) use wire::Kept as KeptRecord;
