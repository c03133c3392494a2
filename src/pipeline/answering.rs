//! How a pipeline answers: those who call it, and those who listen elsewhere.

use std::fmt;
use std::sync::Arc;

use super::record::Record;
use crate::sdk::EgressMessage;

/// Publishes the responses of a pipeline.
///
/// Implementers do no I/O: what they make is committed together with the end of the record.
#[cfg_attr(
    not(feature = "runtime"),
    allow(dead_code, reason = "services of EdgeX publish")
)]
pub(crate) trait Publisher: fmt::Debug + Send + Sync + 'static {
    /// The message with the response of `record`, which has one.
    fn message(&self, record: &mut Record) -> Result<EgressMessage, String>;
}

/// The answers of a pipeline besides those that its stages set for a caller.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answering {
    /// Callers are answered also without a response, and as soon as their record is kept for another attempt.
    pub(crate) always: bool,
    /// Responses are also published.
    pub(crate) publisher: Option<Arc<dyn Publisher>>,
}
