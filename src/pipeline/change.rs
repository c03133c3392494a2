//! What becomes of waiting records when their pipeline changes.

use std::fmt;
use std::sync::Arc;

use super::record::Record;
use crate::sdk::BoxError;

/// What becomes of a waiting record that was stored by another version of its pipeline: one with other stages, or with the same ones in
/// another order.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum OnPipelineChange {
    /// It continues at the stage of its name; if there is none any more, it becomes a dead letter, `stage_gone`, once it is due.
    #[default]
    Resume,
    /// It becomes a dead letter, `stage_gone`, at the next start.
    DeadLetter,
    /// A function says where it continues; see [`OnPipelineChange::migrate`].
    Migrate(Arc<dyn Migrate>),
}

impl OnPipelineChange {
    /// Has a function say where a waiting record continues. It is asked for each record that another version stored, at the next start.
    ///
    /// ```
    /// use stateful_functions::pipeline::{HttpExport, Migration, OnPipelineChange, Pipeline, Waiting};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// Pipeline::builder("orders")
    ///     .named("crm2")
    ///     .http_export(HttpExport::post("https://crm.example/orders"))
    ///     .on_pipeline_change(OnPipelineChange::migrate(|waiting: Waiting| match waiting.stage.as_str() {
    ///         "crm" => Ok(Migration::To { stage: "crm2".to_owned(), record: waiting.record }),
    ///         _ => Ok(Migration::Resume),
    ///     }))
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn migrate(migrate: impl Migrate) -> Self {
        Self::Migrate(Arc::new(migrate))
    }

    pub(crate) const fn is_resume(&self) -> bool {
        matches!(self, Self::Resume)
    }
}

/// Says where waiting records of another version of a pipeline continue: any `Fn(Waiting) -> Result<Migration, BoxError>`.
///
/// It must only compute: it may be called more than once for a record, of which the last call counts. With an error, the record becomes a dead
/// letter with that text.
pub trait Migrate: Send + Sync + 'static {
    /// Where the record continues.
    ///
    /// # Errors
    /// If it cannot continue: it becomes a dead letter, `stage_gone`.
    fn migrate(&self, waiting: Waiting) -> Result<Migration, BoxError>;
}

impl<F: Fn(Waiting) -> Result<Migration, BoxError> + Send + Sync + 'static> Migrate for F {
    fn migrate(&self, waiting: Waiting) -> Result<Migration, BoxError> {
        self(waiting)
    }
}

/// A waiting record of another version of a pipeline.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Waiting {
    /// The version that stored it, as in [`Pipeline::version`](super::Pipeline::version); empty for one before versions were stored.
    pub version: String,
    /// The stage at which it waits.
    pub stage: String,
    /// The record as it was stored.
    pub record: Record,
}

/// Where a waiting record continues.
#[derive(Debug, Clone)]
pub enum Migration {
    /// Where it is.
    Resume,
    /// It is given to a stage, as if it had just come there: its attempts are counted from the first again.
    To {
        /// The name of a stage of the pipeline as it is now.
        stage: String,
        /// The record, whose payload may be another one. Its id must stay the same.
        record: Record,
    },
    /// It becomes a dead letter, `stage_gone`, for this reason.
    DeadLetter(String),
}

impl fmt::Debug for OnPipelineChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resume => "Resume",
            Self::DeadLetter => "DeadLetter",
            Self::Migrate(_) => "Migrate",
        })
    }
}
