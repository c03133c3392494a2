//! A record as it is kept while it waits, with the names of the stage that keeps it.

use bytes::Bytes;
use prost::Message as _;

use super::record::{Record, WireRecord};
use crate::sdk::BoxError;

/// What was to be sent, and as a part of what.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Job {
    #[prost(message, optional, tag = "1")]
    pub(crate) record: Option<WireRecord>,
    #[prost(string, tag = "2")]
    pub(crate) pipeline: String,
    #[prost(string, tag = "3")]
    pub(crate) stage: String,
    // 4: the pipeline's version, written by earlier versions.
    /// Scheme, host and port; written by earlier versions.
    #[prost(string, tag = "5")]
    pub(crate) destination: String,
}

impl Job {
    pub(crate) fn of(record: &Record, pipeline: &str, stage: &str) -> Bytes {
        let job = Self {
            record: Some(record.to_wire()),
            pipeline: pipeline.to_owned(),
            stage: stage.to_owned(),
            destination: String::new(),
        };
        job.encode_to_vec().into()
    }

    /// The record as it was kept.
    pub(crate) fn record(&self) -> Result<Record, BoxError> {
        let record = self.record.clone();
        Record::from_wire(record.ok_or("what is kept has no record in it")?)
    }
}
