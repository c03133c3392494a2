//! The registry: the functions of one server, Lambda or runtime.

use super::{DeclaredValue, FunctionSpec, SdkError, TypeName};

/// The registry of functions.
///
/// ```
/// use stateful_functions::{BoxError, Context, FunctionSpec, Message, StatefulFunctions, TypeName};
///
/// async fn greet(_context: &mut Context, _message: Message) -> Result<(), BoxError> {
///     Ok(())
/// }
///
/// let functions = StatefulFunctions::new()
///     .with(FunctionSpec::new(TypeName::new("example/greeter"), greet))?
///     .with(FunctionSpec::new(
///         TypeName::new("example/printer"),
///         async |_context: &mut Context, _message: Message| Ok(()),
///     ))?;
/// assert_eq!(functions.specs().len(), 2);
/// # Ok::<(), stateful_functions::SdkError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct StatefulFunctions {
    /// Sorted by (namespace, name), the form in which the wire names functions.
    specs: Vec<FunctionSpec>,
}

impl StatefulFunctions {
    /// An empty registry.
    pub const fn new() -> Self {
        Self { specs: Vec::new() }
    }

    /// Adds a function.
    ///
    /// # Errors
    /// If its type is already registered, two of its values have the same name, or a value has a name that the Flink runtime
    /// reserves (`batch`, `request-state`).
    pub fn with(mut self, spec: FunctionSpec) -> Result<Self, SdkError> {
        let type_name = spec.type_name();
        let Err(place) = self.place(type_name.namespace(), type_name.name()) else {
            return Err(SdkError::DuplicateFunction {
                function: type_name.clone(),
            });
        };
        check_values(&spec)?;
        self.specs.insert(place, spec);
        Ok(self)
    }

    /// The functions, in the order of their names.
    pub fn specs(&self) -> &[FunctionSpec] {
        &self.specs
    }

    /// The function of this type, if it is registered.
    pub fn spec(&self, function: &TypeName) -> Option<&FunctionSpec> {
        self.find(function.namespace(), function.name())
    }

    /// The function of the type `<namespace>/<name>`.
    pub(crate) fn find(&self, namespace: &str, name: &str) -> Option<&FunctionSpec> {
        self.specs.get(self.place(namespace, name).ok()?)
    }

    fn place(&self, namespace: &str, name: &str) -> Result<usize, usize> {
        self.specs.binary_search_by(|spec| {
            let known = spec.type_name();
            (known.namespace(), known.name()).cmp(&(namespace, name))
        })
    }
}

/// Names under which the Flink runtime stores its own state next to the function's.
const RESERVED: [&str; 2] = ["batch", "request-state"];

fn check_values(spec: &FunctionSpec) -> Result<(), SdkError> {
    let mut rest = spec.values();
    while let [DeclaredValue { name, .. }, later @ ..] = rest {
        let (function, value) = (spec.type_name().clone(), name.to_string());
        if RESERVED.contains(&&**name) {
            return Err(SdkError::ReservedValueName { function, value });
        }
        if later.iter().any(|other| other.name == *name) {
            return Err(SdkError::DuplicateValue { function, value });
        }
        rest = later;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdk::{BoxError, Context, Message, TypeName, ValueSpec, types};

    async fn idle(_context: &mut Context, _message: Message) -> Result<(), BoxError> {
        Ok(())
    }

    fn spec(name: &'static str) -> FunctionSpec {
        FunctionSpec::new(TypeName::new(name), idle)
    }

    fn fault(spec: FunctionSpec) -> String {
        StatefulFunctions::new().with(spec).unwrap_err().to_string()
    }

    #[test]
    fn sf_09_a_type_registered_twice_is_an_error() {
        let functions = StatefulFunctions::new().with(spec("a/b")).unwrap();
        assert_eq!(
            functions.with(spec("a/b")).unwrap_err().to_string(),
            "function a/b is registered twice"
        );
    }

    #[test]
    fn sf_09_a_value_name_used_twice_or_reserved_by_flink_is_an_error() {
        let value = |name| ValueSpec::new(name, types::INT);
        assert_eq!(
            fault(spec("a/b").value(value("seen")).value(value("seen"))),
            "value `seen` of a/b is declared twice"
        );
        let text = fault(spec("a/b").value(value("batch")));
        assert!(text.contains("`batch`") && text.contains("Flink"), "{text}");
    }

    #[test]
    fn functions_are_found_by_the_halves_of_their_name() {
        let mut functions = StatefulFunctions::new();
        for name in ["b/x", "a/y", "a/x", "a.b/x"] {
            functions = functions.with(spec(name)).unwrap();
        }
        for (namespace, name) in [("b", "x"), ("a", "y"), ("a", "x"), ("a.b", "x")] {
            let found = functions.find(namespace, name).unwrap();
            assert_eq!(found.type_name().to_string(), format!("{namespace}/{name}"));
        }
        assert!(functions.find("a", "z").is_none());
        assert!(functions.find("a/x", "").is_none());
    }
}
