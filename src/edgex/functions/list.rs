//! The functions of a pipeline, in their order.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::stage::AppFunction;

/// The functions of a pipeline of an application, in their order: its own and the built-in ones.
///
/// ```
/// use serde_json::json;
/// use stateful_functions::edgex::{AppContext, AppData, Functions, Outcome};
///
/// fn log_size(context: &mut AppContext<'_>, data: AppData) -> Outcome {
///     tracing::info!(id = context.correlation_id(), bytes = data.to_bytes().len());
///     Outcome::Pass
/// }
///
/// let functions = Functions::new()
///     .built_in("FilterByDeviceName", json!({"DeviceNames": "Random-Float-Device"}))
///     .function("LogSize", log_size)
///     .built_in("Transform", json!({"Type": "xml"}))
///     .built_in("SetResponseData", json!({}));
/// # let _ = functions;
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "functions are run by a pipeline"]
pub struct Functions(Vec<Function>);

/// One of them.
#[derive(Clone)]
pub(in crate::edgex) enum Function {
    Own(String, Arc<dyn AppFunction>),
    /// With its parameters.
    BuiltIn(String, Value),
}

impl Functions {
    /// No functions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a function of the application. Its name is that of the stage, under which what waits there is found again after a restart.
    pub fn function(mut self, name: impl Into<String>, function: impl AppFunction) -> Self {
        self.0.push(Function::Own(name.into(), Arc::new(function)));
        self
    }

    /// Adds a built-in function, with the parameters that it has in a configuration.
    pub fn built_in(mut self, name: impl Into<String>, parameters: Value) -> Self {
        self.0.push(Function::BuiltIn(name.into(), parameters));
        self
    }

    pub(in crate::edgex) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::edgex) fn iter(&self) -> impl Iterator<Item = &Function> {
        self.0.iter()
    }
}

impl Function {
    pub(in crate::edgex) fn name(&self) -> &str {
        match self {
            Self::Own(name, _) | Self::BuiltIn(name, _) => name,
        }
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
