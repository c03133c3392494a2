//! Records, stages, the builder, and store and forward: a pipeline is stateful functions.
//!
//! Here live records and stages, the builder and the declared form, and the functions that move records: the entry, one per stage,
//! lanes for order per key, destinations for waking. Not here: scheduling, which is the runtime's, and the decisions about
//! deliveries, which are the engine's. May import `sdk`, `delivery`, `clock`, `retry` and the HTTP client.
#![doc = include_str!("../../docs/pipelines.md")]

mod blob;
mod builder;
mod collector;
mod config;
mod destination;
mod function;
mod gate;
mod ids;
mod item;
mod kept;
mod lane;
mod outbound;
mod path;
mod plan;
mod record;
mod rule;
mod segments;
mod stage;
mod stage_function;
mod stages;
mod template;
mod wire;

pub use crate::document::Finding;
pub use builder::{InvalidPipeline, Pipeline, PipelineBuilder};
pub use config::PipelineConfig;
pub use gate::Circuit;
pub use kept::Kept;
pub use record::{NotJson, RECORD, Record};
pub use stage::{Answer, Stage};
pub use stages::{Batch, BatchFormat, ExportProxy, ExportTls, HttpExport};
pub use uuid::Uuid;
