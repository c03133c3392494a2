//! Stages of the application, under the names by which pipelines declare them.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::stage::{Guarded, Stage};
use super::stages::{self, StageKind};
use crate::document::At;
use crate::sdk::BoxError;

type Make = Arc<dyn Fn(&Value) -> Result<Arc<dyn Stage>, BoxError> + Send + Sync>;

/// Stages of the application, which declared pipelines use by their names like the built-in ones.
///
/// ```
/// use serde_json::{Value, json};
/// use stateful_functions::pipeline::{Answer, OwnStages, PipelineConfig, Record};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let stages = OwnStages::default().register_stage("larger-than", |settings: &Value| {
///     let least = settings["bytes"].as_u64().ok_or("`bytes` is required: a whole number")?;
///     Ok(move |record: &mut Record| match record.payload().len() as u64 > least {
///         true => Answer::Continue,
///         false => Answer::Stop,
///     })
/// })?;
/// let spec = json!({"name": "orders", "stages": [{"larger-than": {"bytes": 100}}]});
/// assert!(PipelineConfig::from_json_with(&spec, &stages).is_ok());
///
/// let spec = json!({"name": "orders", "stages": [{"larger-than": {}}]});
/// let faults = PipelineConfig::from_json_with(&spec, &stages).unwrap_err();
/// assert_eq!(faults[0].to_string(), "stages[0].larger-than: `bytes` is required: a whole number");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct OwnStages(Vec<OwnStage>);

/// A stage by its name.
#[derive(Clone)]
pub(crate) struct OwnStage {
    name: String,
    make: Make,
}

/// A name that a stage cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StageNameError {
    /// A built-in stage has it.
    #[error("`{0}` is a built-in stage; choose another name")]
    BuiltIn(String),
    /// Another stage has it.
    #[error("`{0}` is registered already")]
    Twice(String),
    /// It is empty, or has a slash or a dot.
    #[error("`{0}` is not a name of a stage: it must not be empty, or contain a slash or a dot")]
    Malformed(String),
}

impl OwnStages {
    /// Registers a stage, which must only compute. `make` gets the settings of each use: in a section of EdgeX the mapping of `Parameters`, whose values
    /// are texts. Its error is a fault of the declaration.
    ///
    /// # Errors
    /// If the name is taken, or cannot be one.
    pub fn register_stage<S: Stage>(
        mut self,
        name: impl Into<String>,
        make: impl Fn(&Value) -> Result<S, BoxError> + Send + Sync + 'static,
    ) -> Result<Self, StageNameError> {
        let name = name.into();
        if name.is_empty() || name.contains(['/', '.']) {
            return Err(StageNameError::Malformed(name));
        }
        if stages::all_kinds().any(|kind| kind == name) || name == "name" {
            return Err(StageNameError::BuiltIn(name));
        }
        if self.0.iter().any(|known| known.name == name) {
            return Err(StageNameError::Twice(name));
        }
        let make: Make = Arc::new(move |settings| {
            let stage: Arc<dyn Stage> = Arc::new(Guarded(make(settings)?));
            Ok(stage)
        });
        self.0.push(OwnStage { name, make });
        Ok(self)
    }

    /// The stage with exactly this name.
    pub(crate) fn named(&self, name: &str) -> Option<&OwnStage> {
        self.0.iter().find(|known| known.name == name)
    }

    /// The stage whose name `name` begins with; the longest one counts.
    #[cfg(feature = "edgex")]
    pub(crate) fn with_prefix_of(&self, name: &str) -> Option<&OwnStage> {
        let known = self.0.iter();
        let prefixes = known.filter(|known| name.starts_with(&known.name));
        prefixes.max_by_key(|known| known.name.len())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|known| known.name.as_str())
    }
}

impl OwnStage {
    #[cfg(feature = "edgex")]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The stage with the settings at `at`; `None` if it refuses them, which is reported.
    pub(crate) fn read(&self, at: &At<'_>) -> Option<StageKind> {
        match (self.make)(&at.node.to_json()) {
            Ok(stage) => Some(StageKind::Own(stage)),
            Err(error) => at.fault(error),
        }
    }
}

impl fmt::Debug for OwnStages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::config::PipelineConfig;
    use super::super::record::Record;
    use super::super::stage::Answer;
    use super::*;

    fn own(name: &str) -> Result<OwnStages, StageNameError> {
        OwnStages::default().register_stage(name, |settings| {
            let key = settings["Key"].as_str().ok_or("`Key` is required")?;
            let key = key.to_owned();
            Ok(move |record: &mut Record| {
                record.set_value(&key, "seen");
                Answer::Continue
            })
        })
    }

    #[test]
    fn names_of_built_in_stages_and_malformed_ones_are_refused() {
        for name in ["filter", "name", "HTTPExport"] {
            let refused = own(name).unwrap_err();
            assert_eq!(refused, StageNameError::BuiltIn(name.to_owned()));
        }
        for name in ["", "a/b", "a.b"] {
            let refused = own(name).unwrap_err();
            assert_eq!(refused, StageNameError::Malformed(name.to_owned()));
        }
        let twice = own("mine").unwrap();
        let twice = twice.register_stage("mine", |_| Ok(|_: &mut Record| Answer::Stop));
        assert_eq!(twice.unwrap_err(), StageNameError::Twice("mine".to_owned()));
    }

    #[cfg(feature = "edgex")]
    #[test]
    fn sections_of_edgex_use_registered_stages_by_the_beginning_of_a_name() {
        let stages = own("Mark").unwrap();
        let section = |key: &str| {
            json!({"edgex": {
                "ExecutionOrder": "MarkFirst, Transform",
                "Functions": {
                    "MarkFirst": {"Parameters": {key: "mark"}},
                    "Transform": {"Parameters": {"Type": "json"}},
                },
            }})
        };
        let configs = PipelineConfig::all_from_json_with(&section("Key"), &stages).unwrap();
        let names: Vec<_> = configs[0]
            .stages()
            .iter()
            .map(|stage| &*stage.name)
            .collect();
        assert_eq!(names, ["decode", "MarkFirst", "Transform"]);
        let faults = PipelineConfig::all_from_json_with(&section("Kye"), &stages).unwrap_err();
        assert_eq!(
            faults[0].to_string(),
            "edgex.Functions.MarkFirst.Parameters: `Key` is required"
        );
        let unknown = PipelineConfig::all_from_json(&section("Key")).unwrap_err();
        assert!(unknown[0].message.contains("not a built-in function"));
    }
}
